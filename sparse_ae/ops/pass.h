/* One pass over the ratings, forward and back, and where the gradients go. Comes after rules.h. */
#ifndef SPARSE_AE_PASS_H
#define SPARSE_AE_PASS_H

#include <cmath>

namespace sparse_ae {

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

/* Update: by a rule of rules.h, in place, along the gradient and that of a decay for each rating,
   d = gradient + 2 decay n row; sum: n |row|^2, before that. */
template <typename T, typename Rule> struct Update : OfParameter<T> {
    enum { KEPT = Rule::KEPT };
    Moved<T, Rule> parameter;
    T decay;
    double sum;
    explicit Update(const Goal<T> &to) : parameter(to), decay((T)to.decay), sum(0) {}
    template <int NV>
    void operator()(const Block<T, NV> &block, npy_intp row, npy_int32 n, typename Simd<T>::vec *x,
                    const typename Simd<T>::vec *g)
    {
        typedef Block<T, NV> B;
        typename Simd<T>::vec kept[KEPT][NV], norm = B::splat(0);
        const typename Simd<T>::vec pull = B::splat(2 * decay * n);
        for (int i = 0; i < KEPT; i++) block.load(parameter.kept[i] + row, kept[i]);
        for (int y = 0; y < NV; y++) {
            const typename Simd<T>::vec d = g[y] + pull * x[y];
            norm += x[y] * x[y];
            parameter.rule.template move<Simd<T> >(x[y], kept[0][y], kept[KEPT - 1][y], d);
        }
        for (int i = 0; i < KEPT; i++) block.store(parameter.kept[i] + row, kept[i]);
        block.store(parameter.values + row, x);
        sum += (double)n * B::sum(norm);
    }
    template <int NV> void prefetch(const Block<T, NV> &block, const ByItem<T> &B, npy_intp c, npy_intp k) const
    {
        for (int i = 0; i < KEPT; i++) block.prefetch(B, c, k, parameter.kept[i]);
    }
    void add(npy_intp row, T gradient) { parameter.move(row, gradient); }
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

/* What an Op is told at run time. The output is low + span f(W g(V r + mu) + b). */
struct Settings {
    int f, g;  /* Nonlinearity */
    double low, span;
    /* None; or where processes share out the items, what makes of an array of each the sum of all of them. */
    PyObject *total;
    bool inplace, weighted;  /* weighted: whether a decay of all rows is for each rating */
    double numbers[4];       /* of the rule, but for the first, its step */
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
    PyObject *total;              /* as in Settings */
    Goal<T> to_W, to_V, to_mu, to_b, to_U;

    /* Each of from and to: W, V, mu, b, and the fifth of `n` U. */
    Parameters(int n, PyArrayObject *const *from, PyArrayObject *const *to, const Settings &settings)
        : k(PyArray_DIMS(from[0])[1]), f(settings.f), g(settings.g), U(NULL), c_W(1), c_V(1), low((T)settings.low),
          span((T)settings.span), total(settings.total), to_W(), to_V(), to_mu(), to_b(), to_U()
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
template <typename T, bool TWO, typename Sink> struct Pass {
    enum { LANES = 64 / sizeof(T) };
    const Csr<T> &R;
    const Parameters<T> &P;
    ByItem<T> B;
    T *H, *D, *scores;

    Pass(const Csr<T> &R_, const Parameters<T> &P_) : R(R_), P(P_) {}

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
            const FlushToZero here;
            Forward forward = {*this, scores + share * R.nnz, into, out, false};
            blocks(share, n_shares, forward);
        }
    }

    /* The way back likewise. What the sinks add up comes to shares. */
    struct Backward {
        const Pass &pass;
        bool out, into;
        Sink to_W, to_V, to_mu, to_U;
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
            const FlushToZero here;
            Backward backward = {*this, out, into, Sink(P.to_W), Sink(P.to_V), Sink(P.to_mu),
                                 Sink(P.to_U)};
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
                PyErr_SetString(PyExc_ValueError, "the sum over ranks has another shape than its terms");
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
        SPARSE_AE_BY_KIND(P.f, errors_of, c0, c1, n_shares)
    }
    template <int F> double errors_of(npy_intp c0, npy_intp c1, int n_shares)
    {
        double sse = 0;
        Sink to_b(P.to_b);
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
            const FlushToZero here;
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

}  // namespace sparse_ae

#endif
