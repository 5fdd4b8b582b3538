"""The sparse Ops on a GPU, through Theano's gpuarray backend: CUDA, or OpenCL.

Nobody calls these. A graph has the Ops of `csr` and `dense`; where a function is compiled for a GPU, Theano's optimiser
finds here what takes their place. Needs pygpu: imported only where Theano's variables are on a GPU.

A kernel can't raise an exception, nor find out at a fair price which ratings are an item's. So the host looks at the
index arrays of each mini-batch first, as it has them anyway: the Ops of `plans` check them and put them in order, once
for all nodes of a compiled function that stand on the same arrays. What they give the kernels is all that tells these
where to read: none can start before the check is done.
"""
import functools
import zlib
from pathlib import Path

import numpy as np
import pygpu.gpuarray

from sparse_ae.ops.csr import AddCsrTDot, CsrDot, CsrTDot, SampledDot
from sparse_ae.ops.dense import DenseRows
from sparse_ae.ops.fused import AdagradStep, SGDStep, SquaredError, check_shapes, next_factors
from sparse_ae.ops.gpu import kernels
from sparse_ae.ops.gpu.kernels import KERNELS, WIDTH, source
from sparse_ae.ops.gpu.plans import ByItem, ByRow, Parts
from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.ops.op import Updating
import theano
import theano.tensor as T
from theano import gof
from theano.gpuarray.basic_ops import (
    GpuAlloc,
    GpuAllocEmpty,
    GpuKernelBase,
    Kernel,
    as_gpuarray_variable,
    gpu_contiguous,
    gpuarray_helper_inc_dir,
)
from theano.gpuarray.blas import GpuGemv
from theano.gpuarray.opt import op_lifter, register_opt, register_opt2
from theano.gpuarray.type import GpuArrayType, get_context

__all__ = ["GpuAdagrad", "GpuAddCsrTDot", "GpuCsrTDot", "GpuDecode", "GpuDenseRows", "GpuHidden", "GpuHiddenSlopes",
           "GpuPartSums", "GpuRowSums", "GpuSampledDot"]

_by_row, _by_item, _parts = ByRow(), ByItem(), Parts()

# Theano looks a compiled Op up by its version, not by its code, and that is made of what stands in these two files.
_VERSION = tuple(zlib.crc32(Path(name).read_bytes()) for name in (__file__, kernels.__file__))

_SUPPORT_CODE = """
static int sparse_ae_check(PyArrayObject *sizes, PyArrayObject *indices, npy_int64 n_rows, npy_int64 n_data,
                           npy_int64 n_items)
{
    const npy_int64 *given = (const npy_int64 *)PyArray_DATA(sizes);
    if (n_items < 0) {
        PyErr_Format(PyExc_ValueError, "n_items is %lld; it must not be negative", (long long)n_items);
        return 1;
    }
    if (n_rows >= 0 && n_rows != given[0]) {
        PyErr_Format(PyExc_ValueError, "indptr has %lld entries; %lld rows need %lld", (long long)given[0] + 1,
                     (long long)n_rows, (long long)n_rows + 1);
        return 1;
    }
    if (n_data >= 0 && n_data != given[1]) {
        PyErr_Format(PyExc_ValueError,
                     "data has %lld entries, indices %lld; a CSR matrix stores one index per rating",
                     (long long)n_data, (long long)given[1]);
        return 1;
    }
    if (given[2] > n_items)
        for (npy_intp p = 0; p < PyArray_DIM(indices, 0); p++) {
            const npy_int32 i = *(const npy_int32 *)PyArray_GETPTR1(indices, p);
            if (i < 0 || i >= n_items) {
                PyErr_Format(PyExc_IndexError, "indices[%lld] is %d; with %lld items it must lie in 0 ... %lld",
                             (long long)p, (int)i, (long long)n_items, (long long)n_items - 1);
                return 1;
            }
        }
    return 0;
}

static int sparse_ae_one_each(const char *name, PyGpuArrayObject *x, size_t nnz)
{
    if (PyGpuArray_DIM(x, 0) == nnz)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %llu entries, indices %llu; each rating needs one", name,
                 (unsigned long long)PyGpuArray_DIM(x, 0), (unsigned long long)nnz);
    return 1;
}

/* Blocks of threads for n pieces of work, `each` of which go to a block; no card refuses so many. */
static size_t sparse_ae_blocks(size_t n, size_t each)
{
    const size_t blocks = (n + each - 1) / each;
    return blocks < 65535 ? blocks : 65535;
}

static int sparse_ae_same_units(PyGpuArrayObject *A, PyGpuArrayObject *F)
{
    if (PyGpuArray_DIM(A, 1) == PyGpuArray_DIM(F, 1))
        return 0;
    PyErr_Format(PyExc_ValueError, "A has %llu columns, F %llu; both must have one for each hidden unit",
                 (unsigned long long)PyGpuArray_DIM(A, 1), (unsigned long long)PyGpuArray_DIM(F, 1));
    return 1;
}
"""


class _GpuCsrOp(GpuKernelBase, gof.Op):
    """One kernel on a CSR block.

    A node's first inputs are on the GPU: the arrays that the kernel reads, in its order, among them the plan; and the
    old values of those that it changes. Then come, on the host, the sizes and the index array of the block, and of some
    Ops more. Its outputs are the arrays that the kernel writes.
    """

    __props__ = ()
    kernel = None  # its name
    ndims = {}  # of the kernel's arrays that aren't vectors
    changed = []  # names of the arrays that it doesn't write from scratch
    more = []  # names of what else the host gives
    f = g = "linear"

    # C code: what checks the inputs, and says each output's shape, the sizes that the kernel takes beyond the block's
    # own, its numbers, and how many blocks of threads there are in two directions.
    prepare = ""
    fills = False  # whether the output begins with zeros

    def make_node(self, *inputs):
        context = next(x.type.context_name for x in inputs if isinstance(x.type, GpuArrayType))
        read, written = self.arrays()
        expected = read + [x for x in written if x[0] in self.changed]
        on_gpu = [gpu_contiguous(as_gpuarray_variable(x, context)) for x, _ in zip(inputs, expected)]
        for x, (name, kind) in zip(on_gpu, expected):
            assert x.ndim == self.ndims.get(name, 1) and (kind != "int" or x.dtype == "int32"), name
        dtype, = {x.dtype for x, (_, kind) in zip(on_gpu, expected) if kind != "int"}
        outputs = [GpuArrayType(dtype, (False,) * self.ndims.get(name, 1), context)() for name, _ in written]
        return gof.Apply(self, on_gpu + list(inputs[len(expected):]), outputs)

    def arrays(self):
        """Those that the kernel reads, and those that it writes, as `KERNELS` has them."""
        kernel = KERNELS[self.kernel]
        return kernel.arrays[:-kernel.n_out], kernel.arrays[-kernel.n_out:]

    def get_params(self, node):
        return node.outputs[0].type.context

    def c_headers(self):
        return super().c_headers() + ["numpy_compat.h", "gpuarray_helper.h"]

    def c_header_dirs(self):
        return super().c_header_dirs() + [gpuarray_helper_inc_dir()]

    def c_support_code(self):
        return _SUPPORT_CODE

    def c_code_cache_version(self):
        return _VERSION

    def launched(self):
        """The kernels, in this order."""
        return [KERNELS[name] for name in ["zeros"] * self.fills + [self.kernel]]

    def gpu_kernels(self, node, name):
        return [self.compiled_kernel(kernel, node, name) for kernel in self.launched()]

    def compiled_kernel(self, kernel, node, name):
        dtype = np.dtype(node.outputs[0].dtype)
        c_type = pygpu.gpuarray.dtype_to_ctype(dtype)
        parameters = ([pygpu.gpuarray.GpuArray, pygpu.gpuarray.SIZE] * len(kernel.arrays)
                      + [pygpu.gpuarray.SIZE] * len(kernel.sizes) + [dtype] * len(kernel.numbers))
        return Kernel(source(kernel.name, c_type, c_type, self.f, self.g), parameters, kernel.name,
                      Kernel.get_flags(node.outputs[0].dtype), objvar="k_%s_%s" % (kernel.name, name))

    def names(self, inputs, outputs):
        """What the variables of the C code are called, by the names of arrays and of what the host gives."""
        read, written = ([name for name, _ in arrays] for arrays in self.arrays())
        names = read + ["old_" + name for name in self.changed] + ["sizes", "indices"] + self.more + written
        return dict(zip(names, list(inputs) + list(outputs)))

    def outputs_code(self, node):
        return "".join(self.changed_code(name) if name in self.changed else """
            if (theano_prep_output(&{%s}, %d, shape_%s, %d, GA_C_ORDER, {context})) {{ {fail} }}
        """ % (name, x.ndim, name, x.type.typecode) for (name, _), x in zip(self.arrays()[1], node.outputs))

    def c_code(self, node, name, inputs, outputs, sub):
        code = """
        {{
            const npy_int64 *given = (const npy_int64 *)PyArray_DATA({sizes});
            const size_t n_rows = given[0], nnz = given[1], n_used = given[3];
            (void)n_rows, (void)nnz, (void)n_used;
            """ + self.prepare + self.outputs_code(node)
        if self.fills:
            code += """
            const size_t n = PyGpuArray_SIZE({out});
            size_t grid_of_zeros[2] = {{sparse_ae_blocks(n, 256), 1}};
            """ + self.launch_code(KERNELS["zeros"], "grid_of_zeros")
        code += self.launch_code(KERNELS[self.kernel], "grid") + """
        }}"""
        return code.format(context=sub["params"], fail=sub["fail"], name=name, **self.names(inputs, outputs))

    @staticmethod
    def launch_code(kernel, grid):
        arguments = ["{%s}->ga.data, {%s}->ga.offset" % (x, x) for x, _ in kernel.arrays]
        return """
            if (%(grid)s[0] && %(grid)s[1]) {{
                size_t block[2] = {{%(width)d, %(height)d}};
                int err = %(kernel)s_call(2, %(grid)s, block, 0, %(arguments)s);
                if (err != GA_NO_ERROR) {{
                    PyErr_Format(PyExc_RuntimeError, "%(kernel)s: %%s",
                                 GpuKernel_error(&k_%(kernel)s_{name}, err));
                    {fail}
                }}
            }}
        """ % dict(kernel=kernel.name, grid=grid, width=WIDTH, height=kernel.height,
                   arguments=", ".join(arguments + kernel.sizes + kernel.numbers))


class GpuPartSums(_GpuCsrOp):
    """The first step of `csr_dot`, and of hidden units: the products of each part's ratings, (n_parts, k)."""

    kernel, ndims, more = "part_sums", {"F": 2, "out": 2}, ["part_sizes"]
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({data}, 0), PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1), n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes});
            const size_t shape_out[2] = {{n_parts, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_parts, 1), (k + 127) / 128}};
    """


class _GpuSumsOfParts(_GpuCsrOp):
    """Something of each row's parts, which are (n_parts, k): (n_rows, k)."""

    ndims, more = {"h": 2, "F": 2, "out": 2}, ["part_sizes"]
    prepare = """
            const size_t k = PyGpuArray_DIM({F}, 1), n_parts = PyGpuArray_DIM({F}, 0), shape_out[2] = {{n_rows, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_rows * k, 256), 1}};
    """


class GpuRowSums(_GpuSumsOfParts):
    """The second step of `csr_dot`."""

    kernel = "row_sums"

    def infer_shape(self, node, shapes):
        return [(node.inputs[2][0], shapes[1][1])]


class GpuSampledDot(_GpuCsrOp):
    """`sampled_dot`."""

    kernel, ndims = "sampled_dot", {"A": 2, "F": 2}
    prepare = """
            if (sparse_ae_same_units({A}, {F})
                || sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({A}, 0), -1, PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1), shape_out[1] = {{nnz}};
            size_t grid[2] = {{sparse_ae_blocks(nnz, 8), 1}};
    """

    def infer_shape(self, node, shapes):
        return [(node.inputs[3][1],)]


class GpuCsrTDot(_GpuCsrOp):
    """`csr_t_dot`. Rows of items without ratings are 0."""

    kernel, ndims, more = "csr_t_dot", {"F": 2, "out": 2}, ["n_items"]
    prepare = """
            const npy_int64 n_items = *(const npy_int64 *)PyArray_DATA({n_items});
            if (sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({F}, 0), PyGpuArray_DIM({data}, 0), n_items))
                {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1), shape_out[2] = {{(size_t)n_items, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_used, 1), (k + 127) / 128}};
    """
    fills = True

    def infer_shape(self, node, shapes):
        return [(node.inputs[5], shapes[2][1])]


class GpuDenseRows(_GpuCsrOp):
    """`dense_rows`."""

    kernel, ndims, more = "dense_rows", {"out": 2}, ["n_items"]
    prepare = """
            const npy_int64 n_items = *(const npy_int64 *)PyArray_DATA({n_items});
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({values}, 0), n_items)) {{ {fail} }}
            const size_t shape_out[2] = {{n_rows, (size_t)n_items}};
            size_t grid[2] = {{sparse_ae_blocks(nnz, 256), 1}};
    """
    fills = True

    def infer_shape(self, node, shapes):
        return [(node.inputs[2][0], node.inputs[4])]


# The masked autoencoder's own


class _GpuUnits(_GpuCsrOp):
    """An Op that knows the nonlinearities of the model; its `scales` are float64, on the host.

    Whoever makes the scales has compared the parameters' shapes: see `Unscaled`.
    """

    __props__ = ("f", "g", "low", "span")

    def __init__(self, f="linear", g="linear", low=0.0, span=1.0):
        self.f, self.g, self.low, self.span = f, g, float(low), float(span)


class GpuHidden(_GpuUnits, _GpuSumsOfParts):
    """``g(scale R V' + mu)``: the hidden units of a block, from `GpuPartSums`; `scales` begin with those of W and V."""

    kernel, more = "hidden", ["scales", "part_sizes"]
    prepare = """
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 1);
    """ + _GpuSumsOfParts.prepare


class GpuDecode(_GpuUnits):
    """Outputs ``low + span f(scale W h + b)`` held against a target; rows of W that pull are in the cache by then.

    Outputs: the squared error's derivative for each score, (nnz,); the squared error of each part; and what each part
    pulls at its row's hidden units, (n_parts, k), but for the scale.
    """

    kernel, ndims, more = "decode", {"h": 2, "W": 2, "pulls": 2}, ["scales", "part_sizes"]
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({h}, 0), -1, PyGpuArray_DIM({W}, 0))
                || sparse_ae_one_each("target", {target}, nnz)) {{ {fail} }}
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0), low = %r, span = %r;
            const size_t k = PyGpuArray_DIM({W}, 1), n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes});
            const size_t shape_slopes[1] = {{nnz}}, shape_squares[1] = {{n_parts}}, shape_pulls[2] = {{n_parts, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_parts, 1), k > 0}};
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.prepare = self.prepare % (self.low, self.span)


class GpuHiddenSlopes(_GpuUnits, _GpuSumsOfParts):
    """The squared error's gradient for what goes into the hidden units, (n_rows, k), from `GpuDecode`'s pulls."""

    kernel, more = "hidden_slopes", ["scales", "part_sizes"]
    prepare = """
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0);
    """ + _GpuSumsOfParts.prepare


class _GpuUpdate(Updating, _GpuCsrOp):
    """An update of rows in use, whose `scales` are float64, on the host; `place` says which of them is its own.

    Its first output are the kernel's totals, one of each block of threads.
    """

    __props__ = ("place", "inplace")
    more = ["scales"]
    prepare = """
            const double *scales = (const double *)PyArray_DATA({scales});
            if (sparse_ae_same_units({F}, {old_out})
                || sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({F}, 0), PyGpuArray_DIM({data}, 0),
                                   PyGpuArray_DIM({old_out}, 0))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1);
            size_t grid[2] = {{n_used < 4096 ? n_used : 4096, (k + 127) / 128}};
            const size_t shape_%s[1] = {{grid[0] * grid[1]}};
    """

    def __init__(self, place, inplace=False):
        self.place = place
        self.set_inplace(inplace)
        self.prepare = self.prepare % self.arrays()[1][0][0] + self.numbers % self.place

    def in_place(self):
        return type(self)(self.place, True)

    def changed_code(self, name):
        names = {"new": "{%s}" % name, "old": "{old_%s}" % name}
        if self.inplace:
            return """
            Py_XDECREF(%(new)s);
            %(new)s = %(old)s;
            Py_INCREF(%(new)s);
            """ % names
        return """
            Py_XDECREF(%(new)s);
            if (!(%(new)s = pygpu_copy(%(old)s, GA_C_ORDER))) {{ {fail} }}
            """ % names


class GpuAddCsrTDot(_GpuUpdate):
    """``out + step R' F``, as `AddCsrTDot`, and by how much the squares grew."""

    kernel, ndims, changed = "add_csr_t_dot", {"F": 2, "out": 2}, ["out"]
    updated = {1: 3}
    numbers = "const double step = scales[%d];"


class GpuAdagrad(_GpuUpdate):
    """A step of Adagrad on ``out`` and its ``squares`` by R' F and a decay for each rating, as `AdagradStep`.

    The `scales` are those of `AdagradScales`, which has compared the shapes; the place is of twice an l2.
    """

    kernel, ndims, changed = "adagrad", {"F": 2, "out": 2, "squares": 2}, ["out", "squares"]
    updated = {1: 3, 2: 4}
    numbers = "const double decay = scales[%d], rate = scales[5], epsilon = scales[6];"


def _host(x):
    """An index array as the host has it."""
    while x.owner and type(x.owner.op).__name__ in ("GpuFromHost", "GpuContiguous", "HostFromGpu"):
        x = x.owner.inputs[0]
    return x if isinstance(x.type, T.TensorType) else x.transfer("cpu")


def _lifts(cpu_op):
    """Has Theano put what a function makes of an Op's inputs in its place, on the GPU.

    An Op that adds up over ranks stays on the host: so do their sums.
    """
    def register(lift):
        @functools.wraps(lift)
        def lift_alone(op, context, inputs, outputs):
            return None if getattr(op, "apart", False) else lift(op, context, inputs, outputs)

        return register_opt("fast_compile")(op_lifter([cpu_op])(register_opt2([cpu_op], "fast_compile")(lift_alone)))
    return register


_part_sums, _row_sums, _csr_t_dot = GpuPartSums(), GpuRowSums(), GpuCsrTDot()


def _on_block(indices, indptr, context):
    """A function that makes nodes of this module's Ops on the block, with the plan that stands among their arrays.

    Without one there they take the sizes from `ByRow`.
    """
    indices, indptr = _host(indices), _host(indptr)
    plans = {}

    def apply(op, *arrays, more=()):
        plan = next((x for x in arrays if x in (_by_row, _by_item)), _by_row)
        if plan not in plans:
            vector, sizes = plan(indices, indptr)
            plans[plan] = as_gpuarray_variable(vector, context), sizes
        vector, sizes = plans[plan]
        on_gpu = [vector if x is plan else as_gpuarray_variable(x, context) for x in arrays]
        return op(*on_gpu + [sizes, indices] + list(more))

    return apply


def _in_parts(indptr, context):
    """The rows of a block in parts, on the GPU, and on the host how many there are."""
    vector, sizes = _parts(_host(indptr))
    return as_gpuarray_variable(vector, context), sizes


def _csr_dot(apply, data, F, parts, part_sizes):
    sums = apply(_part_sums, data, _by_row, parts, F, more=[part_sizes])
    return apply(_row_sums, parts, sums, more=[part_sizes])


@_lifts(CsrDot)
def local_gpu_csr_dot(op, context, inputs, outputs):
    data, indices, indptr, F = inputs
    apply, (parts, part_sizes) = _on_block(indices, indptr, context), _in_parts(indptr, context)
    return _csr_dot(apply, data, F, parts, part_sizes)


@_lifts(SampledDot)
def local_gpu_sampled_dot(op, context, inputs, outputs):
    indices, indptr, A, F = inputs
    return _on_block(indices, indptr, context)(GpuSampledDot(), _by_row, A, F)


@_lifts(CsrTDot)
def local_gpu_csr_t_dot(op, context, inputs, outputs):
    data, indices, indptr, A, n_items = inputs
    return _on_block(indices, indptr, context)(_csr_t_dot, data, _by_item, A, more=[_host(n_items)])


@_lifts(DenseRows)
def local_gpu_dense_rows(op, context, inputs, outputs):
    values, indices, indptr, n_items = inputs
    return _on_block(indices, indptr, context)(GpuDenseRows(), values, _by_row, more=[_host(n_items)])


class _OnHost(gof.Op):
    """A function of small arrays, which Theano leaves on the host, as it does not with Ops of its own."""

    __props__ = ()
    types = []  # of the outputs

    def make_node(self, *inputs):
        return gof.Apply(self, [_host(T.as_tensor_variable(x)) for x in inputs], [each() for each in self.types])

    def perform(self, node, inputs, outputs):
        for x, output, value in zip(node.outputs, outputs, self.compute(*inputs)):
            output[0] = np.asarray(value, x.dtype)


class AddScales(_OnHost):
    """What `GpuAddCsrTDot` multiplies by for an `AddCsrTDot`."""

    types = [T.dvector]

    def compute(self, alpha):
        return [[alpha]]


class Total(_OnHost):
    """The sum of a vector, in float64."""

    types = [T.dscalar]

    def compute(self, values):
        return [values.sum(dtype="float64")]


@_lifts(AddCsrTDot)
def local_gpu_add_csr_t_dot(op, context, inputs, outputs):
    F, alpha, data, indices, indptr, A = inputs
    growths, new_F = _on_block(indices, indptr, context)(
        GpuAddCsrTDot(0, op.inplace), data, _by_item, A, F, more=[AddScales()(alpha)])
    return [new_F, Total()(growths)]


class Scale(_OnHost):
    """One of some scales in another type, lest the GPU be given float64."""

    __props__ = ("place", "dtype")

    def __init__(self, place, dtype):
        self.place, self.types = place, [T.TensorType(dtype, ())]

    @property
    def dtype(self):
        return self.types[0].dtype

    def compute(self, scales):
        return [scales[self.place]]


def _shapes(shapes):
    return [tuple(shape.tolist()) for shape in shapes]


class Unscaled(_OnHost):
    """No scales for W and V, (2,), given the shapes of the parameters: no kernel starts before these are compared."""

    types = [T.dvector]

    def compute(self, *shapes):
        check_shapes(_shapes(shapes))
        return [[1, 1]]


class SGDScales(_OnHost):
    """What `SGDStep` multiplies by: c_W, c_V, the steps of W, V and of mu and b, and the next factors; (7,).

    The steps are negative, those of W and V over the next factor. After the rates come shapes, as for `Unscaled`.
    """

    types = [T.dvector]

    def compute(self, state, rate, l2_W, l2_V, *shapes):
        check_shapes(_shapes(shapes))
        factors = next_factors(state, rate, [l2_W, l2_V])
        return [np.concatenate([state[:2], -rate / factors, [-rate], factors])]


class SGDCosts(_OnHost):
    """The state of `SGDStep` after a step, and its costs."""

    types = [T.dvector, T.dvector]

    def compute(self, state, scales, l2_W, l2_V, squares, growths_W, growths_V):
        factors, norms = scales[5:], state[2:]
        squared_error, *growths = (x.sum(dtype="float64") for x in (squares, growths_W, growths_V))
        return [np.append(factors, (norms / state[:2] ** 2 + growths) * factors ** 2),
                [squared_error, squared_error + np.dot([l2_W, l2_V], norms)]]


class AdagradScales(_OnHost):
    """What `AdagradStep` goes by: no scales for W and V; twice l2 of W, of V and of b; the learning rate; epsilon.

    All in one vector, (7,). After the rates come shapes, as for `Unscaled`, and those of the sums of squares.
    """

    __props__ = ("epsilon",)
    types = [T.dvector]

    def __init__(self, epsilon):
        self.epsilon = epsilon

    def compute(self, rate, l2_W, l2_V, *shapes):
        shapes = _shapes(shapes)
        check_shapes(shapes[:len(shapes) // 2], shapes[len(shapes) // 2:])
        return [[1, 1, 2 * float(l2_W), 2 * float(l2_V), 0, rate, self.epsilon]]


class AdagradCosts(_OnHost):
    """The costs of `AdagradStep`, from its scales and what they and the squared errors are to be summed of."""

    types = [T.dvector]

    def compute(self, scales, squares, norms_W, *norms_V):
        squared_error, *norms = (x.sum(dtype="float64") for x in (squares, norms_W, np.concatenate(norms_V)))
        return [[squared_error, squared_error + scales[2:4].dot(norms) / 2]]


def _ones(h):
    """A hidden unit that is 1 in each row: the output bias's."""
    return T.ones((h.shape[0], 1), dtype=h.dtype)


def _pass_through(op, apply, context, indptr, parameters, data, target, second, scales):
    """The hidden units; the squared error of each part; its slopes for scores and for what goes into the units."""
    W, V_t, mu, b = parameters
    parts, part_sizes = _in_parts(indptr, context)
    more = [scales, part_sizes]
    sums = apply(_part_sums, data, _by_row, parts, V_t, more=[part_sizes])
    if second:
        U_t, seen = second
        a = apply(GpuHidden(), parts, sums, mu, more=more) + _csr_dot(apply, seen, U_t, parts, part_sizes)
        h = as_gpuarray_variable(NONLINEARITIES[op.g].graph(a), context)
    else:
        h = apply(GpuHidden(g=op.g), parts, sums, mu, more=more)
    slopes, squares, pulls = apply(GpuDecode(op.f, op.g, op.low, op.span), _by_row, parts, h, W, b, target, more=more)
    return h, squares, slopes, apply(GpuHiddenSlopes(op.f, op.g), parts, h, pulls, more=more)


@_lifts(SquaredError)
def local_gpu_squared_error(op, context, inputs, outputs):
    W, V_t, mu, b, data, indices, indptr, target, *second = inputs
    apply = _on_block(indices, indptr, context)
    scales = Unscaled()(*[as_gpuarray_variable(x, context).shape for x in (W, V_t, mu, b, *second[:1])])
    h, squares, slopes, d_a = _pass_through(op, apply, context, indptr, (W, V_t, mu, b), data, target, second, scales)

    def gradient(values, units, x):
        n_items = T.cast(as_gpuarray_variable(x, context).shape[0], "int64")
        return apply(_csr_t_dot, values, _by_item, units, more=[n_items])

    gradients = [gradient(slopes, h, W), gradient(data, d_a, V_t), T.sum(d_a, axis=0),
                 gradient(slopes, _ones(h), b).flatten()]
    if second:
        U_t, seen = second
        gradients.append(gradient(seen, d_a, U_t))
    return [as_gpuarray_variable(x, context) for x in [T.sum(squares)] + gradients]


@_lifts(SGDStep)
def local_gpu_sgd_step(op, context, inputs, outputs):
    W, V_t, mu, b, state, data, indices, indptr, rate, l2_W, l2_V, target = inputs
    W, V_t, mu, b = parameters = [as_gpuarray_variable(x, context) for x in (W, V_t, mu, b)]
    apply = _on_block(indices, indptr, context)
    scales = SGDScales()(state, rate, l2_W, l2_V, *[x.shape for x in parameters])
    h, squares, slopes, d_a = _pass_through(op, apply, context, indptr, parameters, data, target, (), scales)

    def moved(place, values, units, x):
        return apply(GpuAddCsrTDot(place, op.inplace), values, _by_item, units, x, more=[scales])

    growths_W, new_W = moved(2, slopes, h, W)
    growths_V, new_V_t = moved(3, data, d_a, V_t)
    new_b = moved(4, slopes, _ones(h), b.dimshuffle(0, "x"))[1].flatten()
    new_mu = mu + Scale(4, mu.dtype)(scales) * T.sum(d_a, axis=0)
    new_state, costs = SGDCosts()(state, scales, l2_W, l2_V, squares, growths_W, growths_V)
    return [as_gpuarray_variable(x, context) for x in (new_W, new_V_t, new_mu, new_b)] + [new_state, costs]


@_lifts(AdagradStep)
def local_gpu_adagrad_step(op, context, inputs, outputs):
    indices, indptr, rate, l2_W, l2_V = inputs[9:14]
    on_gpu = [x if i in range(9, 14) else as_gpuarray_variable(x, context) for i, x in enumerate(inputs)]
    (W, V_t, mu, b), (squares_W, squares_V_t, squares_mu, squares_b) = parameters, all_squares = on_gpu[:4], on_gpu[4:8]
    data, target, second = on_gpu[8], on_gpu[14], on_gpu[15:]
    U_t, squares_U_t, seen = second or [None] * 3
    apply = _on_block(indices, indptr, context)
    scales = AdagradScales(op.epsilon)(
        rate, l2_W, l2_V, *[x.shape for x in parameters + second[:1] + all_squares + second[1:2]])
    h, squares, slopes, d_a = _pass_through(op, apply, context, indptr, parameters, data, target, second[::2], scales)

    def moved(place, values, units, x, its_squares):
        return apply(GpuAdagrad(place, op.inplace), values, _by_item, units, x, its_squares, more=[scales])

    norms_W, *new_W = moved(2, slopes, h, W, squares_W)
    norms_V, *new_V_t = moved(3, data, d_a, V_t, squares_V_t)
    _, *new_b = moved(4, slopes, _ones(h), b.dimshuffle(0, "x"), squares_b.dimshuffle(0, "x"))
    d_mu = T.sum(d_a, axis=0)
    new_squares_mu = squares_mu + d_mu ** 2
    rate_mu, epsilon = (Scale(i, mu.dtype)(scales) for i in (5, 6))
    new_mu = mu - rate_mu * d_mu / T.sqrt(new_squares_mu + epsilon)
    norms_U, *new_U_t = moved(3, seen, d_a, U_t, squares_U_t) if second else (None,)
    costs = AdagradCosts()(scales, squares, norms_W, norms_V, *[norms_U] if second else [])
    values, all_squares = zip(new_W, new_V_t, (new_mu, new_squares_mu), [x.flatten() for x in new_b])
    return ([as_gpuarray_variable(x, context) for x in values + all_squares] + [costs] + new_U_t)


@gof.local_optimizer([GpuGemv])
def local_opencl_gemv(node):
    """Has a product with a vector begin with zeros, on OpenCL.

    Theano gives it new memory and has it multiply that by 0. CLBlast does so, and NaN is NaN then. The zeros are copies
    of one: with memset_0 OpenCL compiles a program at every call.
    """
    y, *others = node.inputs
    context = y.type.context_name
    if not y.owner or not isinstance(y.owner.op, GpuAllocEmpty) or get_context(context).kind != b"opencl":
        return False
    zero = as_gpuarray_variable(np.zeros((), y.dtype), context)
    return [node.op(GpuAlloc(context)(zero, *y.owner.inputs), *others)]


# After Theano has moved its products to the GPU (48.5), and before it looks for what can work in place.
theano.compile.optdb.register("sparse_ae_opencl_gemv", T.opt.in2out(local_opencl_gemv, name="sparse_ae_opencl_gemv"),
                              48.6, "fast_run", "fast_compile")
