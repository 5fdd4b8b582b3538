"""The kernels, in the dialect of C that libgpuarray compiles for CUDA and OpenCL. `plans` makes their vectors of int32;
docs/develop/compiling.md explains blocks of threads, and why there are no atomic operations."""
from collections import OrderedDict, namedtuple

from sparse_ae.ops.nonlinearities import NONLINEARITIES

#: Threads side by side in a block.
WIDTH = 32
# Columns of a factor that each thread sums at a time: it has as many loads under way.
_COLUMNS = 4

# `arrays`: (name, element type), where "real" is the model's type and "value" any; the last `n_out` are written.
# `sizes`: names of integers; `numbers`: names of reals; `height`: of a block of threads.
Kernel = namedtuple("Kernel", "name arrays n_out sizes numbers height body")

# The starts of the lists in the vectors of ByRow, ByItem and Parts.
_BY_ROW = """
    GLOBAL_MEM const ga_int *indptr = plan, *indices = indptr + n_rows + 1, *rows = indices + nnz;
"""
_BY_ITEM = """
    GLOBAL_MEM const ga_int *used = plan, *starts = used + n_used, *order = starts + n_used + 1, *rows = order + nnz;
"""

_BY_PART = """
    GLOBAL_MEM const ga_int *part_starts = parts, *part_rows = part_starts + n_parts + 1;
    GLOBAL_MEM const ga_int *row_parts = part_rows + n_parts;
"""

# A loop whose iterations are divided among all threads.
_EACH = ("for (ga_size i = (GID_0 * (ga_size)LDIM_1 + LID_1) * LDIM_0 + LID_0; i < n;"
         " i += GDIM_0 * (ga_size)LDIM_1 * LDIM_0)")

# Sums of rows of a factor, each times a number: a sum for each segment of a list. Blocks of threads with the same GID_1
# have the same columns, each thread four: side by side where they are loaded together, else at distances of WIDTH.
_SEGMENT_SUMS = """
    LOCAL_MEM real part[%(chunk)d * %(height)d];
    ga_int together = TOGETHER(F);
    ga_size stride = together ? 1 : %(width)d, mine = together ? %(columns)d * LID_0 : LID_0;
    for (ga_size s = GID_0; s < %(n_segments)s; s += GDIM_0) {
        ga_size t = GID_1 * (ga_size)%(chunk)d + mine;
        real sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
        for (ga_int q = %(starts)s[s] + (ga_int)LID_1; q < %(starts)s[s + 1]; q += %(height)d) {
            real x = %(data)s;
            GLOBAL_MEM const real *f = F + (ga_size)%(row)s * k + t;
            if (together) {
                if (t < k) {
                    real4 four = FOUR(f);
                    sum0 += x * four.x;
                    sum1 += x * four.y;
                    sum2 += x * four.z;
                    sum3 += x * four.w;
                }
            } else {
                sum0 += t < k ? x * f[0] : 0;
                sum1 += t + %(width)d < k ? x * f[%(width)d] : 0;
                sum2 += t + 2 * %(width)d < k ? x * f[2 * %(width)d] : 0;
                sum3 += t + 3 * %(width)d < k ? x * f[3 * %(width)d] : 0;
            }
        }
        part[LID_1 * %(chunk)d + mine] = sum0;
        part[LID_1 * %(chunk)d + mine + stride] = sum1;
        part[LID_1 * %(chunk)d + mine + 2 * stride] = sum2;
        part[LID_1 * %(chunk)d + mine + 3 * stride] = sum3;
        local_barrier();
        t = LID_1 * %(width)d + LID_0;
        if (LID_1 < %(columns)d && GID_1 * (ga_size)%(chunk)d + t < k) {
            real sum = 0;
            for (ga_int y = 0; y < %(height)d; y++)
                sum += part[y * %(chunk)d + t];
            t += GID_1 * (ga_size)%(chunk)d;
            %(finish)s
        }
        local_barrier();
    }
"""

# A thread's part of the dot product of two rows, `a` and `f`, added to `sum`.
_DOT = """
            if (together)
                for (ga_size t = 4 * LID_0; t < k; t += 4 * 32) {
                    real4 x = FOUR(a + t), y = FOUR(f + t);
                    sum += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
                }
            else
                for (ga_size t = LID_0; t < k; t += 32)
                    sum += a[t] * f[t];
"""


def _segment_sums(height, finish="out[(ga_size)%(destination)s * k + t] = sum;", **where):
    return _SEGMENT_SUMS % dict(where, finish=finish % where, columns=_COLUMNS, width=WIDTH, height=height,
                                chunk=_COLUMNS * WIDTH)


def _sums_of_parts(out):
    """`out` for each row and column, a thread for each, from `sum`, the sum of `F` over the row's parts."""
    return _BY_PART + """
    EACH(i, n_rows * k) {
        ga_size r = i / k, t = i %% k;
        real sum = 0;
        for (ga_int s = row_parts[r]; s < row_parts[r + 1]; s++)
            sum += F[(ga_size)s * k + t];
        out[i] = %s;
    }
""" % out


def _kernel(name, arrays, sizes, height, body, n_out=1, numbers=""):
    arrays = [tuple(each.split()) for each in arrays.split(", ")]
    return name, Kernel(name, arrays, n_out, sizes.split(", "), numbers.split(), height, body)


def _updating_kernel(name, arrays, n_out, numbers, update):
    """As csr_t_dot, but `update` computes new values at `i` from `sum`, and adds to `total`. The first array that is
    written gets the totals, one for each block of threads."""
    totals = arrays.split(", ")[-n_out].split()[0]
    return _kernel(name, arrays, "n_used, nnz, k", 8, _BY_ITEM + """
    real total = 0;
""" + _segment_sums(8, """
            ga_size i = (ga_size)%(destination)s * k + t;
""" + update, n_segments="n_used", starts="starts", data="data[order[q]]", row="rows[q]", destination="used[s]") + """
    part[LID_1 * 32 + LID_0] = total;
    local_barrier();
    for (ga_uint offset = 128; offset > 0; offset /= 2) {
        if (LID_1 * 32 + LID_0 < offset)
            part[LID_1 * 32 + LID_0] += part[LID_1 * 32 + LID_0 + offset];
        local_barrier();
    }
    if (LID_0 == 0 && LID_1 == 0)
        %s[GID_1 * GDIM_0 + GID_0] = part[0];
""" % totals, n_out, numbers)


#: The kernels' source, by name.
KERNELS = OrderedDict([
    # csr_dot in two steps. A block of threads for a part of a row of R and 128 columns of F; then each row's parts.
    _kernel("part_sums", "data real, plan int, parts int, F real, out real", "n_rows, nnz, n_parts, k", 16,
            _BY_ROW + _BY_PART + _segment_sums(16, n_segments="n_parts", starts="part_starts", data="data[q]",
                                               row="indices[q]", destination="s")),
    _kernel("row_sums", "parts int, F real, out real", "n_rows, n_parts, k", 8, _sums_of_parts("sum")),
    # Hidden units from such sums; and the gradient for their pre-activations, from each part's gradient.
    _kernel("hidden", "parts int, F real, mu real, out real", "n_rows, n_parts, k", 8,
            _sums_of_parts("G(scale * sum + mu[t])"), numbers="scale"),
    _kernel("hidden_slopes", "parts int, h real, F real, out real", "n_rows, n_parts, k", 8,
            _sums_of_parts("scale * sum * G_SLOPE(h[i])"), numbers="scale"),
    # csr_t_dot: a block of threads for each column with ratings, at most one for each row of a mini-batch.
    _kernel("csr_t_dot", "data real, plan int, F real, out real", "n_used, nnz, k", 8, _BY_ITEM + _segment_sums(
        8, n_segments="n_used", starts="starts", data="data[order[q]]", row="rows[q]", destination="used[s]")),
    # 32 threads for a rating.
    _kernel("sampled_dot", "plan int, A real, F real, out real", "n_rows, nnz, k", 8, _BY_ROW + """
    LOCAL_MEM real part[32 * 8];
    ga_int together = TOGETHER(A) && TOGETHER(F);
    for (ga_size first = (ga_size)GID_0 * 8; first < nnz; first += (ga_size)GDIM_0 * 8) {
        /* as many iterations for all threads */
        ga_size p = first + LID_1;
        real sum = 0;
        if (p < nnz) {
            GLOBAL_MEM const real *a = A + (ga_size)rows[p] * k, *f = F + (ga_size)indices[p] * k;
""" + _DOT + """
        }
        part[LID_1 * 32 + LID_0] = sum;
        local_barrier();
        for (ga_uint offset = 16; offset > 0; offset /= 2) {
            if (LID_0 < offset)
                part[LID_1 * 32 + LID_0] += part[LID_1 * 32 + LID_0 + offset];
            local_barrier();
        }
        if (LID_0 == 0 && p < nnz)
            out[p] = part[LID_1 * 32];
        local_barrier();
    }
"""),
    # Zeros: with Theano's GpuArray_memset OpenCL compiles a program in each call.
    _kernel("zeros", "out value", "n", 8, """
    EACH(i, n)
        out[i] = 0;
"""),
    # A thread for a rating; the other entries are 0 already.
    _kernel("dense_rows", "values value, plan int, out value", "n_rows, nnz, n_items", 8, _BY_ROW + """
    EACH(p, nnz)
        out[(ga_size)rows[p] * n_items + indices[p]] = values[p];
"""),
    # A block of threads for a part of a row. For 32 ratings at a time, 32 threads for each compute the score, one the
    # error, and then all threads the gradient for the row's hidden units: W's rows are in the cache by then.
    _kernel("decode", "plan int, parts int, h real, W real, b real, target real, slopes real, squares real, "
            "gradients real", "n_rows, nnz, n_parts, k", 8, _BY_ROW + _BY_PART + """
    LOCAL_MEM real sums[32 * 32], slope[32];
    ga_int together = TOGETHER(h) && TOGETHER(W);
    for (ga_size s = GID_0; s < n_parts; s += GDIM_0) {
        GLOBAL_MEM const real *a = h + (ga_size)part_rows[s] * k;
        ga_int end = part_starts[s + 1];
        real square = 0;
        for (ga_size t = LID_1 * 32 + LID_0; t < k; t += 256)
            gradients[s * k + t] = 0;
        for (ga_int first = part_starts[s]; first < end; first += 32) {
            ga_int n = end - first < 32 ? end - first : 32;
            for (ga_int j = LID_1; j < 32; j += 8) {
                real sum = 0;
                if (j < n) {
                    GLOBAL_MEM const real *f = W + (ga_size)indices[first + j] * k;
""" + _DOT + """
                }
                sums[j * 32 + LID_0] = sum;
            }
            local_barrier();
            for (ga_uint offset = 16; offset > 0; offset /= 2) {
                if (LID_0 < offset)
                    for (ga_int j = LID_1; j < 32; j += 8)
                        sums[j * 32 + LID_0] += sums[j * 32 + LID_0 + offset];
                local_barrier();
            }
            if (LID_1 == 0 && (ga_int)LID_0 < n) {
                ga_int p = first + LID_0;
                real y = F(scale * sums[LID_0 * 32] + b[indices[p]]), error = low + span * y - target[p];
                square += error * error;
                slope[LID_0] = 2 * error * span * F_SLOPE(y);
                slopes[p] = slope[LID_0];
            }
            local_barrier();
            for (ga_size t = LID_1 * 32 + LID_0; t < k; t += 256) {
                real sum = 0;
                for (ga_int j = 0; j < n; j++)
                    sum += slope[j] * W[(ga_size)indices[first + j] * k + t];
                gradients[s * k + t] += sum;
            }
            local_barrier();
        }
        if (LID_1 == 0)
            sums[LID_0] = square;
        local_barrier();
        if (LID_0 == 0 && LID_1 == 0) {
            real sum = 0;
            for (ga_int j = 0; j < 32; j++)
                sum += sums[j];
            squares[s] = sum;
        }
        local_barrier();
    }
""", n_out=3, numbers="scale low span"),
    # As csr_t_dot, added to `out` in place; and the growth of the squares.
    _updating_kernel("add_csr_t_dot", "data real, plan int, F real, growths real, out real", 2, "rate", """
            real old = out[i], moved = old + rate * sum;
            out[i] = moved;
            total += (moved - old) * (moved + old);
"""),
    # A step of Adagrad by the same sum and a decay for each rating; and n |row|^2 for n ratings, before it.
    _updating_kernel("adagrad", "data real, plan int, F real, norms real, out real, squares real", 3,
                     "rate epsilon decay", """
            real old = out[i], n = (real)(starts[s + 1] - starts[s]), slope = sum + decay * n * old;
            real square = squares[i] + slope * slope;
            squares[i] = square;
            out[i] = old - rate * slope / sqrt(square + epsilon);
            total += n * old * old;
"""),
])


def source(name, real="ga_float", value="ga_float", f="linear", g="linear"):
    """A kernel's whole source, with cluda.h's names of the types that it computes with, `real`, and only copies,
    `value`. Each array has an offset in bytes."""
    kernel = KERNELS[name]
    types = {"real": real, "value": value, "int": "ga_int"}
    arrays = [(x, types[kind]) for x, kind in kernel.arrays]
    signature = ["GLOBAL_MEM %s *%s, ga_size %s_offset" % (kind, x, x) for x, kind in arrays]
    signature += ["ga_size %s" % x for x in kernel.sizes] + ["real %s" % x for x in kernel.numbers]
    shifts = ["    %s = (GLOBAL_MEM %s *)((GLOBAL_MEM char *)%s + %s_offset);\n" % (x, kind, x, x)
              for x, kind in arrays]
    # Four numbers of a row, which a card loads at once if they are aligned to 16 bytes; float64 has no such type.
    defines = [("real", real), ("EACH(i, n)", _EACH), ("FOUR(x)", "(*(GLOBAL_MEM const real4 *)(x))"),
               ("TOGETHER(x)", "(sizeof(real) == 4 && k % 4 == 0 && (ga_size)(x) % 16 == 0)")]
    for letter, nonlinearity in (("F", f), ("G", g)):
        value_at, slope_from = NONLINEARITIES[nonlinearity].in_c
        defines += [(letter + "(x)", value_at), (letter + "_SLOPE(y)", slope_from)]
    defines = "".join("#define %s %s\n" % each for each in defines)
    four = "float4" if real == "ga_float" else "struct { real x, y, z, w; }"
    return '#include "cluda.h"\n%stypedef %s real4;\nKERNEL void %s(%s)\n{\n%s%s}\n' % (
        defines, four, name, ", ".join(signature), "".join(shifts), kernel.body)
