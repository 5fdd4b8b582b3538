"""The products of `csr` on a GPU, as Ops with one kernel each."""
from sparse_ae.ops.gpu.base import GpuCsrOp


class GpuPartSums(GpuCsrOp):
    """The first half of `csr_dot`, and of hidden units: sums over each part's ratings, (n_parts, k)."""

    kernel, ndims, more = "part_sums", {"F": 2, "out": 2}, ["part_sizes"]
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, -1, PyGpuArray_DIM({data}, 0), PyGpuArray_DIM({F}, 0))) {{ {fail} }}
            const size_t k = PyGpuArray_DIM({F}, 1), n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes});
            const size_t shape_out[2] = {{n_parts, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_parts, 1), (k + 127) / 128}};
    """


class GpuSumsOfParts(GpuCsrOp):
    """Sums over each row's parts, (n_rows, k), from those of the parts, (n_parts, k)."""

    ndims, more = {"h": 2, "F": 2, "out": 2}, ["part_sizes"]
    prepare = """
            const size_t k = PyGpuArray_DIM({F}, 1), n_parts = PyGpuArray_DIM({F}, 0), shape_out[2] = {{n_rows, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_rows * k, 256), 1}};
    """


class GpuRowSums(GpuSumsOfParts):
    """The second half of `csr_dot`."""

    kernel = "row_sums"

    def infer_shape(self, node, shapes):
        return [(node.inputs[2][0], shapes[1][1])]


class GpuSampledDot(GpuCsrOp):
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


class GpuCsrTDot(GpuCsrOp):
    """`csr_t_dot`. Rows of columns without ratings are 0."""

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


class GpuDenseRows(GpuCsrOp):
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
