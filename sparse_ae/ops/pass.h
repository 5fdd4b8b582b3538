/* One pass over the ratings, forward and backward, and where its gradients go. Comes after rules.h. */
#ifndef SPARSE_AE_PASS_H
#define SPARSE_AE_PASS_H

namespace sparse_ae {

/* For a sink whose arrays have the parameter's shape: the row of columns[c], and the numbers from row to row. */
template <typename T> struct OfParameter {
    static npy_intp row(const Sorted<T> &R, npy_intp c) { return R.columns[c]; }
    static npy_intp stride(npy_intp k) { return k; }
};

/* A sink takes gradients. operator() gets that of one row for one slice of hidden units: the slice, the row's offset in
   the sink's arrays, the number of ratings of its column, the parameter's values x, and the gradient g. add() gets that
   of an entry of b. `sum` accumulates the quantity that each sink's comment names.

   Descend: row -= rate * gradient, in place; sum: the growth of the squares. */
template <typename T> struct Descend : OfParameter<T> {
    typedef typename Simd<T>::vec vec;
    T *values, rate;
    double sum;
    explicit Descend(const Output<T> &to) : values(to.values), rate((T)to.numbers[0]), sum(0) {}
    template <int NV> void operator()(const Slice<T, NV> &slice, npy_intp row, npy_int32, vec *x, const vec *g)
    {
        const vec s = Simd<T>::splat(-rate);
        vec growth = Simd<T>::splat(0);
        for (int y = 0; y < NV; y++) {
            const vec d = s * g[y];
            growth += d * (x[y] + x[y] + d);
            x[y] += d;
        }
        slice.store(values + row, x);
        sum += Simd<T>::sum(growth);
    }
    template <int NV> void prefetch(const Slice<T, NV> &, const Sorted<T> &, npy_intp, npy_intp) const {}
    void add(npy_intp row, T gradient) { values[row] -= rate * gradient; }
};

/* Update: by a rule of rules.h, in place, with a weight decay for each of the column's n ratings,
   d = gradient + 2 decay n row; sum: n |row|^2, before the update. */
template <typename T, typename Rule> struct Update : OfParameter<T> {
    typedef typename Simd<T>::vec vec;
    enum { STATE = Rule::STATE };
    Moved<T, Rule> parameter;
    T decay;
    double sum;
    explicit Update(const Output<T> &to) : parameter(to), decay((T)to.decay), sum(0) {}
    template <int NV> void operator()(const Slice<T, NV> &slice, npy_intp row, npy_int32 n, vec *x, const vec *g)
    {
        vec state[STATE][NV], norm = Simd<T>::splat(0);
        const vec pull = Simd<T>::splat(2 * decay * n);
        for (int i = 0; i < STATE; i++) slice.load(parameter.state[i] + row, state[i]);
        for (int y = 0; y < NV; y++) {
            const vec d = g[y] + pull * x[y];
            norm += x[y] * x[y];
            parameter.rule.template move<Simd<T> >(x[y], state[0][y], state[STATE - 1][y], d);
        }
        for (int i = 0; i < STATE; i++) slice.store(parameter.state[i] + row, state[i]);
        slice.store(parameter.values + row, x);
        sum += (double)n * Simd<T>::sum(norm);
    }
    template <int NV> void prefetch(const Slice<T, NV> &slice, const Sorted<T> &R, npy_intp c, npy_intp k) const
    {
        for (int i = 0; i < STATE; i++) slice.prefetch(R, c, k, parameter.state[i]);
    }
    void add(npy_intp row, T gradient) { parameter.move(row, gradient); }
};

/* Store: gradient array = gradient, of the rows in use only, one after the other, each on cache lines of its own that
   are written whole. */
template <typename T> struct Store {
    typedef typename Simd<T>::vec vec;
    enum { LANES = Simd<T>::LANES };
    T *values;
    double sum;
    explicit Store(const Output<T> &to) : values(to.values), sum(0) {}
    static npy_intp row(const Sorted<T> &, npy_intp c) { return c; }
    static npy_intp stride(npy_intp k) { return Simd<T>::padded(k); }
    template <int NV> void operator()(const Slice<T, NV> &slice, npy_intp row, npy_int32, vec *, const vec *g)
    {
        T *to = values + row + slice.first;
        for (int y = 0; y < NV; y++) *(vec *)(to + y * LANES) = g[y];
    }
    template <int NV> void prefetch(const Slice<T, NV> &slice, const Sorted<T> &R, npy_intp c, npy_intp k) const
    {
        if (c + 4 >= R.n_columns) return;
        const T *to = values + (c + 4) * stride(k) + slice.first;
        for (int y = 0; y < NV; y++) __builtin_prefetch(to + y * LANES, 1);
    }
    void add(npy_intp row, T gradient) { values[row] = gradient; }
};

/* Accumulate: gradient array += gradient. */
template <typename T> struct Accumulate : OfParameter<T> {
    typedef typename Simd<T>::vec vec;
    T *values;
    double sum;
    explicit Accumulate(const Output<T> &to) : values(to.values), sum(0) {}
    template <int NV> void operator()(const Slice<T, NV> &slice, npy_intp row, npy_int32, vec *x, const vec *g)
    {
        slice.load(values + row, x);
        for (int y = 0; y < NV; y++) x[y] += g[y];
        slice.store(values + row, x);
    }
    template <int NV> void prefetch(const Slice<T, NV> &slice, const Sorted<T> &R, npy_intp c, npy_intp k) const
    {
        slice.prefetch(R, c, k, values);
    }
    void add(npy_intp row, T gradient) { values[row] += gradient; }
};

/* An Op's arguments at run time. The output is low + span f(W g(V r + mu) + b). */
struct Settings {
    int f, g;  /* codes of nonlinearities */
    double low, span;
    PyObject *total;  /* None; or, where ranks divide the columns, a function from an array of each to their sum */
    bool inplace, weighted;  /* weighted: whether a step of all rows has a decay for each rating */
    double numbers[4];       /* of the rule; the first, its rate, is an input */
};

/* What a pass reads, and the arrays that its sinks write: the same ones for an update, gradients of their shapes for
   Store and Accumulate. */
template <typename T> struct Parameters {
    const Settings &settings;
    npy_intp k;
    /* V and U are (n_columns, k), the transposes of the user's; U is NULL without a second encoder. */
    const T *W, *V, *mu, *b, *U;
    T c_W, c_V;  /* the user's W is c_W times the stored one */
    Output<T> to_W, to_V, to_mu, to_b, to_U;

    /* Each of from and to: W, V, mu, b, and the fifth of `n` U. */
    Parameters(int n, PyArrayObject *const *from, PyArrayObject *const *to, const Settings &settings_)
        : settings(settings_), k(PyArray_DIMS(from[0])[1]), U(NULL), c_W(1), c_V(1), to_W(), to_V(), to_mu(), to_b(),
          to_U()
    {
        const T **read[] = {&W, &V, &mu, &b, &U};
        for (int i = 0; i < n; i++) {
            *read[i] = (const T *)PyArray_DATA(from[i]);
            output(i).values = (T *)PyArray_DATA(to[i]);
        }
    }
    Output<T> &output(int i) { Output<T> *all[] = {&to_W, &to_V, &to_mu, &to_b, &to_U}; return *all[i]; }
};

/* One pass: forward through each thread's slices, the errors, backward through the slices. Ranks that divide the
   columns stop twice at the hidden units, to sum their pre-activations over all ranks, and then their gradients. HAS_U:
   whether there is a second encoder. */
template <typename T, bool HAS_U, typename Sink> struct Pass {
    enum { LANES = Simd<T>::LANES };
    const Csr<T> &block;
    const Parameters<T> &P;
    Sorted<T> R;
    T *H, *D, *scores;

    Pass(const Csr<T> &block_, const Parameters<T> &P_) : block(block_), P(P_) {}

    /* Calls `visit` for each slice of this thread, with NV a compile-time constant. */
    template <typename Visit> void slices(int thread, int threads, Visit visit) const
    {
        const npy_intp vectors = Simd<T>::padded(P.k) / LANES, end = vectors * (thread + 1) / threads;
        npy_intp vector = vectors * thread / threads, left = (end - vector + 7) / 8;
        for (; left; left--) {
            const npy_intp nv = (end - vector + left - 1) / left, first = vector * LANES;
            const npy_intp width = P.k - first < nv * LANES ? P.k - first : nv * LANES;
            switch (nv) {
            case 1: visit(Slice<T, 1>{first, width}); break;
            case 2: visit(Slice<T, 2>{first, width}); break;
            case 3: visit(Slice<T, 3>{first, width}); break;
            case 4: visit(Slice<T, 4>{first, width}); break;
            case 5: visit(Slice<T, 5>{first, width}); break;
            case 6: visit(Slice<T, 6>{first, width}); break;
            case 7: visit(Slice<T, 7>{first, width}); break;
            default: visit(Slice<T, 8>{first, width});
            }
            vector += nv;
        }
    }

    /* Into the hidden units, out of them, or both at once, while a slice of them is in the cache. */
    void forward(int threads, bool into, bool out)
    {
        #pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++) {
            const FlushToZero here;
            bool add = false;
            slices(thread, threads, [&](const auto &slice) {
                T *h = H + block.n_rows * slice.first;
                if (into) slice.template encode<HAS_U>(R, block.n_rows, P.k, P.V, P.U, P.c_V, h);
                if (out) {
                    slice.activate(block.n_rows, P.mu, P.settings.g, h);
                    slice.decode(R, P.k, P.W, h, scores + thread * block.nnz, add);
                }
                add = true;
            });
        }
    }

    /* The way back likewise. What the sinks add up goes to `sums`. */
    void backward(int threads, bool out, bool into, double *sums)
    {
        #pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++) {
            const FlushToZero here;
            Sink to_W(P.to_W), to_V(P.to_V), to_mu(P.to_mu), to_U(P.to_U);
            slices(thread, threads, [&](const auto &slice) {
                T *h = H + block.n_rows * slice.first, *d = D + block.n_rows * slice.first;
                if (out) slice.decode_gradient(R, block.n_rows, P.k, P.W, P.c_W, h, scores, d, to_W);
                if (into) {
                    slice.hidden_gradient(block.n_rows, P.settings.g, h, d, P.mu, to_mu);
                    slice.template encode_gradient<HAS_U>(R, P.k, P.V, P.U, d, to_V, to_U);
                }
            });
            sums[3 * thread + 1] += to_W.sum;
            sums[3 * thread + 2] += to_V.sum + to_U.sum;
        }
    }

    /* Copies slices of hidden units, whose places depend on the number of threads, to an array (n_rows, k), or back. */
    void copy(int threads, T *X, PyObject *array, bool back) const
    {
        T *all = (T *)PyArray_DATA((PyArrayObject *)array);
        for (int thread = 0; thread < threads; thread++)
            slices(thread, threads, [&](const auto &slice) {
                for (npy_intp i = 0; i < block.n_rows; i++) {
                    T *x = X + block.n_rows * slice.first + i * slice.SIZE, *y = all + i * P.k + slice.first;
                    memcpy(back ? x : y, back ? y : x, slice.width * sizeof(T));
                }
            });
    }

    /* X, of the hidden units, becomes the sum over all ranks. 0, or -1 with a Python error set. */
    int sum_over_ranks(int threads, T *X) const
    {
        npy_intp dims[] = {block.n_rows, P.k};
        const int type = sizeof(T) == 4 ? NPY_FLOAT32 : NPY_FLOAT64;
        PyObject *own = PyArray_SimpleNew(2, dims, type), *found = NULL, *total = NULL;
        if (own) {
            copy(threads, X, own, false);
            found = PyObject_CallFunctionObjArgs(P.settings.total, own, NULL);
            total = found ? PyArray_FROM_OTF(found, type, NPY_ARRAY_CARRAY_RO) : NULL;
            if (total && !PyArray_SAMESHAPE((PyArrayObject *)own, (PyArrayObject *)total)) {
                PyErr_SetString(PyExc_ValueError, "the sum over ranks has another shape than its terms");
                Py_CLEAR(total);
            }
            if (total) copy(threads, X, total, true);
        }
        const bool failed = !total;
        Py_XDECREF(own);
        Py_XDECREF(found);
        Py_XDECREF(total);
        return failed ? -1 : 0;
    }

    /* The squared error of the ratings of columns[first] ... columns[end - 1]. Replaces their scores by the gradients
       for them; the sink of b gets its own. */
    double errors(npy_intp first, npy_intp end, int threads)
    {
        double squared_error = 0;
        with_nonlinearity(P.settings.f, [&](auto f) { squared_error = this->errors_of(f, first, end, threads); });
        return squared_error;
    }
    template <typename F> double errors_of(F f, npy_intp first, npy_intp end, int threads)
    {
        const T low = (T)P.settings.low, span = (T)P.settings.span;
        double squared_error = 0;
        Sink to_b(P.to_b);
        for (npy_intp c = first; c < end; c++) {
            const T bias = P.b[R.columns[c]];
            T gradient = 0;
            for (npy_int32 q = R.starts[c]; q < R.starts[c + 1]; q++) {
                T s = 0;
                for (int thread = 0; thread < threads; thread++) s += scores[thread * block.nnz + q];
                const T y = f.value(P.c_W * s + bias);
                const T e = low + span * y - R.targets[q], d = 2 * e * span * f.slope(y);
                squared_error += (double)e * e;
                scores[q] = d;
                gradient += d;
            }
            to_b.add(to_b.row(R, c), gradient);
        }
        return squared_error;
    }

    /* totals: the squared error, and what the sinks of W and of V and U added up. 0, or -1 with a Python error set. */
    int run(Workspace &ws, double *totals)
    {
        const npy_intp units = Simd<T>::padded(P.k);
        const int threads = (int)std::min<npy_intp>(units / LANES, n_threads(block.nnz * P.k));
        double *sums = ws.sums.get<double>(3 * threads);  /* of each thread */
        H = ws.hidden.get<T>(block.n_rows * units);
        D = ws.gradient.get<T>(block.n_rows * units);
        scores = ws.scores.get<T>(block.nnz * threads);
        if (!sums || !H || !D || !scores || !sort_by_column(block, ws, R)) {
            PyErr_NoMemory();
            return -1;
        }
        const bool alone = P.settings.total == Py_None;
        forward(threads, true, alone);
        if (!alone) {
            if (sum_over_ranks(threads, H)) return -1;
            forward(threads, false, true);
        }
        #pragma omp parallel for schedule(static, 1) num_threads(threads)
        for (int thread = 0; thread < threads; thread++) {
            const FlushToZero here;
            sums[3 * thread] = errors(R.n_columns * thread / threads, R.n_columns * (thread + 1) / threads, threads);
            sums[3 * thread + 1] = sums[3 * thread + 2] = 0;
        }
        backward(threads, true, alone, sums);
        if (!alone) {
            if (sum_over_ranks(threads, D)) return -1;
            backward(threads, false, true, sums);
        }
        for (int i = 0; i < 3; i++) totals[i] = 0;
        for (int z = 0; z < 3 * threads; z++) totals[z % 3] += sums[z];
        return 0;
    }
};

}  // namespace sparse_ae

#endif
