/* Products of a CSR matrix of ratings with dense factors: the C code of csr.py. Comes after numpy_glue.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored ratings; dense factors have k columns, their rows are
   contiguous. */
#ifndef SPARSE_AE_PRODUCTS_H
#define SPARSE_AE_PRODUCTS_H

namespace sparse_ae {

/* Asks for hidden units t0 to t1 of F's row of the rating after next: rows lie anywhere, and no hardware guesses the
   next one. */
template <typename T>
static inline void prefetch_row(const Csr<T> &R, npy_intp p, npy_intp k, const T *F, npy_intp t0, npy_intp t1)
{
    if (p + 2 < R.nnz) {
        const T *f = F + R.indices[p + 2] * k;
        for (npy_intp t = t0; t < t1; t += 64 / sizeof(T)) __builtin_prefetch(f + t);
    }
}

/* H (n_rows, k) = R F, F (n_items, k). */
template <typename T> void csr_dot(const Csr<T> &R, npy_intp k, const T *F, T *H)
{
    #pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads(R.nnz * k))
    for (npy_intp i = 0; i < R.n_rows; i++) {
        T *h = H + i * k;
        memset(h, 0, k * sizeof(T));
        for (npy_int32 p = R.indptr[i]; p < R.indptr[i + 1]; p++) {
            const T *f = F + R.indices[p] * k;
            const T a = R.data[p];
            prefetch_row(R, p, k, F, 0, k);
            #pragma omp simd
            for (npy_intp t = 0; t < k; t++) h[t] += a * f[t];
        }
    }
}

/* s (nnz,): s[p] = A[row of p] . F[indices[p]], A (n_rows, k), F (n_items, k). R.data is not read. */
template <typename T> void sampled_dot(const Csr<T> &R, npy_intp k, const T *A, const T *F, T *s)
{
    #pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads(R.nnz * k))
    for (npy_intp i = 0; i < R.n_rows; i++) {
        const T *a = A + i * k;
        for (npy_int32 p = R.indptr[i]; p < R.indptr[i + 1]; p++) {
            const T *f = F + R.indices[p] * k;
            T sum = 0;
            prefetch_row(R, p, k, F, 0, k);
            #pragma omp simd reduction(+ : sum)
            for (npy_intp t = 0; t < k; t++) sum += a[t] * f[t];
            s[p] = sum;
        }
    }
}

/* F += alpha R' A, A (n_rows, k), F (n_items, k); returns by how much the sum of F's squares grew.
   Threads share out the hidden units, not the ratings: no two write the same number, so the sum's order never depends
   on timing. */
template <typename T> double add_csr_t_dot(const Csr<T> &R, npy_intp k, const T *A, T alpha, T *F)
{
    const npy_intp line = 64 / sizeof(T), lines = (k + line - 1) / line;
    const int threads = n_threads(R.nnz * k), n_shares = lines < threads ? (lines > 1 ? (int)lines : 1) : threads;
    double *growth = new double[n_shares]();
    #pragma omp parallel for schedule(static, 1) num_threads(n_shares)
    for (int share = 0; share < n_shares; share++) {
        const npy_intp t0 = lines * share / n_shares * line;
        npy_intp t1 = lines * (share + 1) / n_shares * line;
        if (t1 > k) t1 = k;
        double sum = 0;
        for (npy_intp i = 0; i < R.n_rows; i++) {
            const T *a = A + i * k;
            for (npy_int32 p = R.indptr[i]; p < R.indptr[i + 1]; p++) {
                T *f = F + R.indices[p] * k;
                const T c = alpha * R.data[p];
                T g = 0;
                prefetch_row(R, p, k, F, t0, t1);
                #pragma omp simd reduction(+ : g)
                for (npy_intp t = t0; t < t1; t++) {
                    const T d = c * a[t];
                    g += d * (2 * f[t] + d);
                    f[t] += d;
                }
                sum += g;
            }
        }
        growth[share] = sum;
    }
    double sum = 0;
    for (int share = 0; share < n_shares; share++) sum += growth[share];
    delete[] growth;
    return sum;
}

/* what the Ops call ------------------------------------------------------------------------------------------------ */

template <typename T>
int csr_dot_op(PyArrayObject *data, PyArrayObject *indices, PyArrayObject *indptr, PyArrayObject *F_,
               PyArrayObject **out)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous F(F_);
    const npy_intp n_rows = PyArray_DIMS(indptr)[0] - 1;
    if (F.failed() || block.check(n_rows, F.dim(0)) || allocate(out, 2, n_rows, F.dim(1), PyArray_TYPE(F_))) return -1;
    csr_dot(block.R, F.dim(1), F.data<T>(), (T *)PyArray_DATA(*out));
    return 0;
}

template <typename T>
int sampled_dot_op(PyArrayObject *indices, PyArrayObject *indptr, PyArrayObject *A_, PyArrayObject *F_,
                   PyArrayObject **out)
{
    CheckedCsr<T> block(NULL, indices, indptr);
    Contiguous A(A_), F(F_);
    if (A.failed() || F.failed() || same_units(A.dim(1), F.dim(1), "A", "F") || block.check(A.dim(0), F.dim(0)) ||
        allocate(out, 1, block.R.nnz, 0, PyArray_TYPE(F_)))
        return -1;
    sampled_dot(block.R, F.dim(1), A.data<T>(), F.data<T>(), (T *)PyArray_DATA(*out));
    return 0;
}

template <typename T>
int csr_t_dot_op(PyArrayObject *data, PyArrayObject *indices, PyArrayObject *indptr, PyArrayObject *A_,
                 PyArrayObject *n_items_, PyArrayObject **out)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous A(A_);
    const npy_intp n_items = (npy_intp) * (npy_int64 *)PyArray_DATA(n_items_);
    if (n_items < 0) {
        PyErr_Format(PyExc_ValueError, "n_items is %zd; it must not be negative", (Py_ssize_t)n_items);
        return -1;
    }
    if (A.failed() || block.check(A.dim(0), n_items) || allocate(out, 2, n_items, A.dim(1), PyArray_TYPE(A_)))
        return -1;
    memset(PyArray_DATA(*out), 0, PyArray_NBYTES(*out));
    add_csr_t_dot(block.R, A.dim(1), A.data<T>(), (T)1, (T *)PyArray_DATA(*out));
    return 0;
}

template <typename T>
int add_csr_t_dot_op(bool inplace, PyArrayObject *F, PyArrayObject *alpha, PyArrayObject *data, PyArrayObject *indices,
                     PyArrayObject *indptr, PyArrayObject *A_, PyArrayObject **out, PyArrayObject **growth)
{
    CheckedCsr<T> block(data, indices, indptr);
    Contiguous A(A_);
    if (A.failed() || same_units(A.dim(1), PyArray_DIMS(F)[1], "A", "F") || block.check(A.dim(0), PyArray_DIMS(F)[0]) ||
        take_over(inplace, F, out) || allocate(growth, 0, 0, 0, NPY_FLOAT64))
        return -1;
    *(double *)PyArray_DATA(*growth) =
        add_csr_t_dot(block.R, A.dim(1), A.data<T>(), *(T *)PyArray_DATA(alpha), (T *)PyArray_DATA(*out));
    return 0;
}

}  // namespace sparse_ae

#endif
