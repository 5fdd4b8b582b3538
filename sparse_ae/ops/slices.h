/* The ratings of a CSR block sorted by column, and what they add to a slice of the hidden units. Comes after
   numpy_glue.h and nonlinearities.h.

   The hidden units are cut into slices of at most 8 vectors. Each thread owns some of them, and works column by column:
   a slice of a column's row of V or W is read once per batch, held in registers, and meets every rating of that column.
   The slices of H and of its gradient, n_rows x slice, are read again for each column, and stay in the cache. No two
   threads write the same number. */
#ifndef SPARSE_AE_SLICES_H
#define SPARSE_AE_SLICES_H

namespace sparse_ae {

/* The ratings of columns[c] are starts[c] ... starts[c + 1] - 1, each with its row; rows ascend. `targets` is `ratings`
   where the block's are the same, `indicator` NULL where the block's is. */
template <typename T> struct Sorted {
    npy_intp n_columns;
    npy_int32 *columns, *starts, *rows;
    T *ratings, *targets, *indicator;
};

/* A radix sort of the ratings by column: its time doesn't depend on the number of columns. False where there is no
   memory. */
template <typename T> bool sort_by_column(const Csr<T> &R, Workspace &ws, Sorted<T> &out)
{
    const bool has_targets = R.targets != R.data;
    npy_int32 *keys[2], *rows[2];  /* before and after a pass */
    T *ratings[2], *targets[2], *indicator[2];
    for (int i = 0; i < 2; i++) {
        keys[i] = ws.keys[i].get<npy_int32>(R.nnz);
        rows[i] = ws.rows[i].get<npy_int32>(R.nnz);
        ratings[i] = ws.ratings[i].get<T>(R.nnz);
        targets[i] = has_targets ? ws.targets[i].get<T>(R.nnz) : ratings[i];
        indicator[i] = R.indicator ? ws.indicator[i].get<T>(R.nnz) : NULL;
        if (!keys[i] || !rows[i] || !ratings[i] || !targets[i] || (R.indicator && !indicator[i])) return false;
    }
    out.columns = ws.columns.get<npy_int32>(R.nnz);
    out.starts = ws.starts.get<npy_int32>(R.nnz + 1);
    if (!out.columns || !out.starts) return false;

    int bits = 1;
    while (bits < 31 && ((npy_intp)1 << bits) < R.n_columns) bits++;
    const int passes = (bits + 11) / 12, digit_bits = (bits + passes - 1) / passes, n_digits = 1 << digit_bits;
    npy_int32 count[1 << 12];
    for (int pass = 0; pass < passes; pass++) {
        const int shift = pass * digit_bits;
        const npy_int32 *from = pass ? keys[0] : R.indices;
        memset(count, 0, n_digits * sizeof(npy_int32));
        for (npy_intp p = 0; p < R.nnz; p++) count[(from[p] >> shift) & (n_digits - 1)]++;
        npy_int32 start = 0;
        for (int d = 0; d < n_digits; d++) { const npy_int32 c = count[d]; count[d] = start; start += c; }
        npy_intp row = 0;
        for (npy_intp p = 0; p < R.nnz; p++) {
            if (!pass) while (R.indptr[row + 1] - R.indptr[0] <= p) row++;
            const npy_int32 q = count[(from[p] >> shift) & (n_digits - 1)]++;
            keys[1][q] = from[p];
            rows[1][q] = pass ? rows[0][p] : (npy_int32)row;
            ratings[1][q] = pass ? ratings[0][p] : R.data[p];
            if (has_targets) targets[1][q] = pass ? targets[0][p] : R.targets[p];
            if (R.indicator) indicator[1][q] = pass ? indicator[0][p] : R.indicator[p];
        }
        std::swap(keys[0], keys[1]);
        std::swap(rows[0], rows[1]);
        std::swap(ratings[0], ratings[1]);
        std::swap(targets[0], targets[1]);
        std::swap(indicator[0], indicator[1]);
    }
    out.rows = rows[0];
    out.ratings = ratings[0];
    out.targets = targets[0];
    out.indicator = indicator[0];
    out.n_columns = 0;
    for (npy_intp q = 0; q < R.nnz; q++)
        if (!q || keys[0][q] != keys[0][q - 1]) {
            out.columns[out.n_columns] = keys[0][q];
            out.starts[out.n_columns++] = (npy_int32)q;
        }
    out.starts[out.n_columns] = (npy_int32)R.nnz;
    return true;
}

/* A slice of the hidden units: `width` of them from `first` on, padded with zeros to NV vectors. */
template <typename T, int NV> struct Slice {
    typedef Simd<T> S;
    typedef typename S::vec vec;
    enum { LANES = S::LANES, SIZE = NV * LANES };
    npy_intp first, width;

    void load(const T *row, vec *x) const
    {
        const T *from = row + first;
        const int whole = width / LANES;
        for (int y = 0; y < NV; y++) {
            if (y < whole) x[y] = *(const vec *)(from + y * LANES);
            else if (y * LANES < width) {
                T padded[LANES] = {0};
                memcpy(padded, from + y * LANES, (width - y * LANES) * sizeof(T));
                x[y] = *(const vec *)padded;
            } else x[y] = S::splat(0);
        }
    }
    void store(T *row, const vec *x) const
    {
        T *to = row + first;
        const int whole = width / LANES;
        for (int y = 0; y < NV; y++) {
            if (y < whole) *(vec *)(to + y * LANES) = x[y];
            else if (y * LANES < width) memcpy(to + y * LANES, &x[y], (width - y * LANES) * sizeof(T));
        }
    }
    /* Slices of two rows lie 4k bytes apart, too far for the hardware to guess the next one. */
    void prefetch(const Sorted<T> &R, npy_intp c, npy_intp k, const T *F) const
    {
        if (c + 4 < R.n_columns) {
            const char *row = (const char *)(F + R.columns[c + 4] * k + first);
            for (npy_intp byte = 0; byte < (npy_intp)(width * sizeof(T)); byte += 64) __builtin_prefetch(row + byte);
        }
    }

    /* H = c R V; where there is a second encoder, H = c R V + S U, for the indicator S */
    template <bool HAS_U>
    void encode(const Sorted<T> &R, npy_intp n_rows, npy_intp k, const T *V, const T *U, T c_V, T *H) const
    {
        vec x[NV], z[NV];
        memset(H, 0, n_rows * SIZE * sizeof(T));
        for (npy_intp c = 0; c < R.n_columns; c++) {
            prefetch(R, c, k, V);
            load(V + R.columns[c] * k, x);
            if (HAS_U) {
                prefetch(R, c, k, U);
                load(U + R.columns[c] * k, z);
            }
            for (npy_int32 q = R.starts[c]; q < R.starts[c + 1]; q++) {
                const vec a = S::splat(c_V * R.ratings[q]), s = S::splat(HAS_U ? R.indicator[q] : T(0));
                vec *h = (vec *)(H + (npy_intp)R.rows[q] * SIZE);
                for (int y = 0; y < NV; y++) h[y] += HAS_U ? a * x[y] + s * z[y] : a * x[y];
            }
        }
    }

    /* H = g(H + mu) */
    void activate(npy_intp n_rows, const T *mu, int g, T *H) const
    {
        vec x[NV];
        load(mu, x);
        for (npy_intp i = 0; i < n_rows; i++)
            for (int y = 0; y < NV; y++) *(vec *)(H + i * SIZE + y * LANES) += x[y];
        apply_each(g, H, n_rows * SIZE);
        if (width < SIZE)  /* g(0) needn't be 0 */
            for (npy_intp i = 0; i < n_rows; i++) memset(H + i * SIZE + width, 0, (SIZE - width) * sizeof(T));
    }

    /* scores (+)= H W', at the ratings */
    void decode(const Sorted<T> &R, npy_intp k, const T *W, const T *H, T *scores, bool add) const
    {
        vec x[NV];
        for (npy_intp c = 0; c < R.n_columns; c++) {
            prefetch(R, c, k, W);
            load(W + R.columns[c] * k, x);
            for (npy_int32 q = R.starts[c]; q < R.starts[c + 1]; q++) {
                const vec *h = (const vec *)(H + (npy_intp)R.rows[q] * SIZE);
                vec a = h[0] * x[0];
                for (int y = 1; y < NV; y++) a += h[y] * x[y];
                scores[q] = add ? scores[q] + S::sum(a) : S::sum(a);
            }
        }
    }

    /* D = dS c W, the gradient for the hidden units, and in the same pass dS' H, that for W: `sink` gets a row of it
       for each column. */
    template <typename Sink>
    void decode_gradient(const Sorted<T> &R, npy_intp n_rows, npy_intp k, const T *W, T c_W, const T *H, const T *dS,
                         T *D, Sink &sink) const
    {
        vec x[NV], g[NV];
        memset(D, 0, n_rows * SIZE * sizeof(T));
        for (npy_intp c = 0; c < R.n_columns; c++) {
            prefetch(R, c, k, W);
            sink.prefetch(*this, R, c, k);
            load(W + R.columns[c] * k, x);
            for (int y = 0; y < NV; y++) g[y] = S::splat(0);
            for (npy_int32 q = R.starts[c]; q < R.starts[c + 1]; q++) {
                const vec *h = (const vec *)(H + (npy_intp)R.rows[q] * SIZE);
                vec *d = (vec *)(D + (npy_intp)R.rows[q] * SIZE);
                const vec e = S::splat(dS[q]), ce = S::splat(c_W * dS[q]);
                for (int y = 0; y < NV; y++) {
                    g[y] += e * h[y];
                    d[y] += ce * x[y];
                }
            }
            sink(*this, sink.row(R, c) * sink.stride(k), R.starts[c + 1] - R.starts[c], x, g);
        }
    }

    /* D *= g'(H); `sink` gets its column sums, the gradient for mu. */
    template <typename Sink>
    void hidden_gradient(npy_intp n_rows, int g, const T *H, T *D, const T *mu, Sink &sink) const
    {
        vec x[NV], sums[NV];
        for (int y = 0; y < NV; y++) sums[y] = S::splat(0);
        times_slope(g, D, H, n_rows * SIZE);
        for (npy_intp i = 0; i < n_rows; i++)
            for (int y = 0; y < NV; y++) sums[y] += *(const vec *)(D + i * SIZE + y * LANES);
        load(mu, x);
        sink(*this, 0, 0, x, sums);
    }

    /* R' D, the gradient for V, and where there is a second encoder S' D, that for U: each sink gets a row for each
       column. */
    template <bool HAS_U, typename Sink>
    void encode_gradient(const Sorted<T> &R, npy_intp k, const T *V, const T *U, const T *D, Sink &to_V,
                         Sink &to_U) const
    {
        vec x[NV], g[NV], z[NV];
        for (npy_intp c = 0; c < R.n_columns; c++) {
            const npy_int32 n = R.starts[c + 1] - R.starts[c];
            prefetch(R, c, k, V);
            to_V.prefetch(*this, R, c, k);
            if (HAS_U) {
                prefetch(R, c, k, U);
                to_U.prefetch(*this, R, c, k);
            }
            for (int y = 0; y < NV; y++) g[y] = z[y] = S::splat(0);
            for (npy_int32 q = R.starts[c]; q < R.starts[c + 1]; q++) {
                const vec *d = (const vec *)(D + (npy_intp)R.rows[q] * SIZE);
                const vec a = S::splat(R.ratings[q]), s = S::splat(HAS_U ? R.indicator[q] : T(0));
                for (int y = 0; y < NV; y++) g[y] += a * d[y];
                if (HAS_U)
                    for (int y = 0; y < NV; y++) z[y] += s * d[y];
            }
            load(V + R.columns[c] * k, x);
            to_V(*this, to_V.row(R, c) * to_V.stride(k), n, x, g);
            if (HAS_U) {
                load(U + R.columns[c] * k, x);
                to_U(*this, to_U.row(R, c) * to_U.stride(k), n, x, z);
            }
        }
    }
};

}  // namespace sparse_ae

#endif
