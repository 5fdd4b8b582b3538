"""The kernels of `gpu`, in the dialect of C that libgpuarray compiles for CUDA and for OpenCL.

What they read of a CSR block beside its values are two vectors of int32 that the host has prepared: `gpu.by_row` and
`gpu.by_item`. Blocks of threads are 32 wide, so that neighbours read neighbouring columns of a factor; their height
shares out the ratings of a row or an item, and the parts are added in a fixed order. Nothing is added up by atomic
operations: two runs give the same bits, and popular items make nobody wait.
"""
from collections import OrderedDict, namedtuple

__all__ = ["KERNELS", "WIDTH", "source"]

# Threads side by side in a block.
WIDTH = 32
# Columns of a factor that each thread sums at a time: that many loads are under way at once.
_COLUMNS = 4

# `arrays`: (name, element type), the type "real" being the model's and "value" any; `sizes`: names of whole numbers;
# `height`: of a block of threads.
Kernel = namedtuple("Kernel", "name arrays sizes height body")

# Where the parts of `by_row` and `by_item` lie.
_BY_ROW = """
    GLOBAL_MEM const ga_int *indptr = plan, *indices = indptr + n_rows + 1, *rows = indices + nnz;
"""
_BY_ITEM = """
    GLOBAL_MEM const ga_int *used = plan, *starts = used + n_used, *order = starts + n_used + 1, *rows = order + nnz;
"""

# Sums of rows of a factor, each times a number: a sum for each segment of a list. The blocks of threads with one GID_1
# have the same columns.
_SEGMENT_SUMS = """
    LOCAL_MEM real part[%(columns)d * %(width)d * %(height)d];
    for (ga_size s = GID_0; s < %(n_segments)s; s += GDIM_0) {
        ga_size t = GID_1 * (ga_size)%(chunk)d + LID_0;
        real sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (ga_int q = %(starts)s[s] + (ga_int)LID_1; q < %(starts)s[s + 1]; q += %(height)d) {
            real x = %(data)s;
            GLOBAL_MEM const real *f = F + (ga_size)%(row)s * k + t;
            sum0 += t < k ? x * f[0] : 0;
            sum1 += t + %(width)d < k ? x * f[%(width)d] : 0;
            sum2 += t + 2 * %(width)d < k ? x * f[2 * %(width)d] : 0;
            sum3 += t + 3 * %(width)d < k ? x * f[3 * %(width)d] : 0;
        }
        part[(LID_1 * 4 + 0) * %(width)d + LID_0] = sum0;
        part[(LID_1 * 4 + 1) * %(width)d + LID_0] = sum1;
        part[(LID_1 * 4 + 2) * %(width)d + LID_0] = sum2;
        part[(LID_1 * 4 + 3) * %(width)d + LID_0] = sum3;
        local_barrier();
        if (LID_1 < 4 && t + LID_1 * %(width)d < k) {
            real sum = 0;
            for (ga_int y = 0; y < %(height)d; y++)
                sum += part[(y * 4 + LID_1) * %(width)d + LID_0];
            out[(ga_size)%(destination)s * k + t + LID_1 * %(width)d] = sum;
        }
        local_barrier();
    }
"""


def _segment_sums(height, **where):
    return _SEGMENT_SUMS % dict(where, columns=_COLUMNS, width=WIDTH, height=height, chunk=_COLUMNS * WIDTH)


def _kernel(name, arrays, sizes, height, body):
    return name, Kernel(name, [tuple(each.split()) for each in arrays.split(", ")], sizes.split(", "), height, body)


KERNELS = OrderedDict([
    # A block of threads for a row of R and 128 columns of F.
    _kernel("csr_dot", "data real, plan int, F real, out real", "n_rows, nnz, k", 16, _BY_ROW + _segment_sums(
        16, n_segments="n_rows", starts="indptr", data="data[q]", row="indices[q]", destination="s")),
    # The same for an item that has ratings.
    _kernel("csr_t_dot", "data real, plan int, F real, out real", "n_used, nnz, k", 8, _BY_ITEM + _segment_sums(
        8, n_segments="n_used", starts="starts", data="data[order[q]]", row="rows[q]", destination="used[s]")),
    # 32 threads for a rating.
    _kernel("sampled_dot", "plan int, A real, F real, out real", "n_rows, nnz, k", 8, _BY_ROW + """
    LOCAL_MEM real part[32 * 8];
    for (ga_size first = (ga_size)GID_0 * 8; first < nnz; first += (ga_size)GDIM_0 * 8) {
        /* the same turns for all threads */
        ga_size p = first + LID_1;
        real sum = 0;
        if (p < nnz) {
            GLOBAL_MEM const real *a = A + (ga_size)rows[p] * k, *f = F + (ga_size)indices[p] * k;
            for (ga_size t = LID_0; t < k; t += 32)
                sum += a[t] * f[t];
        }
        part[LID_1 * 32 + LID_0] = sum;
        local_barrier();
        for (ga_uint apart = 16; apart > 0; apart /= 2) {
            if (LID_0 < apart)
                part[LID_1 * 32 + LID_0] += part[LID_1 * 32 + LID_0 + apart];
            local_barrier();
        }
        if (LID_0 == 0 && p < nnz)
            out[p] = part[LID_1 * 32];
        local_barrier();
    }
"""),
    # A thread for a rating; the other entries are 0 already.
    _kernel("dense_rows", "values value, plan int, out value", "n_rows, nnz, n_items", 8, _BY_ROW + """
    ga_size threads = LDIM_0 * (ga_size)LDIM_1;
    for (ga_size p = GID_0 * threads + LID_1 * LDIM_0 + LID_0; p < nnz; p += GDIM_0 * threads)
        out[(ga_size)rows[p] * n_items + indices[p]] = values[p];
"""),
])


def source(name, real="ga_float", value="ga_float"):
    """A kernel's whole source, which begins by including libgpuarray's cluda.h.

    Parameters
    ----------
    name : str
        Of one of `KERNELS`.
    real, value : str
        The types of what the kernel computes with, and of what it only moves, as cluda.h names them.

    Returns
    -------
    str
        Each array of the kernel's comes with its offset in bytes.
    """
    kernel = KERNELS[name]
    types = {"real": real, "value": value, "int": "ga_int"}
    arrays = [(x, types[kind]) for x, kind in kernel.arrays]
    signature = ["GLOBAL_MEM %s *%s, ga_size %s_offset" % (kind, x, x) for x, kind in arrays]
    signature += ["ga_size %s" % x for x in kernel.sizes]
    shifts = ["    %s = (GLOBAL_MEM %s *)((GLOBAL_MEM char *)%s + %s_offset);\n" % (x, kind, x, x)
              for x, kind in arrays]
    return '#include "cluda.h"\n#define real %s\nKERNEL void %s(%s)\n{\n%s%s}\n' % (
        real, name, ", ".join(signature), "".join(shifts), kernel.body)
