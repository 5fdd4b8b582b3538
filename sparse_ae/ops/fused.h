/* The masked autoencoder in one pass over the ratings: the C code of fused.py. Comes after pass.h.

   Shapes: the CSR block R is (n_rows, n_columns) with nnz stored ratings; W and V (as V's transpose) are
   (n_columns, k), rows contiguous. */
#ifndef SPARSE_AE_FUSED_H
#define SPARSE_AE_FUSED_H

#include <vector>

namespace sparse_ae {

/* Updates the row of k numbers from `first` on by gradient + 2 decay n row, where a gradient of NULL is 0. Returns
   n |row|^2, before the update. */
template <typename T, typename Rule>
double move_row(const Moved<T, Rule> &all, npy_intp first, npy_intp k, const T *gradient, double decay, npy_int32 n)
{
    const Moved<T, Rule> row = all.from(first);
    const T pull = 2 * (T)decay * n;
    T norm = 0;
    if (gradient) {
        #pragma omp simd reduction(+ : norm)
        for (npy_intp i = 0; i < k; i++) {
            const T x = row.values[i];
            norm += x * x;
            row.move(i, gradient[i] + pull * x);
        }
    } else {  /* a condition within the loop takes a tenth more */
        #pragma omp simd reduction(+ : norm)
        for (npy_intp i = 0; i < k; i++) {
            const T x = row.values[i];
            norm += x * x;
            row.move(i, pull * x);
        }
    }
    return (double)norm * n;
}

/* 0 where the shapes of W, V', mu, b and, if it is there, U' fit each other, else -1. */
template <typename In> int check_parameters(PyArrayObject **in)
{
    const npy_intp *W = PyArray_DIMS(in[In::W]);
    PyArrayObject *V_t = in[In::V_t], *U_t = given(in, In::U_t);
    const bool fit = W[1] >= 1 && PyArray_SAMESHAPE(in[In::W], V_t) && PyArray_DIMS(in[In::mu])[0] == W[1] &&
                     PyArray_DIMS(in[In::b])[0] == W[0] && (!U_t || PyArray_SAMESHAPE(U_t, V_t));
    return fit ? 0 : -1;
}

/* The arguments of a step by a rule, checked, and its outputs: the new values of all before the data, the squared error
   and the loss. In says where the inputs are, as Layout in op.py; a rule without a state has SGD's, of all. */
template <typename T, typename In, typename Rule> struct CheckedStep {
    static const bool HAS_U = In::U_t >= 0;
    enum { STATE = Rule::STATE, N = In::state, SQUARED_ERROR = In::data, LOSS = In::data + 1 };
    PyArrayObject **in, ***out, *values[5];
    CheckedCsr<T> block;
    double rate, l2_W, l2_V, numbers[4];  /* those of the rule */

    CheckedStep(PyArrayObject **in_, PyArrayObject ***out_)
        : in(in_), out(out_),
          block(in_[In::data], in_[In::indices], in_[In::indptr], in_[In::target], given(in_, In::indicator)) {}

    int check(const Settings &settings)
    {
        if (check_parameters<In>(in)) return -1;
        for (int i = 0; i < N * STATE; i++)
            if (!PyArray_SAMESHAPE(in[i / STATE], in[In::state + i])) return -1;
        if (block.check(PyArray_DIMS(in[In::indptr])[0] - 1, PyArray_DIMS(in[In::W])[0])) return -1;
        if (!STATE && PyArray_DIMS(in[In::state])[0] != 4) return -1;
        if (to_double(in[In::rate], &rate) || to_double(in[In::l2_W], &l2_W) || to_double(in[In::l2_V], &l2_V))
            return -1;
        for (int i = 0; i < In::data; i++)
            if (take_over(settings.inplace, in[i], out[i])) return -1;
        for (int i = 0; i < N; i++) values[i] = *out[i];
        for (int i = 0; i < 4; i++) numbers[i] = i ? settings.numbers[i] : rate;
        return allocate(out[SQUARED_ERROR], 0, 0, 0, NPY_FLOAT64) || allocate(out[LOSS], 0, 0, 0, NPY_FLOAT64) ? -1 : 0;
    }
    Parameters<T> parameters(const Settings &settings) const
    {
        Parameters<T> P(N, values, values, settings);
        const double decays[] = {l2_W, l2_V, 0, 0, l2_V};
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < STATE && i < N; j++) P.output(i).state[j] = (T *)PyArray_DATA(*out[In::state + STATE * i + j]);
            P.output(i).decay = decays[i];
            P.output(i).numbers = numbers;
        }
        return P;
    }
    /* The outputs behind the new values; the loss has the decay of W and V with these squared norms. */
    void set_losses(double squared_error, double norm_W, double norm_V)
    {
        *(double *)PyArray_DATA(*out[SQUARED_ERROR]) = squared_error;
        *(double *)PyArray_DATA(*out[LOSS]) = squared_error + l2_W * norm_W + l2_V * norm_V;
    }
};

/* SGD's state, as Decayed in rules.py: of W and of V the factor, and the squared norm of factor times array. */
struct Decayed {
    double c[2], norms[2];
};

/* SGD, in place. */
template <typename T, typename In, template <typename> class Rule>
int decayed_step_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    typedef CheckedStep<T, In, Rule<T> > Step;
    Step step(in, out);
    if (step.check(settings)) return -1;
    Parameters<T> P = step.parameters(settings);
    Decayed &state = *(Decayed *)PyArray_DATA(*out[In::state]);
    const double factors[] = {state.c[0] * (1 - 2 * step.rate * step.l2_W),
                              state.c[1] * (1 - 2 * step.rate * step.l2_V)};
    if (!(factors[0] > 0) || !(factors[1] > 0)) return -1;
    const double rate_W = step.rate / factors[0], rate_V = step.rate / factors[1];
    double totals[3];
    P.c_W = (T)state.c[0];
    P.c_V = (T)state.c[1];
    P.to_W.numbers = &rate_W;
    P.to_V.numbers = &rate_V;
    if (Pass<T, Step::HAS_U, Descend<T> >(step.block.R, P).run(ws, totals)) return -1;
    step.set_losses(totals[0], state.norms[0], state.norms[1]);
    for (int i = 0; i < 2; i++) {
        state.norms[i] = (state.norms[i] / (state.c[i] * state.c[i]) + totals[1 + i]) * factors[i] * factors[i];
        state.c[i] = factors[i];
    }
    return 0;
}

/* By a rule, in place, on the rows in use, with a decay for each rating. */
template <typename T, typename In, template <typename> class Rule>
int step_in_use_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    typedef CheckedStep<T, In, Rule<T> > Step;
    Step step(in, out);
    if (step.check(settings)) return -1;
    const Parameters<T> P = step.parameters(settings);
    double totals[3];
    if (Pass<T, Step::HAS_U, Update<T, Rule<T> > >(step.block.R, P).run(ws, totals)) return -1;
    step.set_losses(totals[0], totals[1], totals[2]);
    return 0;
}

/* By a rule, in place, on all rows, those without ratings included. */
template <typename T, typename In, template <typename> class Rule>
int step_of_all_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    typedef CheckedStep<T, In, Rule<T> > Step;
    Step step(in, out);
    if (step.check(settings)) return -1;
    Parameters<T> P = step.parameters(settings);
    const npy_intp k = P.k, n_columns = step.block.R.n_columns, most_rows = std::min(step.block.R.nnz, n_columns),
                   stride = Store<T>::stride(k);
    const int threads = n_threads(n_columns * k);
    const npy_intp sizes[] = {most_rows * stride, most_rows * stride, stride, most_rows, most_rows * stride};
    std::vector<Moved<T, Rule<T> > > all;
    for (int i = 0; i < step.N; i++) {
        Output<T> &to = P.output(i);
        all.push_back(Moved<T, Rule<T> >(to));
        if (!(to.values = ws.gradients[i].get<T>(sizes[i]))) {
            PyErr_NoMemory();
            return -1;
        }
    }
    double totals[3];
    Pass<T, Step::HAS_U, Store<T> > pass(step.block.R, P);
    if (pass.run(ws, totals)) return -1;
    const Sorted<T> &R = pass.R;
    std::vector<double> norms(2 * threads);
    /* Row by row, whole: each array is read and written from one end to the other. */
    #pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int thread = 0; thread < threads; thread++) {
        const FlushToZero here;
        npy_intp j = n_columns * thread / threads, end = n_columns * (thread + 1) / threads;
        npy_intp c = std::lower_bound(R.columns, R.columns + R.n_columns, (npy_int32)j) - R.columns;
        double norm_W = 0, norm_V = 0;
        for (; j < end; j++) {
            const bool used = c < R.n_columns && R.columns[c] == j;
            const npy_int32 n_ratings = used ? R.starts[c + 1] - R.starts[c] : 0, n = settings.weighted ? n_ratings : 1;
            norm_W += move_row(all[0], j * k, k, used ? P.to_W.values + c * stride : NULL, P.to_W.decay, n);
            norm_V += move_row(all[1], j * k, k, used ? P.to_V.values + c * stride : NULL, P.to_V.decay, n);
            if (Step::HAS_U) norm_V += move_row(all[4], j * k, k, used ? P.to_U.values + c * stride : NULL, P.to_U.decay, n);
            all[3].move(j, used ? P.to_b.values[c] : 0);
            c += used;
        }
        norms[2 * thread] = norm_W;
        norms[2 * thread + 1] = norm_V;
    }
    const FlushToZero here;
    move_row(all[2], 0, k, P.to_mu.values, 0, 0);
    totals[1] = totals[2] = 0;
    for (int z = 0; z < 2 * threads; z++) totals[1 + z % 2] += norms[z];
    step.set_losses(totals[0], totals[1], totals[2]);
    return 0;
}

/* Out: the squared error and its gradients for W, V', mu, b and, if it is there, U'. */
template <typename T, typename In>
int squared_error_op(PyArrayObject **in, PyArrayObject **out[], const Settings &settings, Workspace &ws)
{
    const bool HAS_U = In::U_t >= 0;
    enum { N = HAS_U ? 5 : 4 };
    if (check_parameters<In>(in)) return -1;
    CheckedCsr<T> block(in[In::data], in[In::indices], in[In::indptr], in[In::target], given(in, In::indicator));
    if (block.check(PyArray_DIMS(in[In::indptr])[0] - 1, PyArray_DIMS(in[In::W])[0])) return -1;
    const Contiguous W(in[In::W]), V(in[In::V_t]), mu(in[In::mu]), b(in[In::b]), U(given(in, In::U_t));
    if (W.failed() || V.failed() || mu.failed() || b.failed() || U.failed()) return -1;
    PyArrayObject *from[] = {W.array, V.array, mu.array, b.array, U.array}, *to[5];
    const int type = PyArray_TYPE(W.array);
    if (allocate(out[0], 0, 0, 0, type)) return -1;
    for (int i = 0; i < N; i++) {
        const int ndim = PyArray_NDIM(from[i]);
        if (allocate(out[1 + i], ndim, PyArray_DIMS(from[i])[0], PyArray_DIMS(from[i])[ndim - 1], type)) return -1;
        to[i] = *out[1 + i];
        memset(PyArray_DATA(to[i]), 0, PyArray_NBYTES(to[i]));
    }
    const Parameters<T> P(N, from, to, settings);
    const npy_intp chunk = 512;  /* rows at a time, so that what a slice keeps of them stays in the cache */
    double squared_error = 0;
    for (npy_intp row = 0; row < block.R.n_rows; row += chunk) {
        Csr<T> part = block.R;
        const npy_int32 start = part.indptr[row];
        part.n_rows = std::min(chunk, part.n_rows - row);
        part.indptr += row;
        part.nnz = part.indptr[part.n_rows] - start;
        part.indices += start;
        part.data += start;
        part.targets += start;
        if (HAS_U) part.indicator += start;
        double totals[3];
        if (Pass<T, HAS_U, Accumulate<T> >(part, P).run(ws, totals)) return -1;
        squared_error += totals[0];
    }
    *(T *)PyArray_DATA(*out[0]) = (T)squared_error;
    return 0;
}

}  // namespace sparse_ae

#endif
