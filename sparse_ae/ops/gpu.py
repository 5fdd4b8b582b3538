"""The sparse Ops on a GPU, through Theano's gpuarray backend: CUDA, or OpenCL.

Nobody calls these. A graph has the Ops of `csr` and `dense`; where a function is compiled for a GPU, Theano's optimiser
finds here what takes their place. Needs pygpu: imported only where Theano's variables are on a GPU.

A kernel can't raise an exception, nor find out at a fair price which ratings are an item's. So the host looks at the
index arrays of each mini-batch first, as it has them anyway: the Ops of `plans` check them and put them in order, once
for all nodes of a compiled function that stand on the same arrays. What they give the kernels is all that tells these
where to read: none can start before the check is done.
"""
import zlib

import numpy as np
import pygpu.gpuarray

from sparse_ae.ops.csr import AddCsrTDot, CsrDot, CsrTDot, SampledDot
from sparse_ae.ops.dense import DenseRows
from sparse_ae.ops.fused import SGDStep, SquaredError
from sparse_ae.ops.kernels import KERNELS, WIDTH, source
from sparse_ae.ops.op import Updating
from sparse_ae.ops.plans import ByItem, ByRow, Parts
import theano.tensor as T
from theano import gof
from theano.gpuarray.basic_ops import (
    GpuKernelBase,
    Kernel,
    as_gpuarray_variable,
    gpu_contiguous,
    gpuarray_helper_inc_dir,
)
from theano.gpuarray.opt import op_lifter, register_opt, register_opt2
from theano.gpuarray.type import GpuArrayType

__all__ = ["GpuAddCsrTDot", "GpuCsrDot", "GpuCsrTDot", "GpuDecode", "GpuDenseRows", "GpuHidden", "GpuHiddenSlopes",
           "GpuSampledDot"]

# The hidden units' of a graph; the kernels have their own.
_NONLINEARITIES = {"linear": lambda x: x, "sigmoid": T.nnet.sigmoid, "tanh": T.tanh}

_by_row, _by_item, _parts = ByRow(), ByItem(), Parts()

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

static int sparse_ae_has_length(const char *name, PyGpuArrayObject *x, npy_int64 n)
{
    if ((npy_int64)PyGpuArray_DIM(x, 0) == n)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %llu entries; expected %lld", name,
                 (unsigned long long)PyGpuArray_DIM(x, 0), (long long)n);
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

    A node's first inputs are on the GPU: the arrays that the kernel reads, in its order, among them the plan. Then
    come, on the host, the sizes and the index array of the block, and of some Ops more. Its outputs are the arrays that
    the kernel writes.
    """

    __props__ = ()
    kernel = None  # its name
    ndims = {}  # of the kernel's arrays that aren't vectors
    more = []  # names of what else the host gives
    f = g = "linear"

    # C code: what checks the inputs, and says each output's shape, the sizes that the kernel takes beyond the block's
    # own, its numbers, and how many blocks of threads there are in two directions.
    prepare = ""
    fill = ""  # C code that fills the outputs

    def make_node(self, *inputs):
        context = next(x.type.context_name for x in inputs if isinstance(x.type, GpuArrayType))
        kernel = KERNELS[self.kernel]
        read, written = kernel.arrays[:-kernel.n_out], kernel.arrays[-kernel.n_out:]
        on_gpu = [gpu_contiguous(as_gpuarray_variable(x, context)) for x, _ in zip(inputs, read)]
        for x, (name, kind) in zip(on_gpu, read):
            assert x.ndim == self.ndims.get(name, 1) and (kind != "int" or x.dtype == "int32"), name
        dtype, = {x.dtype for x, (_, kind) in zip(on_gpu, read) if kind != "int"}
        outputs = [GpuArrayType(dtype, (False,) * self.ndims.get(name, 1), context)() for name, _ in written]
        return gof.Apply(self, on_gpu + list(inputs[len(read):]), outputs)

    def get_params(self, node):
        return node.outputs[0].type.context

    def c_headers(self):
        return super().c_headers() + ["numpy_compat.h", "gpuarray_helper.h"]

    def c_header_dirs(self):
        return super().c_header_dirs() + [gpuarray_helper_inc_dir()]

    def c_support_code(self):
        return _SUPPORT_CODE

    def c_code_cache_version(self):
        return 1, zlib.crc32(repr((_SUPPORT_CODE, self.prepare, self.fill, KERNELS[self.kernel])).encode())

    def gpu_kernels(self, node, name):
        kernel = KERNELS[self.kernel]
        dtype = np.dtype(node.outputs[0].dtype)
        c_type = pygpu.gpuarray.dtype_to_ctype(dtype)
        parameters = ([pygpu.gpuarray.GpuArray, pygpu.gpuarray.SIZE] * len(kernel.arrays)
                      + [pygpu.gpuarray.SIZE] * len(kernel.sizes) + [dtype] * len(kernel.numbers))
        return [Kernel(source(self.kernel, c_type, c_type, self.f, self.g), parameters, self.kernel,
                       Kernel.get_flags(node.outputs[0].dtype), objvar="k_%s_%s" % (self.kernel, name))]

    def names(self, inputs, outputs):
        """What the variables of the C code are called, by the names of arrays and of what the host gives."""
        kernel = KERNELS[self.kernel]
        names = [x for x, _ in kernel.arrays]
        return dict(zip(names[:-kernel.n_out] + ["sizes", "indices"] + self.more + names[-kernel.n_out:],
                        list(inputs) + list(outputs)))

    def outputs_code(self, node):
        kernel = KERNELS[self.kernel]
        return "".join("""
            if (theano_prep_output(&{%s}, %d, shape_%s, %d, GA_C_ORDER, {context})) {{ {fail} }}
        """ % (name, x.ndim, name, x.type.typecode) for (name, _), x in zip(kernel.arrays[-kernel.n_out:],
                                                                            node.outputs))

    def c_code(self, node, name, inputs, outputs, sub):
        kernel = KERNELS[self.kernel]
        arguments = ["{%s}->ga.data, {%s}->ga.offset" % (x, x) for x, _ in kernel.arrays]
        arguments = ", ".join(arguments + kernel.sizes + kernel.numbers)
        code = """
        {{
            const npy_int64 *given = (const npy_int64 *)PyArray_DATA({sizes});
            const size_t n_rows = given[0], nnz = given[1], n_used = given[3];
            (void)n_rows, (void)nnz, (void)n_used;
            """ + self.prepare + self.outputs_code(node) + self.fill + """
            if (grid[0] && grid[1]) {{
                size_t block[2] = {{{width}, {height}}};
                int err = {kernel}_call(2, grid, block, 0, """ + arguments + """);
                if (err != GA_NO_ERROR) {{
                    PyErr_Format(PyExc_RuntimeError, "{kernel}: %s", GpuKernel_error(&k_{kernel}_{name}, err));
                    {fail}
                }}
            }}
            """ + self.finish + """
        }}"""
        return code.format(context=sub["params"], fail=sub["fail"], width=WIDTH, height=kernel.height,
                           kernel=self.kernel, name=name, **self.names(inputs, outputs))

    finish = ""  # C code that follows


class GpuCsrDot(_GpuCsrOp):
    """`csr_dot`."""

    kernel, ndims = "csr_dot", {"F": 2, "out": 2}
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({data}, 0), PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1), shape_out[2] = {{n_rows, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_rows, 1), (k + 127) / 128}};
    """

    def infer_shape(self, node, shapes):
        return [(node.inputs[3][0], shapes[2][1])]


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


_FILL_WITH_0 = """
            if (PyGpuArray_SIZE({out}) && GpuArray_memset(&{out}->ga, 0) != GA_NO_ERROR) {{
                PyErr_SetString(PyExc_RuntimeError, "{kernel}: the output can't be filled with 0");
                {fail}
            }}
"""


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
    fill = _FILL_WITH_0

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
    fill = _FILL_WITH_0

    def infer_shape(self, node, shapes):
        return [(node.inputs[2][0], node.inputs[4])]


# The masked autoencoder's own


class _GpuUnits(_GpuCsrOp):
    """An Op that knows the nonlinearities of the model; its `scales` are float64, on the host."""

    __props__ = ("f", "g", "low", "span")

    def __init__(self, f="linear", g="linear", low=0.0, span=1.0):
        self.f, self.g, self.low, self.span = f, g, float(low), float(span)


class GpuHidden(_GpuUnits):
    """``g(scale R V' + mu)``: the hidden units of a block; `scales` (1 of them) holds the scale."""

    kernel, ndims, more = "hidden", {"F": 2, "out": 2}, ["scales"]
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({data}, 0), PyGpuArray_DIM({F}, 0))
                || sparse_ae_has_length("mu", {mu}, PyGpuArray_DIM({F}, 1))) {{ {fail} }}
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0);
            const size_t k = PyGpuArray_DIM({F}, 1), shape_out[2] = {{n_rows, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_rows, 1), (k + 127) / 128}};
    """


class GpuDecode(_GpuUnits):
    """Outputs ``low + span f(scale W h + b)`` held against a target, while W is read once.

    Outputs: the squared error's derivative for each score, (nnz,); the squared error of each part; and what each part
    pulls at its row's hidden units, (n_parts, k), but for the scale.
    """

    kernel, ndims, more = "decode", {"h": 2, "W": 2, "pulls": 2}, ["scales", "part_sizes"]
    prepare = """
            if (sparse_ae_same_units({h}, {W})
                || sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({h}, 0), -1, PyGpuArray_DIM({W}, 0))
                || sparse_ae_has_length("b", {b}, PyGpuArray_DIM({W}, 0))
                || sparse_ae_has_length("target", {target}, nnz)) {{ {fail} }}
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0), low = %r, span = %r;
            const size_t k = PyGpuArray_DIM({W}, 1), n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes});
            const size_t shape_slopes[1] = {{nnz}}, shape_squares[1] = {{n_parts}}, shape_pulls[2] = {{n_parts, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_parts, 1), k > 0}};
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.prepare = self.prepare % (self.low, self.span)


class GpuHiddenSlopes(_GpuUnits):
    """The squared error's gradient for what goes into the hidden units, (n_rows, k), from `GpuDecode`'s pulls."""

    kernel, ndims, more = "hidden_slopes", {"h": 2, "pulls": 2, "out": 2}, ["scales", "part_sizes"]
    prepare = """
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0);
            const size_t n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes}), k = PyGpuArray_DIM({h}, 1);
            const size_t shape_out[2] = {{PyGpuArray_DIM({h}, 0), k}};
            size_t grid[2] = {{sparse_ae_blocks(n_rows * k, 256), 1}};
    """


class GpuAddCsrTDot(Updating, _GpuCsrOp):
    """``F + step R' A``, as `AddCsrTDot`: F comes last on the GPU; the step is the one of `scales` at a place.

    Outputs: the new F, and on the host by how much the sum of its squares grew, float64.
    """

    __props__ = ("place", "inplace")
    kernel, ndims, more = "add_csr_t_dot", {"F": 2, "out": 2}, ["scales"]
    updated = {0: 3}
    prepare = """
            const double step = *(const double *)PyArray_GETPTR1({scales}, %d);
            if (sparse_ae_same_units({F}, {old})
                || sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({F}, 0), PyGpuArray_DIM({data}, 0),
                                   PyGpuArray_DIM({old}, 0))) {{ {fail} }}
            Py_XDECREF({out});
            {out} = NULL;
            if (%d) {{
                {out} = {old};
                Py_INCREF({out});
            }} else if (!({out} = pygpu_copy({old}, GA_C_ORDER))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1);
            size_t grid[2] = {{n_used < 4096 ? n_used : 4096, (k + 127) / 128}};
            const size_t n_growths = grid[0] * grid[1], shape_growths[1] = {{n_growths}};
            PyGpuArrayObject *growths = NULL;
            if (theano_prep_output(&growths, 1, shape_growths, {out}->ga.typecode, GA_C_ORDER, {context})) {{ {fail} }}
    """
    finish = """
            double growth = 0;
            if (n_growths) {{
                real_{name} *values = (real_{name} *)malloc(n_growths * sizeof(real_{name}));
                const int err = values ? GpuArray_read(values, n_growths * sizeof(real_{name}), &growths->ga)
                                       : GA_MEMORY_ERROR;
                for (size_t i = 0; err == GA_NO_ERROR && i < n_growths; i++)
                    growth += values[i];
                free(values);
                if (err != GA_NO_ERROR) {{
                    Py_DECREF(growths);
                    PyErr_SetString(PyExc_RuntimeError, "add_csr_t_dot: the growth can't be read");
                    {fail}
                }}
            }}
            Py_DECREF(growths);
            Py_XDECREF({growth});
            {growth} = (PyArrayObject *)PyArray_SimpleNew(0, NULL, NPY_FLOAT64);
            if (!{growth}) {{ {fail} }}
            *(double *)PyArray_DATA({growth}) = growth;
    """

    def __init__(self, place, inplace=False):
        self.place = place
        self.set_inplace(inplace)
        self.prepare = self.prepare % (place, self.inplace)

    def in_place(self):
        return type(self)(self.place, True)

    def make_node(self, data, plan, A, F, sizes, indices, scales):
        context = F.type.context_name
        data, plan, A, F = (gpu_contiguous(as_gpuarray_variable(x, context)) for x in (data, plan, A, F))
        assert data.dtype == A.dtype == F.dtype and plan.dtype == "int32"
        return gof.Apply(self, [data, plan, A, F, sizes, indices, scales],
                         [GpuArrayType(F.dtype, (False, False), context)(), T.dscalar()])

    def c_support_code_apply(self, node, name):
        return super().c_support_code_apply(node, name) + "\ntypedef %s real_%s;\n" % (
            "npy_" + node.outputs[0].dtype, name)

    def names(self, inputs, outputs):
        return dict(zip(["data", "plan", "F", "old", "sizes", "indices", "scales", "out", "growth"],
                        list(inputs) + list(outputs)), growths="growths")

    def outputs_code(self, node):
        return ""  # `prepare` does it


def _host(x):
    """An index array as the host has it."""
    while x.owner and type(x.owner.op).__name__ in ("GpuFromHost", "GpuContiguous", "HostFromGpu"):
        x = x.owner.inputs[0]
    return x if isinstance(x.type, T.TensorType) else x.transfer("cpu")


def _planned(plan, indices, indptr, context):
    """The plan on the GPU, and on the host what the Op takes beside it."""
    indices = _host(indices)
    vector, sizes = plan(indices, _host(indptr))
    return as_gpuarray_variable(vector, context), [sizes, indices]


def _lifts(cpu_op):
    """Has Theano put what a function makes of an Op's inputs in its place, on the GPU."""
    def register(lift):
        return register_opt("fast_compile")(op_lifter([cpu_op])(register_opt2([cpu_op], "fast_compile")(lift)))
    return register


_csr_dot, _csr_t_dot = GpuCsrDot(), GpuCsrTDot()


@_lifts(CsrDot)
def local_gpu_csr_dot(op, context, inputs, outputs):
    data, indices, indptr, F = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return _csr_dot(data, plan, as_gpuarray_variable(F, context), *host)


@_lifts(SampledDot)
def local_gpu_sampled_dot(op, context, inputs, outputs):
    indices, indptr, A, F = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return GpuSampledDot()(plan, A, F, *host)


@_lifts(CsrTDot)
def local_gpu_csr_t_dot(op, context, inputs, outputs):
    data, indices, indptr, A, n_items = inputs
    plan, host = _planned(_by_item, indices, indptr, context)
    return _csr_t_dot(data, plan, as_gpuarray_variable(A, context), *host + [_host(n_items)])


def _on_block(indices, indptr, context):
    """A function that makes nodes of this module's Ops on the block: by row, or as the last two arguments say."""
    plans = {}

    def apply(op, *arrays, plan=_by_row, more=()):
        if plan not in plans:
            plans[plan] = _planned(plan, indices, indptr, context)
        vector, host = plans[plan]
        on_gpu = [vector if x is plan else as_gpuarray_variable(x, context) for x in arrays]
        return op(*on_gpu + host + list(more))

    return apply


@_lifts(AddCsrTDot)
def local_gpu_add_csr_t_dot(op, context, inputs, outputs):
    F, alpha, data, indices, indptr, A = inputs
    scales = T.cast(_host(alpha), "float64").dimshuffle("x")
    apply = _on_block(indices, indptr, context)
    return apply(GpuAddCsrTDot(0, op.inplace), data, _by_item, A, F, plan=_by_item, more=[scales])


class SGDScales(gof.Op):
    """On the host, what `SGDStep` multiplies by: c_W, c_V, the steps of W, V and of mu and b, and the next factors.

    All float64, (7,). The steps are negative, those of W and V over the next factor.
    """

    __props__ = ()

    def make_node(self, state, *rates):
        return gof.Apply(self, [state] + list(rates), [T.dvector()])

    def perform(self, node, inputs, outputs):
        state, rate, *l2 = inputs
        rate = float(rate)
        if len(state) != 4:
            raise ValueError("state has %d entries; expected 4" % len(state))
        factors = state[:2] * (1 - 2 * rate * np.array(l2, "float64"))
        if not (factors > 0).all():
            raise ValueError("2 * learning_rate * l2 is not below 1: one step of weight decay would turn W or V "
                             "around; lower the learning rate or l2")
        outputs[0][0] = np.concatenate([state[:2], -rate / factors, [-rate], factors])


class SGDCosts(gof.Op):
    """On the host, the state of `SGDStep` after a step, and its costs."""

    __props__ = ()

    def make_node(self, state, scales, l2_W, l2_V, squares, growth_W, growth_V):
        return gof.Apply(self, [state, scales, l2_W, l2_V, squares, growth_W, growth_V], [T.dvector(), T.dvector()])

    def perform(self, node, inputs, outputs):
        state, scales, l2_W, l2_V, squares, growth_W, growth_V = inputs
        factors, norms = scales[5:], state[2:]
        squared_error = squares.sum(dtype="float64")
        outputs[0][0] = np.append(factors, (norms / state[:2] ** 2 + [growth_W, growth_V]) * factors ** 2)
        outputs[1][0] = np.array([squared_error, squared_error + np.dot([l2_W, l2_V], norms)], "float64")


_sgd_scales, _sgd_costs = SGDScales(), SGDCosts()


def _passed(op, apply, context, h, W, b, target, parts, scales):
    """The decoder, its error, and its gradients for scores and for what goes into the hidden units."""
    vector, part_sizes = parts
    slopes, squares, pulls = apply(GpuDecode(op.f, op.g, op.low, op.span), _by_row, vector, h, W, b, target,
                                   more=[scales, part_sizes])
    d_a = apply(GpuHiddenSlopes(op.f, op.g), vector, h, pulls, more=[scales, part_sizes])
    return slopes, squares, d_a


def _parts_of(indptr, context):
    vector, sizes = _parts(_host(indptr))
    return as_gpuarray_variable(vector, context), sizes


def _ones(h):
    """A hidden unit that is 1 in each row: the output bias's."""
    return T.ones((h.shape[0], 1), dtype=h.dtype)


@_lifts(SquaredError)
def local_gpu_squared_error(op, context, inputs, outputs):
    W, V_t, mu, b, data, indices, indptr, target, *second = inputs
    apply, parts = _on_block(indices, indptr, context), _parts_of(indptr, context)
    scales = T.constant(np.ones(1))
    if second:
        U_t, seen = second
        a = apply(_csr_dot, data, _by_row, V_t) + apply(_csr_dot, seen, _by_row, U_t)
        h = as_gpuarray_variable(_NONLINEARITIES[op.g](a + mu), context)
    else:
        h = apply(GpuHidden(g=op.g), data, _by_row, V_t, mu, more=[scales])
    slopes, squares, d_a = _passed(op, apply, context, h, W, b, target, parts, scales)

    def gradient(values, units, x):
        n_items = T.cast(as_gpuarray_variable(x, context).shape[0], "int64")
        return apply(_csr_t_dot, values, _by_item, units, plan=_by_item, more=[n_items])

    gradients = [gradient(slopes, h, W), gradient(data, d_a, V_t), T.sum(d_a, axis=0),
                 gradient(slopes, _ones(h), b).flatten()]
    gradients += [gradient(seen, d_a, U_t)] if second else []
    return [as_gpuarray_variable(x, context) for x in [T.sum(squares)] + gradients]


@_lifts(SGDStep)
def local_gpu_sgd_step(op, context, inputs, outputs):
    W, V_t, mu, b, state, data, indices, indptr, rate, l2_W, l2_V, target = inputs
    W, V_t, mu, b = (as_gpuarray_variable(x, context) for x in (W, V_t, mu, b))
    state, rate, l2_W, l2_V = map(_host, (state, rate, l2_W, l2_V))
    apply, parts = _on_block(indices, indptr, context), _parts_of(indptr, context)
    scales = _sgd_scales(state, rate, l2_W, l2_V)
    h = apply(GpuHidden(g=op.g), data, _by_row, V_t, mu, more=[scales[1:]])
    slopes, squares, d_a = _passed(op, apply, context, h, W, b, target, parts, scales)

    def moved(place, values, units, x):
        return apply(GpuAddCsrTDot(place, op.inplace), values, _by_item, units, x, plan=_by_item, more=[scales])

    new_W, growth_W = moved(2, slopes, h, W)
    new_V_t, growth_V = moved(3, data, d_a, V_t)
    new_b = moved(4, slopes, _ones(h), b.dimshuffle(0, "x"))[0].flatten()
    new_mu = mu + T.cast(scales[4], mu.dtype) * T.sum(d_a, axis=0)
    new_state, costs = _sgd_costs(state, scales, l2_W, l2_V, squares.transfer("cpu"), growth_W, growth_V)
    return ([as_gpuarray_variable(x, context) for x in (new_W, new_V_t, new_mu, new_b)] + [new_state, costs])


@_lifts(DenseRows)
def local_gpu_dense_rows(op, context, inputs, outputs):
    values, indices, indptr, n_items = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return GpuDenseRows()(values, plan, *host + [_host(n_items)])
