/* The sum of the squares of all outputs of a linear decoder, without forming one: the C code of everywhere.py. Comes
   after numpy_glue.h.

   BLAS has both products below. They are written out since its threads and OpenMP's, each waiting for the other's to
   stop spinning, took twice the time of one thread; here OpenMP's are the only ones. A sum doesn't depend on which
   thread does what. */
#ifndef SPARSE_AE_EVERYWHERE_H
#define SPARSE_AE_EVERYWHERE_H

namespace sparse_ae {

/* A tile of a product is ROWS x VECTORS vectors, as many as the registers hold. */
#ifdef __AVX512F__
enum { ROWS = 8, VECTORS = 2 };
#else
enum { ROWS = 4, VECTORS = 1 };
#endif

/* out[r * out_width + c] += sum over p < n of left[r][p * stride] * right[p * width + c], for a tile's r and c. */
template <typename T>
void add_tile(const T *const *left, npy_intp stride, const T *right, npy_intp width, npy_intp n, T *out,
              npy_intp out_width)
{
    typedef typename Simd<T>::vec vec;
    enum { LANES = Simd<T>::LANES };
    vec sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) sums[r][v] = Simd<T>::splat(0);
    for (npy_intp p = 0; p < n; p++) {
        vec x[VECTORS];
        for (int v = 0; v < VECTORS; v++) x[v] = *(const vec *)(right + p * width + v * LANES);
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] += left[r][p * stride] * x[v];
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) *(vec *)(out + r * out_width + v * LANES) += sums[r][v];
}

/* A matrix (n, k) with one column more, its rows padded with zeros to `width` numbers: whole tiles, and an odd number
   of cache lines, since the rows of a tile would otherwise fall into the same few sets of the cache. */
template <typename T> struct Extended {
    enum { COLUMNS = VECTORS * Simd<T>::LANES };  /* of a tile */
    const npy_intp n, k, width;
    T *rows;

    static npy_intp padded(npy_intp k)
    {
        const npy_intp lanes = Simd<T>::LANES, width = (k + COLUMNS) / COLUMNS * COLUMNS;
        return width / lanes % 2 ? width : width + lanes;
    }
    /* [x, last], or [x, 1] where there is no last; rows is NULL where there is no memory. */
    Extended(const T *x, const T *last, npy_intp n_, npy_intp k_, Buffer &buffer)
        : n(n_), k(k_), width(padded(k_)), rows(buffer.get<T>(n_ * width))
    {
        #pragma omp parallel for schedule(static) num_threads(n_threads(n * k))
        for (npy_intp i = 0; i < (rows ? n : 0); i++) {
            T *row = rows + i * width;
            memcpy(row, x + i * k, k * sizeof(T));
            row[k] = last ? last[i] : T(1);
            memset(row + k + 1, 0, (width - k - 1) * sizeof(T));
        }
    }
    /* G (width, width) = X' X, of which the first k + 1 rows and columns count. */
    void gram(T *G) const
    {
        const npy_intp chunk = 128;
        memset(G, 0, width * width * sizeof(T));
        const int threads = n_threads(n * k * k / 2);
        #pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++) {
            const FlushToZero here;
            for (npy_intp start = 0; start < n; start += chunk) {  /* rows that stay in the cache for all tiles */
                const T *part = rows + start * width;
                const npy_intp n_part = n - start < chunk ? n - start : chunk;
                npy_intp turn = 0;
                for (npy_intp j = 0; j <= k; j += COLUMNS)
                    for (npy_intp i = 0; i < j + COLUMNS; i += ROWS) {
                        if (turn++ % threads != thread) continue;
                        const T *left[ROWS];
                        for (int r = 0; r < ROWS; r++) left[r] = part + i + r;
                        add_tile(left, width, part + j, width, n_part, G + i * width + j, width);
                    }
            }
        }
        for (npy_intp i = 0; i < width; i++)
            for (npy_intp j = 0; j < i; j++) G[i * width + j] = G[j * width + i];
    }
    /* 2 X S for a symmetric S (width, width): its first k columns to `out` (n, k), and unless `last` is NULL the next
       one to `last` (n,). */
    void twice_times(const T *S, T *out, T *last) const
    {
        const npy_intp chunk = 8 * ROWS, needed = k + (last ? 1 : 0);
        #pragma omp parallel for schedule(static) num_threads(n_threads(n * k * k))
        for (npy_intp start = 0; start < n; start += chunk) {  /* rows that stay in the cache for all of S */
            const FlushToZero here;
            for (npy_intp j = 0; j < needed; j += COLUMNS)
                for (npy_intp i = start; i < start + chunk && i < n; i += ROWS) {
                    const T *left[ROWS];
                    for (int r = 0; r < ROWS; r++) left[r] = rows + (i + r < n ? i + r : n - 1) * width;
                    T tile[ROWS * COLUMNS] = {0};
                    add_tile(left, 1, S + j, width, k + 1, tile, COLUMNS);
                    for (npy_intp c = 0; c < ROWS * COLUMNS; c++) tile[c] *= 2;
                    for (int r = 0; r < ROWS && i + r < n; r++) {
                        const npy_intp columns = std::min<npy_intp>(COLUMNS, k - j);
                        memcpy(out + (i + r) * k + j, tile + r * COLUMNS, columns * sizeof(T));
                        if (columns < COLUMNS && last) last[i + r] = tile[r * COLUMNS + k - j];
                    }
                }
        }
    }
};

template <typename T>
int squared_outputs_op(PyArrayObject **in, PyArrayObject **out[], Workspace &ws)
{
    /* in: h, W, c; out: the sum, and its gradients for the three */
    const Contiguous H(in[0]), W(in[1]), c(in[2]);
    if (H.failed() || W.failed() || c.failed() || H.dim(1) != W.dim(1) || c.dim(0) != W.dim(0)) return -1;
    const npy_intp n_rows = H.dim(0), n_columns = W.dim(0), k = H.dim(1);
    const int type = PyArray_TYPE(in[1]);
    if (allocate(out[0], 0, 0, 0, type) || allocate(out[1], 2, n_rows, k, type) ||
        allocate(out[2], 2, n_columns, k, type) || allocate(out[3], 1, n_columns, 0, type))
        return -1;
    const Extended<T> h(H.data<T>(), NULL, n_rows, k, ws.extended[0]);
    const Extended<T> w(W.data<T>(), c.data<T>(), n_columns, k, ws.extended[1]);
    T *G = ws.gram[0].get<T>(w.width * w.width), *M = ws.gram[1].get<T>(h.width * h.width);
    if (!G || !M || !h.rows || !w.rows) {
        PyErr_NoMemory();
        return -1;
    }
    w.gram(G);
    h.gram(M);
    double sum = 0;
    for (npy_intp i = 0; i <= k; i++)
        for (npy_intp j = 0; j <= k; j++) sum += (double)G[i * w.width + j] * M[i * h.width + j];
    *(T *)PyArray_DATA(*out[0]) = (T)sum;
    h.twice_times(G, (T *)PyArray_DATA(*out[1]), NULL);
    w.twice_times(M, (T *)PyArray_DATA(*out[2]), (T *)PyArray_DATA(*out[3]));
    return 0;
}

}  // namespace sparse_ae

#endif
