/* The masked autoencoder in one pass over the ratings: the C code of fused.py. Comes after numpy_glue.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored ratings; W and V (as V's transpose) are (n_items, k),
   rows contiguous. */
#ifndef SPARSE_AE_FUSED_H
#define SPARSE_AE_FUSED_H

#include <algorithm>
#include <cmath>
#include <vector>

namespace sparse_ae {

/* ------------------------------------------------------------------------------------------------ nonlinearities */

/* Those whose derivative is a function of their value: the fused step keeps the hidden units, not what went in. */
enum Nonlinearity { LINEAR, SIGMOID, TANH };

static inline double exp_(double x) { return std::exp(x); }
static inline double tanh_(double x) { return std::tanh(x); }

/* Cephes' single-precision exponential (S. Moshier, Methods and Programs for Mathematical Functions, 1989), without
   branches so that the compiler vectorises the loop around it; libm's costs more than the rest of a step at small k.
   Off by at most 2 ulp. */
static inline float exp_(float x)
{
    x = x < -87.f ? -87.f : x;
    x = x > 88.f ? 88.f : x;
    const float n = __builtin_rintf(x * 1.44269504088896341f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    const npy_int32 bits = (npy_int32)((npy_uint32)((npy_int32)n + 127) << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Cephes' as well: an odd polynomial near 0, where 1 - 2 / (exp(2x) + 1) would cancel. */
static inline float tanh_(float x)
{
    const float z = x * x, a = std::fabs(x);
    const float c = ((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z + 1.33314422036e-1f;
    const float small = (c * z - 3.33332819422e-1f) * z * x + x;
    const float large = 1.f - 2.f / (exp_(2.f * a) + 1.f);
    return a < 0.625f ? small : (x < 0.f ? -large : large);
}

template <int KIND, typename T> static inline T apply(T x)
{
    switch (KIND) {
    case SIGMOID: return T(1) / (T(1) + exp_(-x));
    case TANH: return tanh_(x);
    default: return x;
    }
}

/* The derivative at x, from the value y = apply(x). */
template <int KIND, typename T> static inline T slope(T y)
{
    switch (KIND) {
    case SIGMOID: return y * (T(1) - y);
    case TANH: return T(1) - y * y;
    default: return T(1);
    }
}

/* Which nonlinearity it is comes at run time, so that all share a compiled Op; inside a loop it is a constant. */
template <int KIND, typename T> void apply_each(T *x, npy_intp n)
{
    for (npy_intp i = 0; i < n; i++) x[i] = apply<KIND>(x[i]);
}

template <typename T> void apply_each(int kind, T *x, npy_intp n)
{
    switch (kind) {
    case SIGMOID: return apply_each<SIGMOID>(x, n);
    case TANH: return apply_each<TANH>(x, n);
    default: return;
    }
}

template <int KIND, typename T> void times_slope(T *d, const T *y, npy_intp n)
{
    for (npy_intp i = 0; i < n; i++) d[i] *= slope<KIND>(y[i]);
}

/* d *= the derivative, from the values y. */
template <typename T> void times_slope(int kind, T *d, const T *y, npy_intp n)
{
    switch (kind) {
    case SIGMOID: return times_slope<SIGMOID>(d, y, n);
    case TANH: return times_slope<TANH>(d, y, n);
    default: return;
    }
}

/* ------------------------------------------------------------------------------------------------ the fused step

   The hidden units are cut into blocks of at most 8 vectors; each thread owns some of them and works item by item: a
   block of an item's row of V or W is read once per batch, held in registers, and meets every rating of that item. What
   is reread is the block's slice of H and of its gradient, n_rows x block, which stays in the cache. No two threads
   write the same number. */

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

/* A block of ratings, and what the output is held against at each: often the ratings themselves, by the same pointer.
   And what a second encoder sees of each; NULL without one. */
template <typename T> struct Ratings : Csr<T> {
    const T *targets, *seen;
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
template <typename T> bool sort_by_item(const Ratings<T> &R, Workspace &ws, ByItem<T> &out)
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

/* One parameter on its way out, and the numbers of its update; a sink reads of them what it needs. */
template <typename T> struct Goal {
    T *values, *squares;  /* squares: Adagrad's sums of squared gradients, of the parameter's shape */
    double step, decay, epsilon;
};

/* Of a sink's arrays that have the parameter's shape: the row of items[c], and how far apart rows are. */
template <typename T> struct OfParameter {
    static npy_intp row(const ByItem<T> &B, npy_intp c) { return B.items[c]; }
    static npy_intp stride(npy_intp k) { return k; }
};

/* Where a gradient goes. Called with a block, the offset of a row in the sink's arrays, the number of ratings that it
   has, the row's block and its gradient; or, by `add`, with an entry of b. `sum` adds up what is said of each.

   Descend: row -= step * gradient, in place; sum: by how much the squares grew. */
template <typename T> struct Descend : OfParameter<T> {
    T *values, step;
    double sum;
    explicit Descend(const Goal<T> &to) : values(to.values), step((T)to.step), sum(0) {}
    template <int NV>
    void operator()(const Block<T, NV> &block, npy_intp row, npy_int32, typename Simd<T>::vec *x,
                    const typename Simd<T>::vec *g)
    {
        typedef Block<T, NV> B;
        const typename Simd<T>::vec s = B::splat(-step);
        typename Simd<T>::vec grown = B::splat(0);
        for (int y = 0; y < NV; y++) {
            const typename Simd<T>::vec d = s * g[y];
            grown += d * (x[y] + x[y] + d);
            x[y] += d;
        }
        block.store(values + row, x);
        sum += B::sum(grown);
    }
    template <int NV> void prefetch(const Block<T, NV> &, const ByItem<T> &, npy_intp, npy_intp) const {}
    void add(npy_intp row, T gradient) { values[row] -= step * gradient; }
};

/* Adagrad, in place, of the gradient and that of a decay for each rating: d = gradient + 2 decay n row, squares += d^2,
   row -= step * d / sqrt(squares + epsilon); sum: n |row|^2, before that. */
template <typename T> struct Adagrad : OfParameter<T> {
    T *values, *squares, step, decay, epsilon;
    double sum;
    explicit Adagrad(const Goal<T> &to)
        : values(to.values), squares(to.squares), step((T)to.step), decay((T)to.decay), epsilon((T)to.epsilon), sum(0)
    {
    }
    template <int NV>
    void operator()(const Block<T, NV> &block, npy_intp row, npy_int32 n, typename Simd<T>::vec *x,
                    const typename Simd<T>::vec *g)
    {
        typedef Block<T, NV> B;
        typename Simd<T>::vec a[NV], norm = B::splat(0);
        const typename Simd<T>::vec pull = B::splat(2 * decay * n);
        block.load(squares + row, a);
        for (int y = 0; y < NV; y++) {
            const typename Simd<T>::vec d = g[y] + pull * x[y];
            norm += x[y] * x[y];
            a[y] += d * d;
            x[y] -= B::splat(step) * d / Simd<T>::root(a[y] + B::splat(epsilon));
        }
        block.store(squares + row, a);
        block.store(values + row, x);
        sum += (double)n * B::sum(norm);
    }
    template <int NV> void prefetch(const Block<T, NV> &block, const ByItem<T> &B, npy_intp c, npy_intp k) const
    {
        block.prefetch(B, c, k, squares);
    }
    void add(npy_intp row, T gradient)
    {
        squares[row] += gradient * gradient;
        values[row] -= step * gradient / std::sqrt(squares[row] + epsilon);
    }
};

/* Store: gradient array = gradient, of the rows in use alone, one after the other, each on cache lines of its own that
   are written whole. */
template <typename T> struct Store {
    enum { LANES = 64 / sizeof(T) };
    T *values;
    double sum;
    explicit Store(const Goal<T> &to) : values(to.values), sum(0) {}
    static npy_intp row(const ByItem<T> &, npy_intp c) { return c; }
    static npy_intp stride(npy_intp k) { return (k + LANES - 1) / LANES * LANES; }
    template <int NV>
    void operator()(const Block<T, NV> &block, npy_intp row, npy_int32, typename Simd<T>::vec *,
                    const typename Simd<T>::vec *g)
    {
        T *to = values + row + block.first;
        for (int y = 0; y < NV; y++) *(typename Simd<T>::vec *)(to + y * LANES) = g[y];
    }
    template <int NV> void prefetch(const Block<T, NV> &block, const ByItem<T> &B, npy_intp c, npy_intp k) const
    {
        if (c + 4 >= B.n_items) return;
        const T *to = values + (c + 4) * stride(k) + block.first;
        for (int y = 0; y < NV; y++) __builtin_prefetch(to + y * LANES, 1);
    }
    void add(npy_intp row, T gradient) { values[row] = gradient; }
};

/* Accumulate: gradient array += gradient. */
template <typename T> struct Accumulate : OfParameter<T> {
    T *values;
    double sum;
    explicit Accumulate(const Goal<T> &to) : values(to.values), sum(0) {}
    template <int NV>
    void operator()(const Block<T, NV> &block, npy_intp row, npy_int32, typename Simd<T>::vec *x,
                    const typename Simd<T>::vec *g)
    {
        block.load(values + row, x);
        for (int y = 0; y < NV; y++) x[y] += g[y];
        block.store(values + row, x);
    }
    template <int NV> void prefetch(const Block<T, NV> &block, const ByItem<T> &B, npy_intp c, npy_intp k) const
    {
        block.prefetch(B, c, k, values);
    }
    void add(npy_intp row, T gradient) { values[row] += gradient; }
};

/* What the model is beside its parameters: output = low + span f(W g(V r + mu) + b). */
struct Function {
    int f, g;  /* Nonlinearity */
    double low, span;
    /* None; or where processes share out the items, what makes of an array of each the sum of all of them. */
    PyObject *total;
};

/* What a pass reads, and what its sinks write to: the same arrays for an update, gradients of their shapes for
   Store and Accumulate. */
template <typename T> struct Parameters {
    npy_intp k;
    int f, g;                     /* Nonlinearity */
    /* V and U: (n_items, k), the transposes of the user's; U: NULL without a second encoder. */
    const T *W, *V, *mu, *b, *U;
    T c_W, c_V;                   /* the user's W is c_W times the stored one */
    T low, span;                  /* output = low + span f(...) */
    PyObject *total;              /* as in Function */
    Goal<T> to_W, to_V, to_mu, to_b, to_U;

    /* Each of from and to: W, V, mu, b, and the fifth of `n` U. */
    Parameters(int n, PyArrayObject *const *from, PyArrayObject *const *to, const Function &function)
        : k(PyArray_DIMS(from[0])[1]), f(function.f), g(function.g), U(NULL), c_W(1), c_V(1), low((T)function.low),
          span((T)function.span), total(function.total), to_W(), to_V(), to_mu(), to_b(), to_U()
    {
        const T **read[] = {&W, &V, &mu, &b, &U};
        for (int i = 0; i < n; i++) {
            *read[i] = (const T *)PyArray_DATA(from[i]);
            goal(i).values = (T *)PyArray_DATA(to[i]);
        }
    }
    Goal<T> &goal(int i) { Goal<T> *goals[] = {&to_W, &to_V, &to_mu, &to_b, &to_U}; return *goals[i]; }
};

/* One pass: forward through each thread's blocks, the errors, backward through the blocks. Processes that share out the
   items stop twice at the hidden units, to add up what each puts into them, and what comes back. TWO: whether there is
   a second encoder. */
template <typename T, bool TWO, template <typename> class Sink> struct Pass {
    enum { LANES = 64 / sizeof(T) };
    const Ratings<T> &R;
    const Parameters<T> &P;
    ByItem<T> B;
    T *H, *D, *scores;

    Pass(const Ratings<T> &R_, const Parameters<T> &P_) : R(R_), P(P_) {}

    /* Calls `visit` for each block of this share of the vectors, with NV a compile-time constant. */
    template <typename V> void blocks(int share, int n_shares, V &visit) const
    {
        const npy_intp lines = (P.k + LANES - 1) / LANES;
        const npy_intp end = lines * (share + 1) / n_shares;
        npy_intp line = lines * share / n_shares, left = (end - line + 7) / 8;
        for (; left; left--) {
            const npy_intp nv = (end - line + left - 1) / left;
            const npy_intp first = line * LANES, width = P.k - first < nv * LANES ? P.k - first : nv * LANES;
            switch (nv) {
            case 1: visit(Block<T, 1>{first, width}); break;
            case 2: visit(Block<T, 2>{first, width}); break;
            case 3: visit(Block<T, 3>{first, width}); break;
            case 4: visit(Block<T, 4>{first, width}); break;
            case 5: visit(Block<T, 5>{first, width}); break;
            case 6: visit(Block<T, 6>{first, width}); break;
            case 7: visit(Block<T, 7>{first, width}); break;
            default: visit(Block<T, 8>{first, width});
            }
            line += nv;
        }
    }

    /* Into the hidden units, out of them, or both at once, while a block of them is in the cache. */
    struct Forward {
        const Pass &pass;
        T *scores;
        bool into, out, add;
        template <int NV> void operator()(const Block<T, NV> &block)
        {
            const Parameters<T> &P = pass.P;
            T *H = pass.H + pass.R.n_rows * block.first;
            if (into) block.template encode<TWO>(pass.B, pass.R.n_rows, P.k, P.V, P.U, P.c_V, H);
            if (out) {
                block.activate(pass.R.n_rows, P.mu, P.g, H);
                block.decode(pass.B, P.k, P.W, H, scores, add);
            }
            add = true;
        }
    };
    void forward(int n_shares, bool into, bool out)
    {
        #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
        for (int share = 0; share < n_shares; share++) {
            Forward forward = {*this, scores + share * R.nnz, into, out, false};
            blocks(share, n_shares, forward);
        }
    }

    /* The way back likewise. What the sinks add up comes to shares. */
    struct Backward {
        const Pass &pass;
        bool out, into;
        Sink<T> to_W, to_V, to_mu, to_U;
        template <int NV> void operator()(const Block<T, NV> &block)
        {
            const Parameters<T> &P = pass.P;
            T *H = pass.H + pass.R.n_rows * block.first, *D = pass.D + pass.R.n_rows * block.first;
            if (out) block.decode_gradient(pass.B, pass.R.n_rows, P.k, P.W, P.c_W, H, pass.scores, D, to_W);
            if (into) {
                block.hidden_gradient(pass.R.n_rows, P.g, H, D, P.mu, to_mu);
                block.template encode_gradient<TWO>(pass.B, P.k, P.V, P.U, D, to_V, to_U);
            }
        }
    };
    void backward(int n_shares, bool out, bool into, double *shares)
    {
        #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
        for (int share = 0; share < n_shares; share++) {
            Backward backward = {*this, out, into, Sink<T>(P.to_W), Sink<T>(P.to_V), Sink<T>(P.to_mu),
                                 Sink<T>(P.to_U)};
            blocks(share, n_shares, backward);
            shares[3 * share + 1] += backward.to_W.sum;
            shares[3 * share + 2] += backward.to_V.sum + backward.to_U.sum;
        }
    }

    /* Between blocks of hidden units, whose places follow from the number of threads, and an array (n_rows, k). */
    struct Copy {
        npy_intp n_rows, k;
        T *blocks, *array;
        bool back;
        template <int NV> void operator()(const Block<T, NV> &block)
        {
            for (npy_intp i = 0; i < n_rows; i++) {
                T *x = blocks + n_rows * block.first + i * Block<T, NV>::SIZE, *y = array + i * k + block.first;
                memcpy(back ? x : y, back ? y : x, block.width * sizeof(T));
            }
        }
    };

    /* X, of the hidden units, becomes the sum over all processes. 0, or -1 with a Python error set. */
    int sum_over_processes(int n_shares, T *X) const
    {
        npy_intp dims[] = {R.n_rows, P.k};
        const int type = sizeof(T) == 4 ? NPY_FLOAT32 : NPY_FLOAT64;
        PyObject *own = PyArray_SimpleNew(2, dims, type), *found = NULL, *total = NULL;
        if (own) {
            copy(n_shares, X, own, false);
            found = PyObject_CallFunctionObjArgs(P.total, own, NULL);
            total = found ? PyArray_FROM_OTF(found, type, NPY_ARRAY_CARRAY_RO) : NULL;
            if (total && !PyArray_SAMESHAPE((PyArrayObject *)own, (PyArrayObject *)total)) {
                PyErr_SetString(PyExc_ValueError, "the sum over ranks has another shape than what was summed");
                Py_CLEAR(total);
            }
            if (total) copy(n_shares, X, total, true);
        }
        const bool failed = !total;
        Py_XDECREF(own);
        Py_XDECREF(found);
        Py_XDECREF(total);
        return failed ? -1 : 0;
    }
    void copy(int n_shares, T *X, PyObject *array, bool back) const
    {
        Copy each = {R.n_rows, P.k, X, (T *)PyArray_DATA((PyArrayObject *)array), back};
        for (int share = 0; share < n_shares; share++) blocks(share, n_shares, each);
    }

    /* Errors of the ratings of items[c0] ... items[c1 - 1], their gradient left in scores, b's in its sink; returns the
       squared error. */
    double errors(npy_intp c0, npy_intp c1, int n_shares)
    {
        switch (P.f) {
        case SIGMOID: return errors_of<SIGMOID>(c0, c1, n_shares);
        case TANH: return errors_of<TANH>(c0, c1, n_shares);
        default: return errors_of<LINEAR>(c0, c1, n_shares);
        }
    }
    template <int F> double errors_of(npy_intp c0, npy_intp c1, int n_shares)
    {
        double sse = 0;
        Sink<T> to_b(P.to_b);
        for (npy_intp c = c0; c < c1; c++) {
            const T bias = P.b[B.items[c]];
            T gradient = 0;
            for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
                T s = 0;
                for (int share = 0; share < n_shares; share++) s += scores[share * R.nnz + q];
                const T y = apply<F>(P.c_W * s + bias);
                const T e = P.low + P.span * y - B.targets[q], d = 2 * e * P.span * slope<F>(y);
                sse += (double)e * e;
                scores[q] = d;
                gradient += d;
            }
            to_b.add(to_b.row(B, c), gradient);
        }
        return sse;
    }

    /* sums: the squared error, and what the sinks of W and of V and U added up. 0, or -1 with a Python error set. */
    int run(Workspace &ws, double *sums)
    {
        const npy_intp lines = (P.k + LANES - 1) / LANES;
        const int threads = n_threads(R.nnz * P.k), n_shares = lines < threads ? (int)lines : threads;
        double *shares = ws.sums.get<double>(3 * n_shares);
        H = ws.hidden.get<T>(R.n_rows * lines * LANES);
        D = ws.gradient.get<T>(R.n_rows * lines * LANES);
        scores = ws.scores.get<T>(R.nnz * n_shares);
        if (!shares || !H || !D || !scores || !sort_by_item(R, ws, B)) {
            PyErr_NoMemory();
            return -1;
        }
        const bool alone = P.total == Py_None;
        forward(n_shares, true, alone);
        if (!alone) {
            if (sum_over_processes(n_shares, H)) return -1;
            forward(n_shares, false, true);
        }
        #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
        for (int share = 0; share < n_shares; share++) {
            shares[3 * share] = errors(B.n_items * share / n_shares, B.n_items * (share + 1) / n_shares, n_shares);
            shares[3 * share + 1] = shares[3 * share + 2] = 0;
        }
        backward(n_shares, true, alone, shares);
        if (!alone) {
            if (sum_over_processes(n_shares, D)) return -1;
            backward(n_shares, false, true, shares);
        }
        for (int i = 0; i < 3; i++) sums[i] = 0;
        for (int z = 0; z < 3 * n_shares; z++) sums[z % 3] += shares[z];
        return 0;
    }
};

/* One step of SGD in place. state: c_W, c_V, |W|^2, |V|^2, the norms those of c_W W and c_V V. costs: the squared error
   and the cost with its weight decay, both before the step. 0, or -1 with a Python error set. */
template <typename T>
int sgd_step(const Ratings<T> &R, Parameters<T> &P, double *state, double learning_rate, const double *l2,
             Workspace &ws, double *costs)
{
    double factors[2], sums[3];
    for (int i = 0; i < 2; i++) {
        factors[i] = state[i] * (1 - 2 * learning_rate * l2[i]);
        if (!(factors[i] > 0)) {
            PyErr_SetString(PyExc_ValueError,
                            "2 * learning_rate * l2 is not below 1: one step of weight decay would turn W or V "
                            "around; lower the learning rate or l2");
            return -1;
        }
    }
    P.c_W = (T)state[0];
    P.c_V = (T)state[1];
    for (int i = 0; i < 4; i++) P.goal(i).step = learning_rate / (i < 2 ? factors[i] : 1);
    if (Pass<T, false, Descend>(R, P).run(ws, sums)) return -1;
    costs[0] = sums[0];
    costs[1] = sums[0] + l2[0] * state[2] + l2[1] * state[3];
    for (int i = 0; i < 2; i++) {
        state[2 + i] = (state[2 + i] / (state[i] * state[i]) + sums[1 + i]) * factors[i] * factors[i];
        state[i] = factors[i];
    }
    return 0;
}

/* One step of Adagrad in place, with a decay for each rating. costs: as above; its decay is that of the rows in use. 0,
   or -1 with a Python error set. */
template <typename T, bool TWO>
int adagrad_step(const Ratings<T> &R, Parameters<T> &P, double learning_rate, const double *l2, double epsilon,
                 Workspace &ws, double *costs)
{
    double sums[3];
    const double decays[] = {l2[0], l2[1], 0, 0, l2[1]};
    for (int i = 0; i < 5; i++) {
        P.goal(i).step = learning_rate;
        P.goal(i).decay = decays[i];
        P.goal(i).epsilon = epsilon;
    }
    if (Pass<T, TWO, Adagrad>(R, P).run(ws, sums)) return -1;
    costs[0] = sums[0];
    costs[1] = sums[0] + l2[0] * sums[1] + l2[1] * sums[2];
    return 0;
}

/* Adam, of one parameter: means = beta1 means + (1 - beta1) d and squares likewise of d^2, values -= step means /
   (sqrt(squares) + epsilon), where d is the gradient and that of the weight decay. */
template <typename T> struct Adam {
    T *values, *means, *squares, decay, step, epsilon, beta1, beta2, rest1, rest2;

    void move(npy_intp i, T d) const
    {
        const T m = beta1 * means[i] + rest1 * d, v = beta2 * squares[i] + rest2 * (d * d);
        means[i] = m;
        squares[i] = v;
        values[i] -= step * m / (std::sqrt(v) + epsilon);
    }
    /* A row of n numbers from `first` on, the pull of whose decay counts `pulls` times; gradient: the row's, NULL is 0.
       Returns pulls |row|^2, before that. */
    double row(npy_intp first, npy_intp n, const T *gradient, npy_int32 pulls) const
    {
        Adam here(*this);  /* which nothing that is written to can be a part of */
        here.values += first;
        here.means += first;
        here.squares += first;
        const T pull = 2 * decay * pulls;
        T norm = 0;
        if (gradient) {
            #pragma omp simd reduction(+ : norm)
            for (npy_intp i = 0; i < n; i++) {
                const T x = here.values[i];
                norm += x * x;
                here.move(i, gradient[i] + pull * x);
            }
        } else {
            #pragma omp simd reduction(+ : norm)
            for (npy_intp i = 0; i < n; i++) {
                const T x = here.values[i];
                norm += x * x;
                here.move(i, pull * x);
            }
        }
        return (double)norm * pulls;
    }
};

/* One step of Adam in place, on all rows, those without ratings included. P's goals: memory for what `Store` keeps.
   all: W, V, mu, b, and U with a second encoder. weighted: whether the decay is for each rating.
   costs: as above; its decay is that of all rows, or, where weighted, of those in use for each rating. 0, or -1 with a
   Python error set. */
template <typename T, bool TWO>
int adam_step(const Ratings<T> &R, const Parameters<T> &P, const Adam<T> *all, bool weighted, const double *l2,
              Workspace &ws, double *costs)
{
    double sums[3], norms[2] = {0, 0};
    Pass<T, TWO, Store> pass(R, P);
    if (pass.run(ws, sums)) return -1;
    const ByItem<T> &B = pass.B;
    const npy_intp k = P.k, n_items = R.n_items;
    const int n_shares = n_threads(n_items * k);
    double *shares = ws.sums.get<double>(2 * n_shares);
    if (!shares) {
        PyErr_NoMemory();
        return -1;
    }
    /* Row by row, whole: each array is read and written from one end to the other. */
    #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
    for (int share = 0; share < n_shares; share++) {
        npy_intp item = n_items * share / n_shares, end = n_items * (share + 1) / n_shares;
        npy_intp c = std::lower_bound(B.items, B.items + B.n_items, (npy_int32)item) - B.items;
        double of_W = 0, of_V = 0;
        for (; item < end; item++) {
            const bool used = c < B.n_items && B.items[c] == item;
            const npy_int32 n = used ? B.starts[c + 1] - B.starts[c] : 0, pulls = weighted ? n : 1;
            const npy_intp at = Store<T>::row(B, c) * Store<T>::stride(k);
            of_W += all[0].row(item * k, k, used ? P.to_W.values + at : NULL, pulls);
            of_V += all[1].row(item * k, k, used ? P.to_V.values + at : NULL, pulls);
            if (TWO) of_V += all[4].row(item * k, k, used ? P.to_U.values + at : NULL, pulls);
            all[3].move(item, used ? P.to_b.values[Store<T>::row(B, c)] : 0);
            c += used;
        }
        shares[2 * share] = of_W;
        shares[2 * share + 1] = of_V;
    }
    all[2].row(0, k, P.to_mu.values, 0);
    for (int z = 0; z < 2 * n_shares; z++) norms[z % 2] += shares[z];
    costs[0] = sums[0];
    costs[1] = sums[0] + l2[0] * norms[0] + l2[1] * norms[1];
    return 0;
}

/* The squared error, its gradients added to the sinks' arrays. Rows are taken some at a time: what a block keeps of
   them has to stay in the cache. */
template <typename T, bool TWO>
int squared_error(const Ratings<T> &R, Parameters<T> &P, Workspace &ws, double *sse)
{
    const npy_intp chunk = 512;
    std::vector<npy_int32> indptr(chunk + 1);
    *sse = 0;
    for (npy_intp row = 0; row < R.n_rows; row += chunk) {
        Ratings<T> part = R;
        part.n_rows = R.n_rows - row < chunk ? R.n_rows - row : chunk;
        for (npy_intp i = 0; i <= part.n_rows; i++) indptr[i] = R.indptr[row + i] - R.indptr[row];
        part.indptr = &indptr[0];
        part.nnz = indptr[part.n_rows];
        part.indices = R.indices + R.indptr[row];
        part.data = R.data + R.indptr[row];
        part.targets = R.targets + R.indptr[row];
        if (TWO) part.seen = R.seen + R.indptr[row];
        double sums[3];
        if (Pass<T, TWO, Accumulate>(part, P).run(ws, sums)) return -1;
        *sse += sums[0];
    }
    return 0;
}

/* what the Ops call ------------------------------------------------------------------------------------------------ */

/* in: W, V' (n_items, k), mu, b, then what is particular to the Op. Checks that their shapes fit each other. */
static inline int check_parameters(PyArrayObject **in)
{
    const npy_intp *W = PyArray_DIMS(in[0]), *V = PyArray_DIMS(in[1]), mu = PyArray_DIMS(in[2])[0],
                   b = PyArray_DIMS(in[3])[0];
    if (W[1] >= 1 && V[0] == W[0] && V[1] == W[1] && mu == W[1] && b == W[0]) return 0;
    PyErr_Format(PyExc_ValueError,
                 "W is (%zd, %zd), V's transpose (%zd, %zd), mu (%zd,), b (%zd,); expected (n_items, k), (n_items, k), "
                 "(k,), (n_items,) with k at least 1",
                 (Py_ssize_t)W[0], (Py_ssize_t)W[1], (Py_ssize_t)V[0], (Py_ssize_t)V[1], (Py_ssize_t)mu, (Py_ssize_t)b);
    return -1;
}

static inline int check_second_encoder(PyArrayObject *V, PyArrayObject *U)
{
    if (PyArray_SAMESHAPE(U, V)) return 0;
    PyErr_Format(PyExc_ValueError, "U's transpose is (%zd, %zd), V's (%zd, %zd); expected the same",
                 (Py_ssize_t)PyArray_DIMS(U)[0], (Py_ssize_t)PyArray_DIMS(U)[1], (Py_ssize_t)PyArray_DIMS(V)[0],
                 (Py_ssize_t)PyArray_DIMS(V)[1]);
    return -1;
}

/* The block of an Op with `targets`, and `seen` where there is a second encoder; else it is NULL. */
template <typename T> struct CheckedRatings {
    CheckedCsr<T> block;
    Contiguous targets, seen;
    const bool two;
    Ratings<T> R;
    CheckedRatings(PyArrayObject **block_, PyArrayObject *targets_, PyArrayObject *seen_)
        : block(block_[0], block_[1], block_[2]),
          targets(targets_ == block_[0] && !block.data.failed() ? block.data.array : targets_),
          seen(seen_ ? seen_ : block_[1]), two(seen_ != NULL)
    {
    }
    int check(npy_intp n_rows, npy_intp n_items)
    {
        if (targets.failed() || seen.failed() || block.check(n_rows, n_items) || one_each(targets, "target") ||
            (two && one_each(seen, "seen")))
            return -1;
        static_cast<Csr<T> &>(R) = block.R;
        R.targets = targets.data<T>();
        R.seen = two ? seen.data<T>() : NULL;
        return 0;
    }
    int one_each(const Contiguous &x, const char *name) const
    {
        if (x.dim(0) == block.R.nnz) return 0;
        PyErr_Format(PyExc_ValueError, "%s has %zd entries, indices %zd; each rating needs one", name,
                     (Py_ssize_t)x.dim(0), (Py_ssize_t)block.R.nnz);
        return -1;
    }
};

template <typename T>
int sgd_step_op(PyArrayObject **in, PyArrayObject **out[6], bool inplace, const Function &function, Workspace &ws)
{
    /* in: W, V', mu, b, state, data, indices, indptr, learning_rate, l2_W, l2_V, target; out: the first five and the
       costs */
    if (check_parameters(in)) return -1;
    CheckedRatings<T> block(in + 5, in[11], NULL);
    if (block.check(PyArray_DIMS(in[7])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
    if (PyArray_DIMS(in[4])[0] != 4) {
        PyErr_Format(PyExc_ValueError, "state has %zd entries; expected 4", (Py_ssize_t)PyArray_DIMS(in[4])[0]);
        return -1;
    }
    double rates[3];  /* learning_rate, l2_W, l2_V */
    for (int i = 0; i < 3; i++)
        if (to_double(in[8 + i], &rates[i])) return -1;
    for (int i = 0; i < 5; i++)
        if (take_over(inplace, in[i], out[i])) return -1;
    if (allocate(out[5], 1, 2, 0, NPY_FLOAT64)) return -1;
    PyArrayObject *updated[] = {*out[0], *out[1], *out[2], *out[3]};
    Parameters<T> P(4, updated, updated, function);
    return sgd_step<T>(block.R, P, (double *)PyArray_DATA(*out[4]), rates[0], rates + 1, ws,
                             (double *)PyArray_DATA(*out[5]));
}

template <typename T, bool TWO>
int adagrad_step_op(PyArrayObject **in, PyArrayObject **out[], bool inplace, double epsilon, const Function &function,
                    Workspace &ws)
{
    /* in: W, V', mu, b, the squares of each, data, indices, indptr, learning_rate, l2_W, l2_V, target, and with a
       second encoder U', its squares and seen; out: the first eight, the costs, U' and its squares */
    enum { N = TWO ? 5 : 4 };
    static const int parameter[] = {0, 1, 2, 3, 15}, squares[] = {4, 5, 6, 7, 16};
    static const int updated[] = {0, 1, 2, 3, 9}, updated_squares[] = {4, 5, 6, 7, 10};
    static const char *const names[] = {"W", "V's transpose", "mu", "b", "U's transpose"};
    if (check_parameters(in) || (TWO && check_second_encoder(in[1], in[15]))) return -1;
    for (int i = 0; i < N; i++)
        if (!PyArray_SAMESHAPE(in[parameter[i]], in[squares[i]])) {
            PyErr_Format(PyExc_ValueError, "the sum of squared gradients of %s is not of its shape", names[i]);
            return -1;
        }
    CheckedRatings<T> block(in + 8, in[14], TWO ? in[17] : NULL);
    if (block.check(PyArray_DIMS(in[10])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
    double rates[3];  /* learning_rate, l2_W, l2_V */
    for (int i = 0; i < 3; i++)
        if (to_double(in[11 + i], &rates[i])) return -1;
    for (int i = 0; i < N; i++)
        if (take_over(inplace, in[parameter[i]], out[updated[i]]) ||
            take_over(inplace, in[squares[i]], out[updated_squares[i]]))
            return -1;
    if (allocate(out[8], 1, 2, 0, NPY_FLOAT64)) return -1;
    PyArrayObject *values[5];
    for (int i = 0; i < N; i++) values[i] = *out[updated[i]];
    Parameters<T> P(N, values, values, function);
    for (int i = 0; i < N; i++) P.goal(i).squares = (T *)PyArray_DATA(*out[updated_squares[i]]);
    return adagrad_step<T, TWO>(block.R, P, rates[0], rates + 1, epsilon, ws, (double *)PyArray_DATA(*out[8]));
}

template <typename T, bool TWO>
int adam_step_op(PyArrayObject **in, PyArrayObject **out[], bool inplace, double beta1, double beta2, double epsilon,
                 bool weighted, const Function &function, Workspace &ws)
{
    /* in: the N parameters W, V', mu, b and, with a second encoder, U'; the means and the squares of each; data,
       indices, indptr, step, l2_W, l2_V, target, and seen; out: the first 3 N, the squared error and the cost */
    enum { N = TWO ? 5 : 4, DATA = 3 * N };
    static const char *const names[] = {"W", "V's transpose", "mu", "b", "U's transpose"};
    if (check_parameters(in) || (TWO && check_second_encoder(in[1], in[4]))) return -1;
    for (int i = 0; i < N; i++)
        if (!PyArray_SAMESHAPE(in[i], in[N + 2 * i]) || !PyArray_SAMESHAPE(in[i], in[N + 2 * i + 1])) {
            PyErr_Format(PyExc_ValueError, "the means of the gradients of %s, or of their squares, are not of its shape",
                         names[i]);
            return -1;
        }
    CheckedRatings<T> block(in + DATA, in[DATA + 6], TWO ? in[DATA + 7] : NULL);
    if (block.check(PyArray_DIMS(in[DATA + 2])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
    double rates[3];  /* step, l2_W, l2_V */
    for (int i = 0; i < 3; i++)
        if (to_double(in[DATA + 3 + i], &rates[i])) return -1;
    for (int i = 0; i < 3 * N; i++)
        if (take_over(inplace, in[i], out[i])) return -1;
    if (allocate(out[3 * N], 0, 0, 0, NPY_FLOAT64) || allocate(out[3 * N + 1], 0, 0, 0, NPY_FLOAT64)) return -1;
    PyArrayObject *values[5];
    for (int i = 0; i < N; i++) values[i] = *out[i];
    Parameters<T> P(N, values, values, function);
    Adam<T> all[5];
    const npy_intp n_items = block.R.n_items, most_rows = block.R.nnz < n_items ? block.R.nnz : n_items,
                   stride = Store<T>::stride(P.k);
    const npy_intp sizes[] = {most_rows * stride, most_rows * stride, stride, most_rows, most_rows * stride};
    const double decays[] = {rates[1], rates[2], 0, 0, rates[2]};
    for (int i = 0; i < N; i++) {
        const Adam<T> adam = {(T *)PyArray_DATA(*out[i]), (T *)PyArray_DATA(*out[N + 2 * i]),
                              (T *)PyArray_DATA(*out[N + 2 * i + 1]), (T)decays[i], (T)rates[0], (T)epsilon, (T)beta1,
                              (T)beta2, (T)(1 - beta1), (T)(1 - beta2)};
        all[i] = adam;
        if (!(P.goal(i).values = ws.gradients[i].get<T>(sizes[i]))) {
            PyErr_NoMemory();
            return -1;
        }
    }
    double costs[2];
    if (adam_step<T, TWO>(block.R, P, all, weighted, rates + 1, ws, costs)) return -1;
    for (int i = 0; i < 2; i++) *(double *)PyArray_DATA(*out[3 * N + i]) = costs[i];
    return 0;
}

template <typename T, bool TWO>
int squared_error_op(PyArrayObject **in, PyArrayObject **out[], const Function &function, Workspace &ws)
{
    /* in: W, V', mu, b, data, indices, indptr, target, and with a second encoder U' and seen; out: the squared error
       and its gradients for the first four and U' */
    enum { N = TWO ? 5 : 4 };
    if (check_parameters(in) || (TWO && check_second_encoder(in[1], in[8]))) return -1;
    CheckedRatings<T> block(in + 4, in[7], TWO ? in[9] : NULL);
    if (block.check(PyArray_DIMS(in[6])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
    const Contiguous W(in[0]), V(in[1]), mu(in[2]), b(in[3]), U(in[TWO ? 8 : 3]);
    if (W.failed() || V.failed() || mu.failed() || b.failed() || U.failed()) return -1;
    const int type = PyArray_TYPE(in[0]);
    const npy_intp n_items = W.dim(0), k = W.dim(1);
    if (allocate(out[0], 0, 0, 0, type) || allocate(out[1], 2, n_items, k, type) ||
        allocate(out[2], 2, n_items, k, type) || allocate(out[3], 1, k, 0, type) ||
        allocate(out[4], 1, n_items, 0, type) || (TWO && allocate(out[5], 2, n_items, k, type)))
        return -1;
    PyArrayObject *from[] = {W.array, V.array, mu.array, b.array, U.array}, *to[5];
    for (int i = 0; i < N; i++) {
        to[i] = *out[1 + i];
        memset(PyArray_DATA(to[i]), 0, PyArray_NBYTES(to[i]));
    }
    Parameters<T> P(N, from, to, function);
    double sse;
    if (squared_error<T, TWO>(block.R, P, ws, &sse)) return -1;
    *(T *)PyArray_DATA(*out[0]) = (T)sse;
    return 0;
}

}  // namespace sparse_ae

#endif
