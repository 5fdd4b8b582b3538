/* Products of a CSR block with dense matrices, and updates of rows by a rule along R' A: the C code of csr.py and
   rows.py. Comes after rules.h.

   Shapes: the CSR block R is (n_rows, n_columns) with nnz stored ratings; dense matrices have k columns, their rows are
   contiguous. */
#ifndef SPARSE_AE_PRODUCTS_H
#define SPARSE_AE_PRODUCTS_H

namespace sparse_ae {

/* Prefetches F's row of the rating after the next: rows lie anywhere, and the hardware can't guess it. */
template <typename T> static inline void prefetch_row(const Csr<T> &R, npy_intp p, npy_intp k, const T *F)
{
    if (p + 2 < R.nnz) {
        const T *f = F + R.indices[p + 2] * k;
        for (npy_intp t = 0; t < k; t += Simd<T>::LANES) __builtin_prefetch(f + t);
    }
}

/* H (n_rows, k) = R F, F (n_columns, k). */
template <typename T> void csr_dot(const Csr<T> &R, npy_intp k, const T *F, T *H)
{
    #pragma omp parallel num_threads(n_threads(R.nnz * k))
    {
        const FlushToZero here;
        #pragma omp for schedule(dynamic, 4)
        for (npy_intp i = 0; i < R.n_rows; i++) {
            T *h = H + i * k;
            memset(h, 0, k * sizeof(T));
            for (npy_int32 p = R.indptr[i]; p < R.indptr[i + 1]; p++) {
                const T *f = F + R.indices[p] * k;
                const T a = R.data[p];
                prefetch_row(R, p, k, F);
                #pragma omp simd
                for (npy_intp t = 0; t < k; t++) h[t] += a * f[t];
            }
        }
    }
}

/* s (nnz,): s[p] = A[row of p] . F[indices[p]], A (n_rows, k), F (n_columns, k). R.data is not read. */
template <typename T> void sampled_dot(const Csr<T> &R, npy_intp k, const T *A, const T *F, T *s)
{
    #pragma omp parallel num_threads(n_threads(R.nnz * k))
    {
        const FlushToZero here;
        #pragma omp for schedule(dynamic, 4)
        for (npy_intp i = 0; i < R.n_rows; i++) {
            const T *a = A + i * k;
            for (npy_int32 p = R.indptr[i]; p < R.indptr[i + 1]; p++) {
                const T *f = F + R.indices[p] * k;
                T sum = 0;
                prefetch_row(R, p, k, F);
                #pragma omp simd reduction(+ : sum)
                for (npy_intp t = 0; t < k; t++) sum += a[t] * f[t];
                s[p] = sum;
            }
        }
    }
}

/* A sink takes rows of R' A: the row's offset, k, the row, and its place among the columns that have ratings.

   Put: into an array. */
template <typename T> struct Put {
    T *to;
    void prefetch(npy_intp, npy_intp) const {}
    void operator()(npy_intp first, npy_intp k, const T *g, npy_intp) const { memcpy(to + first, g, k * sizeof(T)); }
};

/* Move: F and its state, by a rule; with GROWTH, `growths` gets the growth of each row's squares. */
template <typename T, typename Rule, bool GROWTH> struct Move {
    Moved<T, Rule> F;
    double *growths;
    static void fetch(const T *row, npy_intp k)
    {
        for (npy_intp t = 0; t < k; t += Simd<T>::LANES) __builtin_prefetch(row + t, 1);
    }
    void prefetch(npy_intp first, npy_intp k) const
    {
        fetch(F.values + first, k);
        for (int i = 0; i < Rule::STATE; i++) fetch(F.state[i] + first, k);
    }
    void operator()(npy_intp first, npy_intp k, const T *g, npy_intp c) const
    {
        const Moved<T, Rule> row = F.from(first);
        T growth = 0;
        #pragma omp simd reduction(+ : growth)
        for (npy_intp t = 0; t < k; t++) {
            const T old = row.values[t];
            row.move(t, g[t]);
            if (GROWTH) growth += (row.values[t] - old) * (row.values[t] + old);
        }
        if (GROWTH) growths[c] = growth;
    }
};

/* Gives `sink` the rows of R' A for columns with ratings, each summed by one thread in the order of R's rows. 0, or -1
   with a Python error set. */
template <typename T, typename Sink>
int each_row(const Csr<T> &R, npy_intp k, const T *A, const Sink &sink, Workspace &ws)
{
    Sorted<T> sorted;
    const int threads = n_threads(R.nnz * k);
    T *sums = ws.gradient.get<T>(threads * Simd<T>::padded(k));
    if (!sums || !sort_by_column(R, ws, sorted)) {
        PyErr_NoMemory();
        return -1;
    }
    #pragma omp parallel num_threads(threads)
    {
        const FlushToZero here;
        #pragma omp for schedule(dynamic, 64)
        for (npy_intp c = 0; c < sorted.n_columns; c++) {
#ifdef _OPENMP
            T *g = sums + omp_get_thread_num() * Simd<T>::padded(k);
#else
            T *g = sums;
#endif
            if (c + 2 < sorted.n_columns) sink.prefetch(sorted.columns[c + 2] * k, k);
            for (npy_int32 q = sorted.starts[c]; q < sorted.starts[c + 1]; q++) {
                const T *a = A + sorted.rows[q] * k;
                const T r = sorted.ratings[q];
                if (q == sorted.starts[c]) {
                    #pragma omp simd
                    for (npy_intp t = 0; t < k; t++) g[t] = r * a[t];
                } else {
                    #pragma omp simd
                    for (npy_intp t = 0; t < k; t++) g[t] += r * a[t];
                }
            }
            sink(sorted.columns[c] * k, k, g, c);
        }
    }
    return 0;
}

template <typename T>
int csr_dot_op(PyArrayObject **in, PyArrayObject **out[], Workspace &)
{
    /* in: data, indices, indptr, F */
    CheckedCsr<T> block(in[0], in[1], in[2]);
    Contiguous F(in[3]);
    const npy_intp n_rows = PyArray_DIMS(in[2])[0] - 1;
    if (F.failed() || block.check(n_rows, F.dim(0)) ||
        allocate(out[0], 2, n_rows, F.dim(1), PyArray_TYPE(in[3])))
        return -1;
    csr_dot(block.R, F.dim(1), F.data<T>(), (T *)PyArray_DATA(*out[0]));
    return 0;
}

template <typename T>
int sampled_dot_op(PyArrayObject **in, PyArrayObject **out[], Workspace &)
{
    /* in: indices, indptr, A, F */
    CheckedCsr<T> block(NULL, in[0], in[1]);
    Contiguous A(in[2]), F(in[3]);
    if (A.failed() || F.failed() || A.dim(1) != F.dim(1) || block.check(A.dim(0), F.dim(0)) ||
        allocate(out[0], 1, block.R.nnz, 0, PyArray_TYPE(in[3])))
        return -1;
    sampled_dot(block.R, F.dim(1), A.data<T>(), F.data<T>(), (T *)PyArray_DATA(*out[0]));
    return 0;
}

template <typename T>
int csr_t_dot_op(PyArrayObject **in, PyArrayObject **out[], Workspace &ws)
{
    /* in: data, indices, indptr, A, n_columns */
    CheckedCsr<T> block(in[0], in[1], in[2]);
    Contiguous A(in[3]);
    const npy_intp n_columns = (npy_intp) * (npy_int64 *)PyArray_DATA(in[4]);
    if (n_columns < 0 || A.failed() || block.check(A.dim(0), n_columns) ||
        allocate(out[0], 2, n_columns, A.dim(1), PyArray_TYPE(in[3])))
        return -1;
    memset(PyArray_DATA(*out[0]), 0, PyArray_NBYTES(*out[0]));
    const Put<T> put = {(T *)PyArray_DATA(*out[0])};
    return each_row(block.R, A.dim(1), A.data<T>(), put, ws);
}

template <typename T, typename In, bool INPLACE, template <typename> class Rule, bool GROWTH>
int rows_op(PyArrayObject **in, PyArrayObject **out[], Workspace &ws)
{
    /* out: F and its state, and with GROWTH the growth of the sum of F's squares */
    enum { STATE = Rule<T>::STATE, NUMBERS = Rule<T>::NUMBERS };
    CheckedCsr<T> block(in[In::data], in[In::indices], in[In::indptr]);
    Contiguous A(in[In::A]);
    const npy_intp *shape = PyArray_DIMS(in[In::F]);
    if (A.failed() || A.dim(1) != shape[1] || block.check(A.dim(0), shape[0])) return -1;
    for (int i = 1; i <= STATE; i++)
        if (!PyArray_SAMESHAPE(in[In::F], in[i])) return -1;
    double numbers[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        if (to_double(in[In::rate + i], &numbers[i])) return -1;
    Output<T> to = {};
    to.numbers = numbers;
    for (int i = 0; i <= STATE; i++) {
        if (take_over(INPLACE, in[i], out[i])) return -1;
        (i ? to.state[i - 1] : to.values) = (T *)PyArray_DATA(*out[i]);
    }
    const npy_intp most = GROWTH ? std::min(block.R.nnz, shape[0]) : 0;  // rows in use, added up in their order
    double *growths = ws.sums.get<double>(most);
    if (!growths) PyErr_NoMemory();
    if (!growths || (GROWTH && allocate(out[STATE + 1], 0, 0, 0, NPY_DOUBLE))) return -1;
    memset(growths, 0, most * sizeof(double));
    const Move<T, Rule<T>, GROWTH> move = {Moved<T, Rule<T> >(to), growths};
    if (each_row(block.R, A.dim(1), A.data<T>(), move, ws)) return -1;
    double sum = 0;
    for (npy_intp c = 0; c < most; c++) sum += growths[c];
    if (GROWTH) *(double *)PyArray_DATA(*out[STATE + 1]) = sum;
    return 0;
}

}  // namespace sparse_ae

#endif
