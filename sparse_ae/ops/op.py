"""The base of the Ops: the frame of their C code, types and checks of a CSR block, the twin that works in place."""
import functools
import itertools
import os
import types
import zlib
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sparse_ae.ops.ahead import QUICK
from sparse_ae.ops.nonlinearities import C_TABLE
import theano
import theano.tensor as T
from theano import gof
from theano.gof.op import OpenMPOp
from theano.gradient import DisconnectedType

#: The types of NumPy's C interface, by dtype.
C_TYPES = {"float32": "npy_float32", "float64": "npy_float64"}

#: Hooks that run before each node on a CSR block is made: the rewrites for a GPU, which import the Ops, register here.
before_nodes = []


# Theano's own test, run once a process; Apple's clang, for one, has no OpenMP.
_has_openmp = functools.lru_cache(maxsize=None)(OpenMPOp.test_gxx_support)


@functools.lru_cache(maxsize=None)
def _c_code(headers):
    """The text of numpy_glue.h and of other headers of this folder."""
    folder = Path(__file__).resolve().parent
    return "\n".join([C_TABLE] + [(folder / name).read_text(encoding="utf-8") for name in ("numpy_glue.h",) + headers])


class Layout:
    """Where an Op's inputs are: names and how many inputs each is, in their order; C gets it as a type, `In`."""

    def __init__(self, **counts):
        starts = itertools.accumulate([0, *counts.values()])
        self._places = {name: (start, count) for (name, count), start in zip(counts.items(), starts)}

    def __len__(self):
        return sum(count for _, count in self._places.values())

    def start(self, name):
        """The position of the first input of a name."""
        return self._places[name][0]

    def has(self, name):
        """Whether there is an input of this name."""
        return self._places[name][1] > 0

    def named(self, inputs):
        """Inputs as attributes: lists where a name isn't one input; None for no input."""
        found = {name: list(inputs[start:start + count]) for name, (start, count) in self._places.items()}
        return types.SimpleNamespace(**{name: some[0] if len(some) == 1 else some or None
                                        for name, some in found.items()})

    def in_c(self, name):
        """A type of this name with the positions of names, -1 for no input."""
        return "namespace sparse_ae { struct %s { enum { %s }; }; }" % (name, ", ".join(
            "%s = %d" % (name, start if count else -1) for name, (start, count) in self._places.items()))


class InC:
    """How the C code of an Op is compiled, and loaded."""

    def c_compile_args(self):
        # Without errno a square root is an instruction, for a whole vector at once. Jump threading, common expressions
        # among blocks, ranges of values and Theano's -g are more than half of the time that a template for many widths
        # takes to compile, and make no loop faster.
        return (["-O3", "-fno-math-errno", "-fno-thread-jumps", "-fno-gcse", "-fno-tree-vrp"] + QUICK
                + (["-fopenmp"] if _has_openmp() else []))

    def c_code_cache_version_apply(self, node):
        # Theano looks a compiled Op up by its version, not by its code: with the code's checksum in it an upgrade never
        # runs old code.
        names = {x: "x%d" % i for i, x in enumerate(node.inputs + node.outputs)}  # an input may be there twice
        inputs, outputs = ([names[x] for x in some] for some in (node.inputs, node.outputs))
        code = self.c_code(node, "name", inputs, outputs, {"params": "params", "fail": "fail"})
        code += self.c_support_code_apply(node, "name")
        version = super().c_code_cache_version_apply(node)
        return version and version + (zlib.crc32(code.encode()),)

    def make_thunk(self, *arguments, **keywords):
        # Between two loops the threads of GNU's OpenMP spin for a millisecond and more, and keep the processors from
        # OpenBLAS's: a network's step takes many times as long. A thousand turns is its own count where there are more
        # threads than processors. It reads the setting when it is loaded, with our first module: here.
        if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:  # the user has said how threads wait
            return super().make_thunk(*arguments, **keywords)
        os.environ["GOMP_SPINCOUNT"] = "1000"
        try:
            return super().make_thunk(*arguments, **keywords)
        finally:
            os.environ.pop("GOMP_SPINCOUNT", None)


class InNumPy(gof.Op):
    """An Op whose `compute` makes its outputs of its inputs, arrays both."""

    __props__ = ()

    def perform(self, node, inputs, outputs, params=None):
        for x, output, value in zip(node.outputs, outputs, self.compute(*inputs)):
            output[0] = np.asarray(value, x.dtype)


class CsrOp(InC, InNumPy):
    """An Op on a CSR block, with C code in headers of this folder; each may use those before it. The template
    `function` of the headers does it, which returns 0 where all went well."""

    headers, function = (), ""

    def c_support_code(self):
        return _c_code(self.headers)

    def c_code_cache_version(self):
        beside = self.c_support_code_struct(None, "name") + str(self.params_type)
        return 3, zlib.crc32((self.c_support_code() + beside).encode())

    # The buffers live as long as the compiled function does: fresh ones would cost a page fault for every 4 KB.
    def c_support_code_struct(self, node, name):
        return "sparse_ae::Workspace workspace_%s;" % name

    def c_support_code_apply(self, node, name):
        # Not in the block of `c_code`: a template of a local type is another function to the compiler, 4% slower.
        layout = self.layout_of(len(node.inputs))
        return layout.in_c("In_" + name) if layout else ""

    def template_arguments(self, node):
        """The arguments of `function` as a template, after the type of numbers and `In`."""
        return []

    def layout_of(self, n_inputs):
        """The `Layout` of so many inputs, for C code that asks for it."""
        return None

    def c_code(self, node, name, inputs, outputs, sub, op="%s", more=""):
        """A call of `function`; `more` is one more argument."""
        arguments = [C_TYPES[node.outputs[0].dtype]]
        if self.layout_of(len(node.inputs)) is not None:
            arguments.append("sparse_ae::In_" + name)
        arguments += map(str, self.template_arguments(node))
        return """
        {
            PyArrayObject *in[] = {%s}, **out[] = {%s};
            if (sparse_ae::%s<%s>(in, out, %sworkspace_%s)) {
                sparse_ae::refuse(%s, in, %d);
                %s
            }
        }""" % (", ".join(inputs), ", ".join("&" + out for out in outputs),
                self.function, ", ".join(arguments), more, name, op % sub["params"], len(inputs), sub["fail"])

    # The C code gets these at run time.
    params_type = gof.generic

    def get_params(self, node):
        return self

    def refuse(self, *inputs):
        """Raise the error for inputs that the C code has refused."""
        self.compute(*inputs)
        raise ValueError("the C code of %s has refused its inputs" % self)


class WithGradients(CsrOp):
    """An Op whose first output is a number, and whose others are its gradients, from the same pass; `theano.grad` takes
    them from there. There is no second derivative."""

    def differentiable(self, inputs):
        """The positions of the inputs that there are gradients for, in the outputs' order."""
        return range(len(inputs))

    def infer_shape(self, node, shapes):
        return [()] + [shapes[i] for i in self.differentiable(node.inputs)]

    def connection_pattern(self, node):
        places, others = self.differentiable(node.inputs), [False] * (len(node.outputs) - 1)
        return [[i in places] + others for i in range(len(node.inputs))]

    def grad(self, inputs, output_gradients):
        gradients = dict(zip(self.differentiable(inputs), self(*inputs)[1:]))
        return [like(output_gradients[0] * gradients[i], x) if i in gradients else DisconnectedType()()
                for i, x in enumerate(inputs)]


class Updating(gof.Op):
    """An Op with outputs that are new values of inputs, and a twin that writes them in place."""

    updated = {}  # output -> input
    inplace = False

    def __init__(self, inplace=False):
        self.inplace = bool(inplace)

    @property
    def destroy_map(self):
        return {new: [old] for new, old in self.updated.items()} if self.inplace else {}

    def changed(self, **settings):
        """A copy with other settings."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **settings)
        return new

    def in_place(self):
        """Make the twin that works in place."""
        return self.changed(inplace=True)

    def targets(self, inputs):
        """The arrays to write to, in the order of `updated`."""
        return [inputs[i] if self.inplace else inputs[i].copy() for i in self.updated.values()]


@gof.local_optimizer(None)
def local_update_inplace(node):
    """Theano checks that the old value isn't needed, and reverts the replacement if it is."""
    # An Op that updates nothing is its own twin; replacing it would never end.
    if getattr(node.op, "updated", None) and not node.op.inplace:
        return node.op.in_place()(*node.inputs, return_list=True)
    return False


theano.compile.optdb.register("sparse_ae_update_inplace",
                              T.opt.in2out(local_update_inplace, name="sparse_ae_update_inplace"),
                              60, "fast_run", "inplace")


def index_vectors(indices, indptr):
    """Both as vectors of int32; TypeError for tensors that would lose by it. Every node on a CSR block begins here."""
    for function in before_nodes:
        function()
    found = []
    for name, x in (("indices", T.as_tensor_variable(indices)), ("indptr", T.as_tensor_variable(indptr))):
        if x.ndim != 1 or x.dtype not in ("int8", "int16", "int32", "uint8", "uint16"):
            raise TypeError("%s is a %d-d tensor of %s; expected a vector of int32. SciPy's index arrays can be int64: "
                            "check that they fit and cast them with .astype('int32')." % (name, x.ndim, x.dtype))
        found.append(T.cast(x, "int32"))
    return found


def count_scalar(x, name):
    """`x` as a scalar of int64; TypeError for a tensor that is no integer scalar."""
    x = T.as_tensor_variable(x)
    if x.ndim != 0 or x.dtype not in theano.tensor.integer_dtypes:
        raise TypeError("%s is a %d-d tensor of %s; expected an integer scalar" % (name, x.ndim, x.dtype))
    return T.cast(x, "int64")


def float_tensors(**tensors):
    """Each as a tensor of its expected ndim, all of one floating dtype; `tensors` maps a name to (tensor, ndim)."""
    converted = {}
    for name, (x, ndim) in tensors.items():
        x = T.as_tensor_variable(x)
        if x.ndim != ndim:
            raise TypeError("%s has %d dimensions; expected %d" % (name, x.ndim, ndim))
        if x.dtype not in theano.tensor.float_dtypes + theano.tensor.integer_dtypes or x.dtype == "float16":
            raise TypeError("%s is of dtype %s; expected float32 or float64" % (name, x.dtype))
        converted[name] = x
    dtype = theano.scalar.upcast("float32", *[x.dtype for x in converted.values()])
    return [T.cast(x, dtype) for x in converted.values()]


def like(gradient, x):
    """A gradient with the broadcast pattern of the input x, as Theano demands."""
    return T.patternbroadcast(gradient, x.broadcastable)


def check_csr(indices, indptr, n_rows, n_items, n_data=None):
    """As numpy_glue.h's check_csr; ValueError or IndexError that says which entry is wrong."""
    n_rows = max(0, n_rows)  # -1 by row pointers without a first one
    if len(indptr) != n_rows + 1:
        raise ValueError("indptr has %d entries; %d rows need %d" % (len(indptr), n_rows, n_rows + 1))
    if n_items < 0:
        raise ValueError("n_items is %d; it must not be negative" % n_items)
    if n_data is not None and n_data != len(indices):
        raise ValueError("data has %d entries, indices %d; a CSR matrix stores one index per rating"
                         % (n_data, len(indices)))
    if indptr[0] != 0 or indptr[-1] != len(indices):
        raise ValueError("indptr runs from %d to %d; it must run from 0 to the number of indices, %d"
                         % (indptr[0], indptr[-1], len(indices)))
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if len(falls):
        i = falls[0]
        raise ValueError("indptr falls from %d to %d at row %d; it must never fall" % (indptr[i], indptr[i + 1], i))
    wrong = np.flatnonzero((indices < 0) | (indices >= n_items))
    if len(wrong):
        raise IndexError("indices[%d] is %d; with %d items it must lie in 0 ... %d"
                         % (wrong[0], indices[wrong[0]], n_items, n_items - 1))


def check_units(A, F, names=("A", "F")):
    """ValueError for two factors of different numbers of hidden units."""
    if A.shape[1] != F.shape[1]:
        raise ValueError("%s has %d columns, %s %d; both must have one for each hidden unit"
                         % (names[0], A.shape[1], names[1], F.shape[1]))


def csr_matrix(data, indices, indptr, n_items):
    """A SciPy matrix of the block's arrays."""
    return sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_items))


def sampled_products(indices, indptr, A, F):
    """Compute `csr.sampled_dot` of arrays."""
    rows = np.repeat(np.arange(len(A)), np.diff(indptr))
    s = np.empty(len(indices), F.dtype)
    # Entries at a time, so that the gathered rows stay below some tens of MB.
    chunk = max(1, 2 ** 22 // max(1, F.shape[1]))
    for start in range(0, len(indices), chunk):
        part = slice(start, start + chunk)
        s[part] = np.einsum("pt,pt->p", A[rows[part]], F[indices[part]])
    return s
