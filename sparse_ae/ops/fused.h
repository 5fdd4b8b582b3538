/* The masked autoencoder in one pass over the ratings: the C code of fused.py. Comes after pass.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored ratings; W and V (as V's transpose) are (n_items, k),
   rows contiguous. */
#ifndef SPARSE_AE_FUSED_H
#define SPARSE_AE_FUSED_H

#include <algorithm>
#include <cmath>
#include <vector>

namespace sparse_ae {

/* Moves a row of n numbers from `first` on, the pull of whose decay counts `pulls` times; gradient: the row's, NULL is 0.
   Returns pulls |row|^2, before that. */
template <typename T, typename Rule>
double whole_row(const Moved<T, Rule> &all, npy_intp first, npy_intp n, const T *gradient, double decay,
                 npy_int32 pulls)
{
    const Moved<T, Rule> row = all.from(first);
    const T pull = 2 * (T)decay * pulls;
    T norm = 0;
    if (gradient) {
        #pragma omp simd reduction(+ : norm)
        for (npy_intp i = 0; i < n; i++) {
            const T x = row.values[i];
            norm += x * x;
            row.move(i, gradient[i] + pull * x);
        }
    } else {  /* a condition within the loop takes a tenth more */
        #pragma omp simd reduction(+ : norm)
        for (npy_intp i = 0; i < n; i++) {
            const T x = row.values[i];
            norm += x * x;
            row.move(i, pull * x);
        }
    }
    return (double)norm * pulls;
}

/* The squared error, its gradients added to the sinks' arrays. Rows are taken some at a time: what a block keeps of
   them has to stay in the cache. */
template <typename T, bool TWO>
int squared_error(const Csr<T> &R, Parameters<T> &P, Workspace &ws, double *sse)
{
    const npy_intp chunk = 512;
    std::vector<npy_int32> indptr(chunk + 1);
    *sse = 0;
    for (npy_intp row = 0; row < R.n_rows; row += chunk) {
        Csr<T> part = R;
        part.n_rows = R.n_rows - row < chunk ? R.n_rows - row : chunk;
        for (npy_intp i = 0; i <= part.n_rows; i++) indptr[i] = R.indptr[row + i] - R.indptr[row];
        part.indptr = &indptr[0];
        part.nnz = indptr[part.n_rows];
        part.indices = R.indices + R.indptr[row];
        part.data = R.data + R.indptr[row];
        part.targets = R.targets + R.indptr[row];
        if (TWO) part.seen = R.seen + R.indptr[row];
        double sums[3];
        if (Pass<T, TWO, Accumulate<T> >(part, P).run(ws, sums)) return -1;
        *sse += sums[0];
    }
    return 0;
}

/* What the Ops call. */

/* in: W, V' (n_items, k), mu, b, then what is particular to the Op; U: U', or NULL. 0 where the shapes fit each other,
   else -1. */
static inline int check_parameters(PyArrayObject **in, PyArrayObject *U)
{
    const npy_intp *W = PyArray_DIMS(in[0]);
    const bool fit = W[1] >= 1 && PyArray_SAMESHAPE(in[0], in[1]) && PyArray_DIMS(in[2])[0] == W[1] &&
                     PyArray_DIMS(in[3])[0] == W[0] && (!U || PyArray_SAMESHAPE(U, in[1]));
    return fit ? 0 : -1;
}

/* The arguments of a step by a rule, checked and taken over.
   in: the N parameters W, V', mu, b and, with a second encoder, U'; what is kept of each, or a state where nothing is;
   data, indices, indptr, the rate, l2_W, l2_V, target, and seen. out: all before the data, the squared error and the
   cost. */
template <typename T, bool TWO, typename Rule> struct Step {
    enum { KEPT = Rule::KEPT, N = TWO ? 5 : 4, DATA = N * (1 + KEPT) + (KEPT == 0) };
    PyArrayObject **in, ***out, *values[5];
    CheckedCsr<T> block;
    double rates[3], numbers[4];  /* the rate, l2_W, l2_V; those of the rule */

    Step(PyArrayObject **in_, PyArrayObject ***out_)
        : in(in_), out(out_),
          block(in_[DATA], in_[DATA + 1], in_[DATA + 2], in_[DATA + 6], TWO ? in_[DATA + 7] : NULL) {}

    int take(const Settings &settings)
    {
        if (check_parameters(in, TWO ? in[4] : NULL)) return -1;
        for (int i = 0; i < N * KEPT; i++)
            if (!PyArray_SAMESHAPE(in[i / KEPT], in[N + i])) return -1;
        if (block.check(PyArray_DIMS(in[DATA + 2])[0] - 1, PyArray_DIMS(in[0])[0])) return -1;
        if (!KEPT && PyArray_DIMS(in[N])[0] != 4) return -1;
        for (int i = 0; i < 3; i++)
            if (to_double(in[DATA + 3 + i], &rates[i])) return -1;
        for (int i = 0; i < DATA; i++)
            if (take_over(settings.inplace, in[i], out[i])) return -1;
        for (int i = 0; i < N; i++) values[i] = *out[i];
        for (int i = 0; i < 4; i++) numbers[i] = i ? settings.numbers[i] : rates[0];
        return allocate(out[DATA], 0, 0, 0, NPY_FLOAT64) || allocate(out[DATA + 1], 0, 0, 0, NPY_FLOAT64) ? -1 : 0;
    }
    Parameters<T> parameters(const Settings &settings) const
    {
        Parameters<T> P(N, values, values, settings);
        const double decays[] = {rates[1], rates[2], 0, 0, rates[2]};
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < KEPT && i < N; j++) P.goal(i).kept[j] = (T *)PyArray_DATA(*out[N + KEPT * i + j]);
            P.goal(i).decay = decays[i];
            P.goal(i).numbers = numbers;
        }
        return P;
    }
    /* The squared error, and with the decay of these norms the cost. */
    void give(double squared_error, double norm_W, double norm_V)
    {
        *(double *)PyArray_DATA(*out[DATA]) = squared_error;
        *(double *)PyArray_DATA(*out[DATA + 1]) = squared_error + rates[1] * norm_W + rates[2] * norm_V;
    }
};

/* SGD, in place. The state is c_W, c_V, |W|^2, |V|^2, the norms those of c_W W and c_V V. */
template <typename T, bool TWO, template <typename> class Rule>
int decayed_step_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    Step<T, TWO, Rule<T> > step(in, out);
    if (step.take(settings)) return -1;
    Parameters<T> P = step.parameters(settings);
    double *state = (double *)PyArray_DATA(*out[step.N]), factors[2], sums[3];
    for (int i = 0; i < 2; i++) {
        factors[i] = state[i] * (1 - 2 * step.rates[0] * step.rates[1 + i]);
        if (!(factors[i] > 0)) return -1;
    }
    P.c_W = (T)state[0];
    P.c_V = (T)state[1];
    for (int i = 0; i < 4; i++) P.goal(i).step = step.rates[0] / (i < 2 ? factors[i] : 1);
    if (Pass<T, TWO, Descend<T> >(step.block.R, P).run(ws, sums)) return -1;
    step.give(sums[0], state[2], state[3]);
    for (int i = 0; i < 2; i++) {
        state[2 + i] = (state[2 + i] / (state[i] * state[i]) + sums[1 + i]) * factors[i] * factors[i];
        state[i] = factors[i];
    }
    return 0;
}

/* By a rule, in place, on the rows in use, with a decay for each rating. */
template <typename T, bool TWO, template <typename> class Rule>
int step_in_use_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    Step<T, TWO, Rule<T> > step(in, out);
    if (step.take(settings)) return -1;
    const Parameters<T> P = step.parameters(settings);
    double sums[3];
    if (Pass<T, TWO, Update<T, Rule<T> > >(step.block.R, P).run(ws, sums)) return -1;
    step.give(sums[0], sums[1], sums[2]);
    return 0;
}

/* By a rule, in place, on all rows, those without ratings included. */
template <typename T, bool TWO, template <typename> class Rule>
int step_of_all_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    Step<T, TWO, Rule<T> > step(in, out);
    if (step.take(settings)) return -1;
    Parameters<T> P = step.parameters(settings);
    const Csr<T> &R = step.block.R;
    const npy_intp k = P.k, n_items = R.n_items, most_rows = R.nnz < n_items ? R.nnz : n_items,
                   stride = Store<T>::stride(k);
    const npy_intp sizes[] = {most_rows * stride, most_rows * stride, stride, most_rows, most_rows * stride};
    std::vector<Moved<T, Rule<T> > > all;
    for (int i = 0; i < step.N; i++) {
        Goal<T> &goal = P.goal(i);
        all.push_back(Moved<T, Rule<T> >(goal));
        if (!(goal.values = ws.gradients[i].get<T>(sizes[i]))) {
            PyErr_NoMemory();
            return -1;
        }
    }
    double sums[3];
    Pass<T, TWO, Store<T> > pass(R, P);
    if (pass.run(ws, sums)) return -1;
    const ByItem<T> &B = pass.B;
    const int n_shares = n_threads(n_items * k);
    double *shares = ws.sums.get<double>(2 * n_shares);
    if (!shares) {
        PyErr_NoMemory();
        return -1;
    }
    /* Row by row, whole: each array is read and written from one end to the other. */
    #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
    for (int share = 0; share < n_shares; share++) {
        const FlushToZero here;
        npy_intp item = n_items * share / n_shares, end = n_items * (share + 1) / n_shares;
        npy_intp c = std::lower_bound(B.items, B.items + B.n_items, (npy_int32)item) - B.items;
        double of_W = 0, of_V = 0;
        for (; item < end; item++) {
            const bool used = c < B.n_items && B.items[c] == item;
            const npy_int32 n = used ? B.starts[c + 1] - B.starts[c] : 0, pulls = settings.weighted ? n : 1;
            const npy_intp at = Store<T>::row(B, c) * stride;
            of_W += whole_row(all[0], item * k, k, used ? P.to_W.values + at : NULL, P.to_W.decay, pulls);
            of_V += whole_row(all[1], item * k, k, used ? P.to_V.values + at : NULL, P.to_V.decay, pulls);
            if (TWO) of_V += whole_row(all[4], item * k, k, used ? P.to_U.values + at : NULL, P.to_U.decay, pulls);
            all[3].move(item, used ? P.to_b.values[Store<T>::row(B, c)] : 0);
            c += used;
        }
        shares[2 * share] = of_W;
        shares[2 * share + 1] = of_V;
    }
    const FlushToZero here;
    whole_row(all[2], 0, k, P.to_mu.values, 0, 0);
    sums[1] = sums[2] = 0;
    for (int z = 0; z < 2 * n_shares; z++) sums[1 + z % 2] += shares[z];
    step.give(sums[0], sums[1], sums[2]);
    return 0;
}

template <typename T, bool TWO>
int squared_error_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    /* in: W, V', mu, b, data, indices, indptr, target, and with a second encoder U' and seen; out: the squared error
       and its gradients for the first four and U' */
    enum { N = TWO ? 5 : 4 };
    if (check_parameters(in, TWO ? in[8] : NULL)) return -1;
    CheckedCsr<T> block(in[4], in[5], in[6], in[7], TWO ? in[9] : NULL);
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
    Parameters<T> P(N, from, to, settings);
    double sse;
    if (squared_error<T, TWO>(block.R, P, ws, &sse)) return -1;
    *(T *)PyArray_DATA(*out[0]) = (T)sse;
    return 0;
}

}  // namespace sparse_ae

#endif
