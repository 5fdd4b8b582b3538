/* The squares of all outputs, none of which is made: the C code of everywhere.py. Comes after numpy_glue.h.

   Both products below are written out, where BLAS has them: its threads and OpenMP's, each waiting for the other's to
   stop spinning, took twice the time that one thread did. Here OpenMP's are the only ones. Which thread does what never
   changes a sum. */
#ifndef SPARSE_AE_EVERYWHERE_H
#define SPARSE_AE_EVERYWHERE_H

namespace sparse_ae {

/* A tile of a product: ROWS x (VECTORS * LANES) sums, as many as the registers hold. */
#ifdef __AVX512F__
enum { ROWS = 8, VECTORS = 2 };
#else
enum { ROWS = 4, VECTORS = 1 };
#endif

template <typename T> struct Tile {
    typedef typename Lanes<T>::vec vec;
    enum { LANES = 64 / sizeof(T), COLUMNS = VECTORS * LANES };
    vec sums[ROWS][VECTORS];

    void clear()
    {
        const vec zero = {0};
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) sums[r][v] = zero;
    }
    /* sums[r][c] += sum over p < n of left[r][p * step] * right[p * width + c] */
    void add(const T *const *left, npy_intp step, const T *right, npy_intp width, npy_intp n)
    {
        vec s[ROWS][VECTORS];
        memcpy(s, sums, sizeof s);
        for (npy_intp p = 0; p < n; p++) {
            vec x[VECTORS];
            for (int v = 0; v < VECTORS; v++) x[v] = *(const vec *)(right + p * width + v * LANES);
            for (int r = 0; r < ROWS; r++)
                for (int v = 0; v < VECTORS; v++) s[r][v] += left[r][p * step] * x[v];
        }
        memcpy(sums, s, sizeof s);
    }
};

/* A matrix with one column more, its rows padded with zeros to `width` numbers. */
template <typename T> struct Extended {
    npy_intp n, width;
    T *rows;
};

/* Numbers in a padded row: whole tiles, and an odd number of cache lines, lest a tile's rows fall into the same few sets
   of the cache. */
template <typename T> npy_intp padded_width(npy_intp k)
{
    const npy_intp lanes = Tile<T>::LANES, columns = Tile<T>::COLUMNS;
    const npy_intp width = (k + 1 + columns - 1) / columns * columns;
    return width / lanes % 2 ? width : width + lanes;
}

/* [x, last], or [x, 1] where there is no last; rows NULL where there is no memory. */
template <typename T> Extended<T> extended(const T *x, const T *last, npy_intp n, npy_intp k, Buffer &buffer)
{
    const npy_intp width = padded_width<T>(k);
    const Extended<T> X = {n, width, buffer.get<T>(n * width)};
    if (X.rows) {
        #pragma omp parallel for schedule(static) num_threads(n_threads(n * k))
        for (npy_intp i = 0; i < n; i++) {
            T *row = X.rows + i * width;
            memcpy(row, x + i * k, k * sizeof(T));
            row[k] = last ? last[i] : T(1);
            memset(row + k + 1, 0, (width - k - 1) * sizeof(T));
        }
    }
    return X;
}

/* G (width, width) = X' X, of which the first k + 1 rows and columns count. */
template <typename T> void gram(const Extended<T> &X, npy_intp k, T *G)
{
    const npy_intp columns = Tile<T>::COLUMNS, n_panels = (k + columns) / columns, block = 128;
    memset(G, 0, X.width * X.width * sizeof(T));
    const int threads = n_threads(X.n * k * k / 2);
    #pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int thread = 0; thread < threads; thread++) {
        const FlushToZero here;
        for (npy_intp start = 0; start < X.n; start += block) {  /* rows that stay in the cache for all tiles */
            const T *rows = X.rows + start * X.width;
            const npy_intp n = X.n - start < block ? X.n - start : block;
            npy_intp turn = 0;
            for (npy_intp panel = 0; panel < n_panels; panel++)
                for (npy_intp first = 0; first < (panel + 1) * columns; first += ROWS) {
                    if (turn++ % threads != thread) continue;
                    const T *left[ROWS];
                    for (int r = 0; r < ROWS; r++) left[r] = rows + first + r;
                    Tile<T> tile;
                    tile.clear();
                    tile.add(left, X.width, rows + panel * columns, X.width, n);
                    for (int r = 0; r < ROWS; r++)
                        for (int v = 0; v < VECTORS; v++)
                            *(typename Tile<T>::vec *)(G + (first + r) * X.width + panel * columns + v * Tile<T>::LANES)
                                += tile.sums[r][v];
                }
        }
    }
    for (npy_intp i = 0; i < X.width; i++)
        for (npy_intp j = 0; j < i; j++) G[i * X.width + j] = G[j * X.width + i];
}

/* 2 X S for a symmetric S (width, width): its first k columns to `out` (n, k), the next one to `last` (n,), if there
   is one. */
template <typename T> void twice_product(const Extended<T> &X, const T *S, npy_intp k, T *out, T *last)
{
    const npy_intp columns = Tile<T>::COLUMNS, needed = k + (last ? 1 : 0), chunk = 8 * ROWS;
    #pragma omp parallel for schedule(static) num_threads(n_threads(X.n * k * k))
    for (npy_intp start = 0; start < X.n; start += chunk) {  /* rows that stay in the cache for all of S */
        const FlushToZero here;
        for (npy_intp j = 0; j < needed; j += columns)
            for (npy_intp i = start; i < start + chunk && i < X.n; i += ROWS) {
                const T *left[ROWS];
                for (int r = 0; r < ROWS; r++) left[r] = X.rows + (i + r < X.n ? i + r : X.n - 1) * X.width;
                Tile<T> tile;
                tile.clear();
                tile.add(left, 1, S + j, X.width, k + 1);
                for (int r = 0; r < ROWS && i + r < X.n; r++) {
                    for (int v = 0; v < VECTORS; v++) tile.sums[r][v] += tile.sums[r][v];
                    const T *sums = (const T *)tile.sums[r];
                    const npy_intp n = k - j < columns ? k - j : columns;
                    if (n > 0) memcpy(out + (i + r) * k + j, sums, n * sizeof(T));
                    if (last && k < j + columns) last[i + r] = sums[k - j];
                }
            }
    }
}

struct Workspace {
    Buffer h, w, g, m;
};

template <typename T>
int squared_outputs_op(PyArrayObject **in, PyArrayObject **out[], Workspace &buffers)
{
    /* in: h, W, c; out: the sum, and its gradients for the three */
    Contiguous H(in[0]), W(in[1]), c(in[2]);
    if (H.failed() || W.failed() || c.failed() || H.dim(1) != W.dim(1) || c.dim(0) != W.dim(0)) return -1;
    const npy_intp n_rows = H.dim(0), n_items = W.dim(0), k = H.dim(1), width = padded_width<T>(k);
    const int type = PyArray_TYPE(in[1]);
    if (allocate(out[0], 0, 0, 0, type) || allocate(out[1], 2, n_rows, k, type) ||
        allocate(out[2], 2, n_items, k, type) || allocate(out[3], 1, n_items, 0, type))
        return -1;
    T *G = buffers.g.get<T>(width * width), *M = buffers.m.get<T>(width * width);
    const Extended<T> h = extended<T>(H.data<T>(), NULL, n_rows, k, buffers.h);
    const Extended<T> w = extended(W.data<T>(), c.data<T>(), n_items, k, buffers.w);
    if (!G || !M || !h.rows || !w.rows) {
        PyErr_NoMemory();
        return -1;
    }
    gram(w, k, G);
    gram(h, k, M);
    double sum = 0;
    for (npy_intp i = 0; i <= k; i++)
        for (npy_intp j = 0; j <= k; j++) sum += (double)G[i * width + j] * M[i * width + j];
    *(T *)PyArray_DATA(*out[0]) = (T)sum;
    twice_product(h, G, k, (T *)PyArray_DATA(*out[1]), (T *)NULL);
    twice_product(w, M, k, (T *)PyArray_DATA(*out[2]), (T *)PyArray_DATA(*out[3]));
    return 0;
}

}  // namespace sparse_ae

#endif
