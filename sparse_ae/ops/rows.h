/* Adagrad on the rows in use alone: the C code of rows.py. Comes after blocks.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored entries; A (n_rows, k); F and its sums of squared
   gradients (n_items, k), rows contiguous. */
#ifndef SPARSE_AE_ROWS_H
#define SPARSE_AE_ROWS_H

#include <cmath>

namespace sparse_ae {

/* With G = R' A: squares += G^2, F -= rate G / sqrt(squares + epsilon), in the rows of F that R has entries for. Each
   is one thread's, and adds up in the order of R's rows. 0, or -1 with a Python error set. */
template <typename T>
int adagrad_rows(const Ratings<T> &R, npy_intp k, const T *A, T rate, T epsilon, T *F, T *squares, Workspace &ws)
{
    ByItem<T> B;
    const npy_intp stride = (k + 64 / sizeof(T) - 1) / (64 / sizeof(T)) * (64 / sizeof(T));
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
        T *f = F + B.items[c] * k, *s = squares + B.items[c] * k;
        memset(g, 0, k * sizeof(T));
        for (npy_int32 q = B.starts[c]; q < B.starts[c + 1]; q++) {
            const T *a = A + B.rows[q] * k;
            const T r = B.ratings[q];
            #pragma omp simd
            for (npy_intp t = 0; t < k; t++) g[t] += r * a[t];
        }
        #pragma omp simd
        for (npy_intp t = 0; t < k; t++) {
            s[t] += g[t] * g[t];
            f[t] -= rate * g[t] / std::sqrt(s[t] + epsilon);
        }
    }
    return 0;
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
    Ratings<T> R;
    static_cast<Csr<T> &>(R) = block.R;
    R.targets = R.data;
    R.seen = NULL;
    return adagrad_rows(R, A.dim(1), A.data<T>(), *(T *)PyArray_DATA(rate), *(T *)PyArray_DATA(epsilon),
                        (T *)PyArray_DATA(*new_F), (T *)PyArray_DATA(*new_squares), ws);
}

}  // namespace sparse_ae

#endif
