"""The sparse Ops on a GPU, through Theano's gpuarray backend: CUDA, or OpenCL.

Nobody calls these. A graph has the Ops of `csr` and `dense`; where a function is compiled for a GPU, Theano's optimiser
finds here what takes their place. Needs pygpu: imported only where Theano's variables are on a GPU.

A kernel can't raise an exception, nor find out at a fair price which ratings are an item's. So the host looks at the
index arrays of each mini-batch first, as it has them anyway: `ByRow` and `ByItem` check them and put them in order,
once for all Ops of a compiled function that stand on the same arrays. What they give the kernels is all that tells
these where to read: none can start before the check is done.
"""
import numpy as np
import pygpu.gpuarray
import scipy.sparse as sp

from sparse_ae.ops.csr import CsrDot, CsrTDot, SampledDot
from sparse_ae.ops.dense import DenseRows
from sparse_ae.ops.kernels import KERNELS, WIDTH, source
from sparse_ae.ops.op import check_csr
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

__all__ = ["ByItem", "ByRow"]

# What is no item's number, and beyond every size.
_NONE = np.iinfo(np.int32).max


class _Plan(gof.Op):
    """From a block's index arrays, on the host: a vector of int32 for the kernels, and sizes for their Ops.

    The sizes are int64: n_rows, nnz, how many items there must be at least, and how many have ratings (0: not asked).
    """

    __props__ = ()

    def make_node(self, indices, indptr):
        return gof.Apply(self, [indices, indptr], [T.ivector(), T.lvector()])

    def perform(self, node, inputs, outputs):
        indices, indptr = inputs
        if len(indptr) < 1:
            check_csr(indices, indptr, 0, 0)
        check_csr(np.zeros(len(indices), "int32"), indptr, len(indptr) - 1, 1)
        n_items = 0
        if len(indices):
            # A negative index is left for the Ops to report, as one too large is: they know how many items there are.
            n_items = int(indices.max()) + 1 if indices.min() >= 0 else _NONE
        plan, n_used = self.plan(indices, indptr, n_items if n_items < _NONE else 0)
        outputs[0][0] = plan
        outputs[1][0] = np.array([len(indptr) - 1, len(indices), n_items, n_used], "int64")


def _rows(indptr):
    return np.repeat(np.arange(len(indptr) - 1, dtype="int32"), np.diff(indptr))


class ByRow(_Plan):
    """The block as it is: indptr, indices, and the row of each rating."""

    def plan(self, indices, indptr, n_items):
        return np.concatenate([indptr, indices, _rows(indptr)]), 0


class ByItem(_Plan):
    """The block's ratings in the order of their items, and within an item in that of their rows.

    The items that have ratings; where each one's ratings begin, and where the last one's end; where each rating is
    among the block's, and its row.
    """

    def plan(self, indices, indptr, n_items):
        if not n_items:
            return np.zeros(1 + 2 * len(indices), "int32"), 0
        places = np.arange(len(indices), dtype="int32")
        columns = sp.csr_matrix((places, indices, indptr), shape=(max(1, len(indptr) - 1), n_items)).tocsc()
        used = np.flatnonzero(np.diff(columns.indptr)).astype("int32")
        starts = np.append(columns.indptr[used], columns.indptr[-1])
        return np.concatenate([used, starts, columns.data, columns.indices]).astype("int32", copy=False), len(used)


_by_row, _by_item = ByRow(), ByItem()

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

    A node's first inputs are on the GPU: those of the kernel's arrays but for its output, in their order, of which one
    is the plan. Then come, on the host, the sizes and the index array of the block, and of some Ops more.
    """

    __props__ = ()
    kernel = None  # its name
    ndims = {}  # of the kernel's arrays that aren't vectors

    def make_node(self, *inputs):
        context = next(x.type.context_name for x in inputs if isinstance(x.type, GpuArrayType))
        arrays = KERNELS[self.kernel].arrays
        on_gpu = [gpu_contiguous(as_gpuarray_variable(x, context)) for x, _ in zip(inputs, arrays[:-1])]
        for x, (name, kind) in zip(on_gpu, arrays):
            assert x.ndim == self.ndims.get(name, 1) and (kind != "int" or x.dtype == "int32"), name
        kind = arrays[-1][1]
        dtype, = {x.dtype for x, (_, other) in zip(on_gpu, arrays) if other == kind}
        output = GpuArrayType(dtype, (False,) * self.ndims.get("out", 1), context)()
        return gof.Apply(self, on_gpu + list(inputs[len(on_gpu):]), [output])

    def get_params(self, node):
        return node.outputs[0].type.context

    def c_headers(self):
        return super().c_headers() + ["numpy_compat.h", "gpuarray_helper.h"]

    def c_header_dirs(self):
        return super().c_header_dirs() + [gpuarray_helper_inc_dir()]

    def c_support_code(self):
        return _SUPPORT_CODE

    def c_code_cache_version(self):
        return (1,)

    def gpu_kernels(self, node, name):
        kernel = KERNELS[self.kernel]
        dtype = node.outputs[0].dtype
        c_type = pygpu.gpuarray.dtype_to_ctype(dtype)
        parameters = ([pygpu.gpuarray.GpuArray, pygpu.gpuarray.SIZE] * len(kernel.arrays)
                      + [pygpu.gpuarray.SIZE] * len(kernel.sizes))
        return [Kernel(source(self.kernel, c_type, c_type), parameters, self.kernel, Kernel.get_flags(dtype),
                       objvar="k_%s_%s" % (self.kernel, name))]

    def c_code(self, node, name, inputs, outputs, sub):
        kernel = KERNELS[self.kernel]
        names = dict(zip([x for x, _ in kernel.arrays[:-1]] + ["sizes", "indices"] + self.more, inputs),
                     out=outputs[0])
        arguments = ", ".join("%s->ga.data, %s->ga.offset" % (names[x], names[x]) for x, _ in kernel.arrays)
        code = """
        {{
            const npy_int64 *given = (const npy_int64 *)PyArray_DATA({sizes});
            const size_t n_rows = given[0], nnz = given[1], n_used = given[3];
            (void)n_rows, (void)nnz, (void)n_used;
            """ + self.prepare + """
            if (theano_prep_output(&{out}, {ndim}, shape, {typecode}, GA_C_ORDER, {context})) {{ {fail} }}
            """ + self.fill + """
            if (grid[0] && grid[1]) {{
                size_t block[2] = {{{width}, {height}}};
                for (int i = 0; i < 2; i++)
                    grid[i] = grid[i] < 65535 ? grid[i] : 65535;
                int err = {kernel}_call(2, grid, block, 0, {arguments}, {sizes_of_kernel});
                if (err != GA_NO_ERROR) {{
                    PyErr_Format(PyExc_RuntimeError, "{kernel}: %s", GpuKernel_error(&k_{kernel}_{name}, err));
                    {fail}
                }}
            }}
        }}"""
        return code.format(
            ndim=node.outputs[0].ndim, typecode=node.outputs[0].type.typecode, context=sub["params"],
            fail=sub["fail"], width=WIDTH, height=kernel.height, kernel=self.kernel, arguments=arguments,
            sizes_of_kernel=", ".join(kernel.sizes), name=name, **names)

    # C code: what checks the inputs and says the output's shape, the numbers that the kernel takes beyond the block's
    # own, and how many blocks of threads there are, in two directions.
    prepare = ""
    fill = ""
    more = []


class GpuCsrDot(_GpuCsrOp):
    """`csr_dot`."""

    kernel, ndims = "csr_dot", {"F": 2, "out": 2}
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({data}, 0), PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            size_t k = PyGpuArray_DIM({F}, 1), shape[2] = {{n_rows, k}}, grid[2] = {{n_rows, (k + 127) / 128}};
    """

    def infer_shape(self, node, shapes):
        return [(node.inputs[3][0], shapes[2][1])]


class GpuSampledDot(_GpuCsrOp):
    """`sampled_dot`."""

    kernel, ndims = "sampled_dot", {"A": 2, "F": 2}
    prepare = """
            if (sparse_ae_same_units({A}, {F})
                || sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({A}, 0), -1, PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            size_t k = PyGpuArray_DIM({F}, 1), shape[1] = {{nnz}}, grid[2] = {{(nnz + 7) / 8, 1}};
    """

    def infer_shape(self, node, shapes):
        return [(node.inputs[3][1],)]


class GpuCsrTDot(_GpuCsrOp):
    """`csr_t_dot`. Rows of items without ratings are filled with 0 first."""

    kernel, ndims, more = "csr_t_dot", {"F": 2, "out": 2}, ["n_items"]
    prepare = """
            const npy_int64 n_items = *(const npy_int64 *)PyArray_DATA({n_items});
            if (sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({F}, 0), PyGpuArray_DIM({data}, 0), n_items))
                {{ {fail} }}
            size_t k = PyGpuArray_DIM({F}, 1), shape[2] = {{(size_t)n_items, k}};
            size_t grid[2] = {{n_used, (k + 127) / 128}};
    """
    fill = """
            if (n_items && k && GpuArray_memset(&{out}->ga, 0) != GA_NO_ERROR) {{
                PyErr_SetString(PyExc_RuntimeError, "csr_t_dot: the output can't be filled with 0");
                {fail}
            }}
    """

    def infer_shape(self, node, shapes):
        return [(node.inputs[5], shapes[2][1])]


class GpuDenseRows(_GpuCsrOp):
    """`dense_rows`."""

    kernel, ndims, more = "dense_rows", {"out": 2}, ["n_items"]
    prepare = """
            const npy_int64 n_items = *(const npy_int64 *)PyArray_DATA({n_items});
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({values}, 0), n_items)) {{ {fail} }}
            size_t shape[2] = {{n_rows, (size_t)n_items}}, grid[2] = {{(nnz + 255) / 256, 1}};
    """
    fill = GpuCsrTDot.fill.replace("n_items && k", "n_items && n_rows").replace("csr_t_dot", "dense_rows")

    def infer_shape(self, node, shapes):
        return [(node.inputs[2][0], node.inputs[4])]


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


@_lifts(CsrDot)
def local_gpu_csr_dot(op, context, inputs, outputs):
    data, indices, indptr, F = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return GpuCsrDot()(data, plan, as_gpuarray_variable(F, context), *host)


@_lifts(SampledDot)
def local_gpu_sampled_dot(op, context, inputs, outputs):
    indices, indptr, A, F = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return GpuSampledDot()(plan, A, F, *host)


@_lifts(CsrTDot)
def local_gpu_csr_t_dot(op, context, inputs, outputs):
    data, indices, indptr, A, n_items = inputs
    plan, host = _planned(_by_item, indices, indptr, context)
    return GpuCsrTDot()(data, plan, as_gpuarray_variable(A, context), *host + [_host(n_items)])


@_lifts(DenseRows)
def local_gpu_dense_rows(op, context, inputs, outputs):
    values, indices, indptr, n_items = inputs
    plan, host = _planned(_by_row, indices, indptr, context)
    return GpuDenseRows()(values, plan, *host + [_host(n_items)])
