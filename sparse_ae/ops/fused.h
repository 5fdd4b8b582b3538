/* The masked autoencoder in one pass over the ratings: the C code of fused.py. Comes after pass.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored ratings; W and V (as V's transpose) are (n_items, k),
   rows contiguous. */
#ifndef SPARSE_AE_FUSED_H
#define SPARSE_AE_FUSED_H

#include <algorithm>
#include <cmath>
#include <vector>

namespace sparse_ae {

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

/* One step of Adagrad, or of Adam on the rows in use, in place, with a decay for each rating; the rest of the goals is
   set. costs: as above; its decay is that of the rows in use. 0, or -1 with a Python error set. */
template <typename T, bool TWO, template <typename> class Sink>
int step_of_rows(const Ratings<T> &R, Parameters<T> &P, double step, const double *l2, Workspace &ws, double *costs)
{
    double sums[3];
    const double decays[] = {l2[0], l2[1], 0, 0, l2[1]};
    for (int i = 0; i < 5; i++) {
        P.goal(i).step = step;
        P.goal(i).decay = decays[i];
    }
    if (Pass<T, TWO, Sink>(R, P).run(ws, sums)) return -1;
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

/* What the Ops call. */

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
            (two && one_each(seen, "indicator")))
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
int sgd_step_op(PyArrayObject **in, PyArrayObject **out[7], bool inplace, const Function &function, Workspace &ws)
{
    /* in: W, V', mu, b, state, data, indices, indptr, learning_rate, l2_W, l2_V, target; out: the first five, the
       squared error and the cost */
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
    if (allocate(out[5], 0, 0, 0, NPY_FLOAT64) || allocate(out[6], 0, 0, 0, NPY_FLOAT64)) return -1;
    PyArrayObject *updated[] = {*out[0], *out[1], *out[2], *out[3]};
    Parameters<T> P(4, updated, updated, function);
    double costs[2];
    if (sgd_step<T>(block.R, P, (double *)PyArray_DATA(*out[4]), rates[0], rates + 1, ws, costs)) return -1;
    for (int i = 0; i < 2; i++) *(double *)PyArray_DATA(*out[5 + i]) = costs[i];
    return 0;
}

/* The arguments of a step that keeps KEPT arrays of each parameter, checked and taken over.
   in: the N parameters W, V', mu, b and, with a second encoder, U'; what is kept of each; data, indices, indptr, the
   rate, l2_W, l2_V, target, and seen. out: the first N (1 + KEPT), the squared error and the cost. */
template <typename T, bool TWO, int KEPT> struct StepArguments {
    enum { N = TWO ? 5 : 4, DATA = N * (1 + KEPT) };
    PyArrayObject **in, ***out, *values[5];
    CheckedRatings<T> block;
    double rates[3], costs[2];  /* the rate, l2_W, l2_V */

    StepArguments(PyArrayObject **in_, PyArrayObject ***out_)
        : in(in_), out(out_), block(in_ + DATA, in_[DATA + 6], TWO ? in_[DATA + 7] : NULL) {}

    int take(bool inplace, const char *misfit)
    {
        static const char *const names[] = {"W", "V's transpose", "mu", "b", "U's transpose"};
        if (check_parameters(in) || (TWO && check_second_encoder(in[1], in[4]))) return -1;
        for (int i = 0; i < N * KEPT; i++)
            if (!PyArray_SAMESHAPE(in[i / KEPT], in[N + i])) {
                PyErr_Format(PyExc_ValueError, misfit, names[i / KEPT]);
                return -1;
            }
        if (block.check(PyArray_DIMS(in[DATA + 2])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
        for (int i = 0; i < 3; i++)
            if (to_double(in[DATA + 3 + i], &rates[i])) return -1;
        for (int i = 0; i < DATA; i++)
            if (take_over(inplace, in[i], out[i])) return -1;
        for (int i = 0; i < N; i++) values[i] = *out[i];
        return allocate(out[DATA], 0, 0, 0, NPY_FLOAT64) || allocate(out[DATA + 1], 0, 0, 0, NPY_FLOAT64) ? -1 : 0;
    }
    T *kept(int parameter, int which) const { return (T *)PyArray_DATA(*out[N + KEPT * parameter + which]); }
    int give(int failed)
    {
        for (int i = 0; i < 2 && !failed; i++) *(double *)PyArray_DATA(*out[DATA + i]) = costs[i];
        return failed;
    }
};

template <typename T, bool TWO>
int adagrad_step_op(PyArrayObject **in, PyArrayObject **out[], bool inplace, double epsilon, const Function &function,
                    Workspace &ws)
{
    StepArguments<T, TWO, 1> step(in, out);
    if (step.take(inplace, "the sum of squared gradients of %s is not of its shape")) return -1;
    Parameters<T> P(step.N, step.values, step.values, function);
    for (int i = 0; i < step.N; i++) {
        P.goal(i).squares = step.kept(i, 0);
        P.goal(i).epsilon = epsilon;
    }
    return step.give(step_of_rows<T, TWO, Adagrad>(step.block.R, P, step.rates[0], step.rates + 1, ws, step.costs));
}

static const char *const MISFIT_OF_MEANS =
    "the means of the gradients of %s, or of their squares, are not of its shape";

template <typename T, bool TWO>
int sparse_adam_step_op(PyArrayObject **in, PyArrayObject **out[], bool inplace, double beta1, double beta2,
                        double epsilon, const Function &function, Workspace &ws)
{
    StepArguments<T, TWO, 2> step(in, out);
    if (step.take(inplace, MISFIT_OF_MEANS)) return -1;
    Parameters<T> P(step.N, step.values, step.values, function);
    for (int i = 0; i < step.N; i++) {
        const Goal<T> goal = {P.goal(i).values, step.kept(i, 1), step.kept(i, 0), 0, 0, epsilon, beta1, beta2};
        P.goal(i) = goal;
    }
    return step.give(step_of_rows<T, TWO, SparseAdam>(step.block.R, P, step.rates[0], step.rates + 1, ws, step.costs));
}

template <typename T, bool TWO>
int adam_step_op(PyArrayObject **in, PyArrayObject **out[], bool inplace, double beta1, double beta2, double epsilon,
                 bool weighted, const Function &function, Workspace &ws)
{
    StepArguments<T, TWO, 2> step(in, out);
    if (step.take(inplace, MISFIT_OF_MEANS)) return -1;
    Parameters<T> P(step.N, step.values, step.values, function);
    Adam<T> all[5];
    const Ratings<T> &R = step.block.R;
    const npy_intp most_rows = R.nnz < R.n_items ? R.nnz : R.n_items, stride = Store<T>::stride(P.k);
    const npy_intp sizes[] = {most_rows * stride, most_rows * stride, stride, most_rows, most_rows * stride};
    const double decays[] = {step.rates[1], step.rates[2], 0, 0, step.rates[2]};
    for (int i = 0; i < step.N; i++) {
        const Adam<T> adam = {P.goal(i).values, step.kept(i, 0), step.kept(i, 1), (T)decays[i], (T)step.rates[0],
                              (T)epsilon, (T)beta1, (T)beta2, (T)(1 - beta1), (T)(1 - beta2)};
        all[i] = adam;
        if (!(P.goal(i).values = ws.gradients[i].get<T>(sizes[i]))) {
            PyErr_NoMemory();
            return -1;
        }
    }
    return step.give(adam_step<T, TWO>(R, P, all, weighted, step.rates + 1, ws, step.costs));
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
