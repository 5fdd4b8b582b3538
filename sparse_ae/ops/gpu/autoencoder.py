"""The masked autoencoder on a GPU, as Ops with one kernel each: hidden units, errors, updates of the rows in use.
The `scales` of an Op are float64, on the host, from an Op of `host`, which checks the parameters' shapes."""
from sparse_ae.ops.gpu.base import GpuCsrOp
from sparse_ae.ops.gpu.products import GpuSumsOfParts


class GpuUnits(GpuSumsOfParts):
    """Hidden units of a block, ``g(scale R V' + mu)``, from `GpuPartSums`, by the kernel "hidden"; or, by
    "hidden_slopes", the squared error's gradient for their inputs, from `GpuDecode`'s. The scale is that at `place`."""

    __props__ = ("kernel", "place", "g")
    more = ["scales", "part_sizes"]

    def __init__(self, kernel, place, g):
        super().__init__()
        self.kernel, self.place, self.g = kernel, place, g
        self.prepare = """
            const double scale = *(const double *)PyArray_GETPTR1({scales}, %d);
    """ % place + self.prepare


class GpuDecode(GpuCsrOp):
    """``low + span f(scale W h + b)`` compared with the target. Outputs: the squared error's derivative for each score,
    (nnz,); each part's squared error; its gradient for the hidden units, (n_parts, k), without the scale."""

    __props__ = ("f", "low", "span")
    kernel, ndims, more = "decode", {"h": 2, "W": 2, "gradients": 2}, ["scales", "part_sizes"]
    prepare = """
            if (sparse_ae_check({sizes}, {indices}, PyGpuArray_DIM({h}, 0), -1, PyGpuArray_DIM({W}, 0))
                || sparse_ae_one_each("target", {target}, nnz)) {{ {fail} }}
            const double scale = *(const double *)PyArray_GETPTR1({scales}, 0), low = %r, span = %r;
            const size_t k = PyGpuArray_DIM({W}, 1), n_parts = *(const npy_int64 *)PyArray_DATA({part_sizes});
            const size_t shape_slopes[1] = {{nnz}}, shape_squares[1] = {{n_parts}}, shape_gradients[2] = {{n_parts, k}};
            size_t grid[2] = {{sparse_ae_blocks(n_parts, 1), k > 0}};
    """

    def __init__(self, f, low, span):
        super().__init__()
        self.f, self.low, self.span, self.prepare = f, low, span, self.prepare % (low, span)


class _GpuUpdate(GpuCsrOp):
    """An update of the rows in use, by the number at `place` of `scales`, float64 on the host. Its first output has the
    kernel's totals, one for each block of threads."""

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
        super().__init__(inplace)
        self.prepare = self.prepare % self.arrays()[1][0][0] + self.numbers % self.place

    def updated_code(self, name):
        taken = ("{%s} = {old_%s}; Py_INCREF({%s});" % (name, name, name) if self.inplace else
                 "if (!({%s} = pygpu_copy({old_%s}, GA_C_ORDER))) {{ {fail} }}" % (name, name))
        return """
            Py_XDECREF({%s});
            %s
            """ % (name, taken)


class GpuAddCsrTDot(_GpuUpdate):
    """``out + rate R' F``, with a negative rate, and the growth of the squares."""

    kernel, ndims = "add_csr_t_dot", {"F": 2, "out": 2}
    updated = {1: 3}
    numbers = "const double rate = scales[%d];"


class GpuAdagrad(_GpuUpdate):
    """A step of Adagrad, as `AdagradStep`, on ``out`` and its ``squares`` by R' F and a decay for each rating; `scales`
    are those of `AdagradScales`, and `place` that of twice an l2."""

    kernel, ndims = "adagrad", {"F": 2, "out": 2, "squares": 2}
    updated = {1: 3, 2: 4}
    numbers = "const double decay = scales[%d], rate = scales[5], epsilon = scales[6];"
