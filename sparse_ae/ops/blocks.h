/* The ratings item by item, and what they make of a block of hidden units. Comes after numpy_glue.h and
   nonlinearities.h.

   The hidden units are cut into blocks of at most 8 vectors; each thread owns some of them and works item by item: a
   block of an item's row of V or W is read once per batch, held in registers, and meets every rating of that item. What
   is reread is the block's slice of H and of its gradient, n_rows x block, which stays in the cache. No two threads
   write the same number. */
#ifndef SPARSE_AE_BLOCKS_H
#define SPARSE_AE_BLOCKS_H

#include <algorithm>
#include <cmath>

namespace sparse_ae {

/* A vector, its parts for sums, and its square root. Spelt out lane by lane where a loop over the lanes would go
   through memory. */
template <typename T> struct Simd;
template <> struct Simd<float> {
    typedef Lanes<float>::vec vec;
    typedef float half __attribute__((vector_size(32), aligned(4), may_alias));
    typedef float quarter __attribute__((vector_size(16), aligned(4), may_alias));
    static float sum(quarter v) { return (v[0] + v[2]) + (v[1] + v[3]); }
    static vec root(vec v)
    {
        const vec r = {std::sqrt(v[0]),  std::sqrt(v[1]),  std::sqrt(v[2]),  std::sqrt(v[3]),
                       std::sqrt(v[4]),  std::sqrt(v[5]),  std::sqrt(v[6]),  std::sqrt(v[7]),
                       std::sqrt(v[8]),  std::sqrt(v[9]),  std::sqrt(v[10]), std::sqrt(v[11]),
                       std::sqrt(v[12]), std::sqrt(v[13]), std::sqrt(v[14]), std::sqrt(v[15])};
        return r;
    }
};
template <> struct Simd<double> {
    typedef Lanes<double>::vec vec;
    typedef double half __attribute__((vector_size(32), aligned(8), may_alias));
    typedef double quarter __attribute__((vector_size(16), aligned(8), may_alias));
    static double sum(quarter v) { return v[0] + v[1]; }
    static vec root(vec v)
    {
        const vec r = {std::sqrt(v[0]), std::sqrt(v[1]), std::sqrt(v[2]), std::sqrt(v[3]),
                       std::sqrt(v[4]), std::sqrt(v[5]), std::sqrt(v[6]), std::sqrt(v[7])};
        return r;
    }
};

struct Workspace {
    Buffer keys, rows, ratings, targets, seen, spare_keys, spare_rows, spare_ratings, spare_targets, spare_seen, items,
        starts, scores, hidden, gradient, sums, gradients[5];
};

/* The ratings item by item: those of items[c] are starts[c] ... starts[c + 1] - 1, each with its row; rows ascend.
   `targets` is `ratings` where the block's are the same, `seen` NULL where the block's is. */
template <typename T> struct ByItem {
    npy_intp n_items;
    npy_int32 *items, *starts, *rows;
    T *ratings, *targets, *seen;
};

/* A radix sort of the ratings by item: its time doesn't depend on how many items there are. False when there is no
   memory. */
template <typename T> bool sort_by_item(const Csr<T> &R, Workspace &ws, ByItem<T> &out)
{
    const bool apart = R.targets != R.data;
    npy_int32 *keys = ws.keys.get<npy_int32>(R.nnz), *spare_keys = ws.spare_keys.get<npy_int32>(R.nnz);
    npy_int32 *rows = ws.rows.get<npy_int32>(R.nnz), *spare_rows = ws.spare_rows.get<npy_int32>(R.nnz);
    T *ratings = ws.ratings.get<T>(R.nnz), *spare_ratings = ws.spare_ratings.get<T>(R.nnz);
    T *targets = apart ? ws.targets.get<T>(R.nnz) : ratings,
      *spare_targets = apart ? ws.spare_targets.get<T>(R.nnz) : spare_ratings;
    T *seen = R.seen ? ws.seen.get<T>(R.nnz) : NULL, *spare_seen = R.seen ? ws.spare_seen.get<T>(R.nnz) : NULL;
    out.items = ws.items.get<npy_int32>(R.nnz);
    out.starts = ws.starts.get<npy_int32>(R.nnz + 1);
    if (!keys || !spare_keys || !rows || !spare_rows || !ratings || !spare_ratings || !targets || !spare_targets ||
        !out.items || !out.starts || (R.seen && (!seen || !spare_seen)))
        return false;

    int bits = 1;
    while (bits < 31 && ((npy_intp)1 << bits) < R.n_items) bits++;
    const int passes = (bits + 11) / 12, digit_bits = (bits + passes - 1) / passes, n_digits = 1 << digit_bits;
    npy_int32 count[1 << 12];
    for (int pass = 0; pass < passes; pass++) {
        const int shift = pass * digit_bits;
        const npy_int32 *from = pass ? keys : R.indices;
        memset(count, 0, n_digits * sizeof(npy_int32));
        for (npy_intp p = 0; p < R.nnz; p++) count[(from[p] >> shift) & (n_digits - 1)]++;
        npy_int32 start = 0;
        for (int d = 0; d < n_digits; d++) { const npy_int32 c = count[d]; count[d] = start; start += c; }
        npy_intp row = 0;
        for (npy_intp p = 0; p < R.nnz; p++) {
            if (!pass) while (R.indptr[row + 1] <= p) row++;
            const npy_int32 q = count[(from[p] >> shift) & (n_digits - 1)]++;
            spare_keys[q] = from[p];
            spare_rows[q] = pass ? rows[p] : (npy_int32)row;
            spare_ratings[q] = pass ? ratings[p] : R.data[p];
            if (apart) spare_targets[q] = pass ? targets[p] : R.targets[p];
            if (R.seen) spare_seen[q] = pass ? seen[p] : R.seen[p];
        }
        std::swap(keys, spare_keys);
        std::swap(rows, spare_rows);
        std::swap(ratings, spare_ratings);
        std::swap(targets, spare_targets);
        std::swap(seen, spare_seen);
    }
    out.rows = rows;
    out.ratings = ratings;
    out.targets = targets;
    out.seen = seen;
    out.n_items = 0;
    for (npy_intp p = 0; p < R.nnz; p++)
        if (!p || keys[p] != keys[p - 1]) {
            out.items[out.n_items] = keys[p];
            out.starts[out.n_items++] = (npy_int32)p;
        }
    out.starts[out.n_items] = (npy_int32)R.nnz;
    return true;
}

/* One block of hidden units: `width` of them from `first` on, padded with zeros to NV vectors. */
template <typename T, int NV> struct Block {
    typedef typename Simd<T>::vec vec;
    enum { LANES = 64 / sizeof(T), SIZE = NV * LANES };
    npy_intp first, width;

    static vec splat(T a) { const vec zero = {0}; return a - zero; }
    static T sum(vec v)
    {
        const typename Simd<T>::half *h = (const typename Simd<T>::half *)&v, a = h[0] + h[1];
        const typename Simd<T>::quarter *q = (const typename Simd<T>::quarter *)&a;
        return Simd<T>::sum(q[0] + q[1]);
    }
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
            } else x[y] = splat(0);
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
    /* Rows of a block lie 4k bytes apart, too far for the hardware to guess the next one. */
    void prefetch(const ByItem<T> &B, npy_intp c, npy_intp k, const T *F) const
    {
        if (c + 4 < B.n_items) {
            const char *row = (const char *)(F + B.items[c + 4] * k + first);
            for (npy_intp byte = 0; byte < (npy_intp)(width * sizeof(T)); byte += 64) __builtin_prefetch(row + byte);
        }
    }

    /* H = c R V; with TWO encoders H = c R V + S U, S what is seen of each rating */
    template <bool TWO>
    void encode(const ByItem<T> &B, npy_intp n_rows, npy_intp k, const T *V, const T *U, T c_V, T *H) const
    {
        vec x[NV], z[NV];
        memset(H, 0, n_rows * SIZE * sizeof(T));
        for (npy_intp c = 0; c < B.n_items; c++) {
            prefetch(B, c, k, V);
            load(V + B.items[c] * k, x);
            if (TWO) {
                prefetch(B, c, k, U);
                load(U + B.items[c] * k, z);
            }
            for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
                const vec a = splat(c_V * B.ratings[q]);
                vec *h = (vec *)(H + (npy_intp)B.rows[q] * SIZE);
                if (TWO) {
                    const vec s = splat(B.seen[q]);
                    for (int y = 0; y < NV; y++) h[y] += a * x[y] + s * z[y];
                } else
                    for (int y = 0; y < NV; y++) h[y] += a * x[y];
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
    void decode(const ByItem<T> &B, npy_intp k, const T *W, const T *H, T *scores, bool add) const
    {
        vec x[NV];
        for (npy_intp c = 0; c < B.n_items; c++) {
            prefetch(B, c, k, W);
            load(W + B.items[c] * k, x);
            for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
                const vec *h = (const vec *)(H + (npy_intp)B.rows[q] * SIZE);
                vec a = h[0] * x[0];
                for (int y = 1; y < NV; y++) a += h[y] * x[y];
                scores[q] = add ? scores[q] + sum(a) : sum(a);
            }
        }
    }

    /* D = dS c W, the hidden units' gradient, and in the same pass dS' H, W's gradient, which `sink` takes item by
       item. */
    template <typename Sink>
    void decode_gradient(const ByItem<T> &B, npy_intp n_rows, npy_intp k, const T *W, T c_W, const T *H, const T *dS,
                         T *D, Sink &sink) const
    {
        vec x[NV], g[NV];
        memset(D, 0, n_rows * SIZE * sizeof(T));
        for (npy_intp c = 0; c < B.n_items; c++) {
            prefetch(B, c, k, W);
            sink.prefetch(*this, B, c, k);
            load(W + B.items[c] * k, x);
            for (int y = 0; y < NV; y++) g[y] = splat(0);
            for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
                const vec *h = (const vec *)(H + (npy_intp)B.rows[q] * SIZE);
                vec *d = (vec *)(D + (npy_intp)B.rows[q] * SIZE);
                const vec e = splat(dS[q]), ce = splat(c_W * dS[q]);
                for (int y = 0; y < NV; y++) {
                    g[y] += e * h[y];
                    d[y] += ce * x[y];
                }
            }
            sink(*this, sink.row(B, c) * sink.stride(k), B.starts[c + 1] - B.starts[c], x, g);
        }
    }

    /* D *= g'(H); its column sums, mu's gradient, go to `sink`. */
    template <typename Sink>
    void hidden_gradient(npy_intp n_rows, int g, const T *H, T *D, const T *mu, Sink &sink) const
    {
        vec x[NV], sums[NV];
        for (int y = 0; y < NV; y++) sums[y] = splat(0);
        times_slope(g, D, H, n_rows * SIZE);
        for (npy_intp i = 0; i < n_rows; i++)
            for (int y = 0; y < NV; y++) sums[y] += *(const vec *)(D + i * SIZE + y * LANES);
        load(mu, x);
        sink(*this, 0, 0, x, sums);
    }

    /* R' D, V's gradient, to its sink item by item; with TWO encoders S' D, U's, to the other. */
    template <bool TWO, typename Sink>
    void encode_gradient(const ByItem<T> &B, npy_intp k, const T *V, const T *U, const T *D, Sink &to_V,
                         Sink &to_U) const
    {
        vec x[NV], g[NV], z[NV];
        for (npy_intp c = 0; c < B.n_items; c++) {
            const npy_int32 n = B.starts[c + 1] - B.starts[c];
            prefetch(B, c, k, V);
            to_V.prefetch(*this, B, c, k);
            if (TWO) {
                prefetch(B, c, k, U);
                to_U.prefetch(*this, B, c, k);
            }
            for (int y = 0; y < NV; y++) g[y] = z[y] = splat(0);
            for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
                const vec *d = (const vec *)(D + (npy_intp)B.rows[q] * SIZE);
                const vec a = splat(B.ratings[q]);
                for (int y = 0; y < NV; y++) g[y] += a * d[y];
                if (TWO) {
                    const vec s = splat(B.seen[q]);
                    for (int y = 0; y < NV; y++) z[y] += s * d[y];
                }
            }
            load(V + B.items[c] * k, x);
            to_V(*this, to_V.row(B, c) * to_V.stride(k), n, x, g);
            if (TWO) {
                load(U + B.items[c] * k, x);
                to_U(*this, to_U.row(B, c) * to_U.stride(k), n, x, z);
            }
        }
    }
};

}  // namespace sparse_ae

#endif
