/* Plain SGD and Adagrad on the rows in use alone: the C code of rows.py. Comes after blocks.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored entries; A (n_rows, k); F and its sums of squared
   gradients (n_items, k), rows contiguous. */
#ifndef SPARSE_AE_ROWS_H
#define SPARSE_AE_ROWS_H

#include <cmath>

namespace sparse_ae {

/* F -= rate G */
template <typename T> struct SgdRows {
    T *F, rate;
    void prefetch(npy_intp first, npy_intp k) const { fetch(F + first, k); }
    void operator()(npy_intp first, npy_intp k, const T *g) const
    {
        T *f = F + first;
        const T r = rate;
        #pragma omp simd
        for (npy_intp t = 0; t < k; t++) f[t] -= r * g[t];
    }
    static void fetch(const T *row, npy_intp k)
    {
        for (npy_intp t = 0; t < k; t += 64 / sizeof(T)) __builtin_prefetch(row + t, 1);
    }
};

/* squares += G^2, F -= rate G / sqrt(squares + epsilon) */
template <typename T> struct AdagradRows {
    T *F, *squares, rate, epsilon;
    void prefetch(npy_intp first, npy_intp k) const
    {
        SgdRows<T>::fetch(F + first, k);
        SgdRows<T>::fetch(squares + first, k);
    }
    void operator()(npy_intp first, npy_intp k, const T *g) const
    {
        T *f = F + first, *s = squares + first;
        const T r = rate, e = epsilon;
        #pragma omp simd
        for (npy_intp t = 0; t < k; t++) {
            const T sum = s[t] + g[t] * g[t];
            s[t] = sum;
            f[t] -= r * g[t] / std::sqrt(sum + e);
        }
    }
};

/* means = beta1 means + (1 - beta1) G, squares likewise of G^2, F -= step means / (sqrt(squares) + epsilon) */
template <typename T> struct AdamRows {
    T *F, *means, *squares, step, beta1, beta2, epsilon, rest1, rest2;
    void prefetch(npy_intp first, npy_intp k) const
    {
        T *const arrays[] = {F, means, squares};
        for (int i = 0; i < 3; i++) SgdRows<T>::fetch(arrays[i] + first, k);
    }
    void operator()(npy_intp first, npy_intp k, const T *g) const
    {
        const AdamRows here(*this);  /* a local copy: the stores below can't change it */
        T *f = F + first, *m = means + first, *v = squares + first;
        #pragma omp simd
        for (npy_intp t = 0; t < k; t++) {
            m[t] = here.beta1 * m[t] + here.rest1 * g[t];
            v[t] = here.beta2 * v[t] + here.rest2 * (g[t] * g[t]);
            f[t] -= here.step * m[t] / (std::sqrt(v[t]) + here.epsilon);
        }
    }
};

/* Gives `update` the rows of G = R' A that R has entries for. Each is one thread's, and adds up in the order of R's
   rows. 0, or -1 with a Python error set. */
template <typename T, typename Update>
int update_rows(const Csr<T> &block, npy_intp k, const T *A, const Update &update, Workspace &ws)
{
    Ratings<T> R;
    static_cast<Csr<T> &>(R) = block;
    R.targets = R.data;
    R.seen = NULL;
    ByItem<T> B;
    const npy_intp lanes = 64 / sizeof(T), stride = (k + lanes - 1) / lanes * lanes;
    const int threads = n_threads(R.nnz * k);
    T *sums = ws.gradient.get<T>(threads * stride);
    if (!sums || !sort_by_item(R, ws, B)) {
        PyErr_NoMemory();
        return -1;
    }
    #pragma omp parallel for schedule(dynamic, 64) num_threads(threads)
    for (npy_intp c = 0; c < B.n_items; c++) {
#ifdef _OPENMP
        T *g = sums + omp_get_thread_num() * stride;
#else
        T *g = sums;
#endif
        if (c + 2 < B.n_items) update.prefetch(B.items[c + 2] * k, k);
        for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
            const T *a = A + B.rows[q] * k;
            const T r = B.ratings[q];
            if (q == B.starts[c]) {
                #pragma omp simd
                for (npy_intp t = 0; t < k; t++) g[t] = r * a[t];
            } else {
                #pragma omp simd
                for (npy_intp t = 0; t < k; t++) g[t] += r * a[t];
            }
        }
        update(B.items[c] * k, k, g);
    }
    return 0;
}

/* what the Ops call ------------------------------------------------------------------------------------------------ */

template <typename T>
int sgd_rows_op(bool inplace, PyArrayObject *F, PyArrayObject *rate, PyArrayObject *data, PyArrayObject *indices,
                PyArrayObject *indptr, PyArrayObject *A_, PyArrayObject **new_F, Workspace &ws)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous A(A_);
    if (A.failed() || same_units(A.dim(1), PyArray_DIMS(F)[1], "A", "F") ||
        block.check(A.dim(0), PyArray_DIMS(F)[0]) || take_over(inplace, F, new_F))
        return -1;
    const SgdRows<T> update = {(T *)PyArray_DATA(*new_F), *(T *)PyArray_DATA(rate)};
    return update_rows(block.R, A.dim(1), A.data<T>(), update, ws);
}

template <typename T>
int adagrad_rows_op(bool inplace, PyArrayObject *F, PyArrayObject *squares, PyArrayObject *rate, PyArrayObject *epsilon,
                    PyArrayObject *data, PyArrayObject *indices, PyArrayObject *indptr, PyArrayObject *A_,
                    PyArrayObject **new_F, PyArrayObject **new_squares, Workspace &ws)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous A(A_);
    if (A.failed() || same_units(A.dim(1), PyArray_DIMS(F)[1], "A", "F") || block.check(A.dim(0), PyArray_DIMS(F)[0]))
        return -1;
    if (!PyArray_SAMESHAPE(F, squares)) {
        PyErr_SetString(PyExc_ValueError, "the sums of squared gradients are not of F's shape");
        return -1;
    }
    if (take_over(inplace, F, new_F) || take_over(inplace, squares, new_squares)) return -1;
    const AdagradRows<T> update = {(T *)PyArray_DATA(*new_F), (T *)PyArray_DATA(*new_squares),
                                   *(T *)PyArray_DATA(rate), *(T *)PyArray_DATA(epsilon)};
    return update_rows(block.R, A.dim(1), A.data<T>(), update, ws);
}

template <typename T>
int adam_rows_op(bool inplace, PyArrayObject *F, PyArrayObject *means, PyArrayObject *squares, PyArrayObject *step,
                 PyArrayObject *beta1, PyArrayObject *beta2, PyArrayObject *epsilon, PyArrayObject *data,
                 PyArrayObject *indices, PyArrayObject *indptr, PyArrayObject *A_, PyArrayObject **new_F,
                 PyArrayObject **new_means, PyArrayObject **new_squares, Workspace &ws)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous A(A_);
    double numbers[4];
    PyArrayObject *const given[] = {step, beta1, beta2, epsilon};
    if (A.failed() || same_units(A.dim(1), PyArray_DIMS(F)[1], "A", "F") || block.check(A.dim(0), PyArray_DIMS(F)[0]))
        return -1;
    if (!PyArray_SAMESHAPE(F, means) || !PyArray_SAMESHAPE(F, squares)) {
        PyErr_SetString(PyExc_ValueError, "the means of the gradients, or of their squares, are not of F's shape");
        return -1;
    }
    for (int i = 0; i < 4; i++)
        if (to_double(given[i], &numbers[i])) return -1;
    if (take_over(inplace, F, new_F) || take_over(inplace, means, new_means) || take_over(inplace, squares, new_squares))
        return -1;
    const AdamRows<T> update = {(T *)PyArray_DATA(*new_F), (T *)PyArray_DATA(*new_means),
                                (T *)PyArray_DATA(*new_squares), (T)numbers[0], (T)numbers[1], (T)numbers[2],
                                (T)numbers[3], (T)(1 - numbers[1]), (T)(1 - numbers[2])};
    return update_rows(block.R, A.dim(1), A.data<T>(), update, ws);
}

}  // namespace sparse_ae

#endif
