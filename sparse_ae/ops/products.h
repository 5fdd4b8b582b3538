/* Products of a CSR matrix of ratings with dense factors, and rules along R' A: the C code of csr.py and rows.py. Comes
   after rules.h.

   Shapes: the CSR block R is (n_rows, n_items) with nnz stored ratings; dense factors have k columns, their rows are
   contiguous. */
#ifndef SPARSE_AE_PRODUCTS_H
#define SPARSE_AE_PRODUCTS_H

namespace sparse_ae {

/* Asks for F's row of the rating after next: rows lie anywhere, and no hardware guesses the next one. */
template <typename T> static inline void prefetch_row(const Csr<T> &R, npy_intp p, npy_intp k, const T *F)
{
    if (p + 2 < R.nnz) {
        const T *f = F + R.indices[p + 2] * k;
        for (npy_intp t = 0; t < k; t += 64 / sizeof(T)) __builtin_prefetch(f + t);
    }
}

/* H (n_rows, k) = R F, F (n_items, k). */
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

/* s (nnz,): s[p] = A[row of p] . F[indices[p]], A (n_rows, k), F (n_items, k). R.data is not read. */
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

/* Where rows of R' A go. Put: to an array. */
template <typename T> struct Put {
    T *to;
    void prefetch(npy_intp, npy_intp) const {}
    void operator()(npy_intp first, npy_intp k, const T *g, npy_intp) const { memcpy(to + first, g, k * sizeof(T)); }
};

/* Move: F and what is kept of it move along them; where it GROWS, by how much the squares of each grow is kept. */
template <typename T, typename Rule, bool GROWS> struct Move {
    Moved<T, Rule> F;
    double *growths;
    static void fetch(const T *row, npy_intp k)
    {
        for (npy_intp t = 0; t < k; t += 64 / sizeof(T)) __builtin_prefetch(row + t, 1);
    }
    void prefetch(npy_intp first, npy_intp k) const
    {
        fetch(F.values + first, k);
        for (int i = 0; i < Rule::KEPT; i++) fetch(F.kept[i] + first, k);
    }
    void operator()(npy_intp first, npy_intp k, const T *g, npy_intp c) const
    {
        const Moved<T, Rule> row = F.from(first);
        T growth = 0;
        #pragma omp simd reduction(+ : growth)
        for (npy_intp t = 0; t < k; t++) {
            const T old = row.values[t];
            row.move(t, g[t]);
            if (GROWS) growth += (row.values[t] - old) * (row.values[t] + old);
        }
        if (GROWS) growths[c] = growth;
    }
};

/* Gives `take` the rows of R' A that R has entries for. Each is one thread's, and adds up in the order of R's rows. 0,
   or -1 with a Python error set. */
template <typename T, typename Take>
int each_row(const Csr<T> &R, npy_intp k, const T *A, const Take &take, Workspace &ws)
{
    ByItem<T> B;
    const npy_intp lanes = 64 / sizeof(T), stride = (k + lanes - 1) / lanes * lanes;
    const int threads = n_threads(R.nnz * k);
    T *sums = ws.gradient.get<T>(threads * stride);
    if (!sums || !sort_by_item(R, ws, B)) {
        PyErr_NoMemory();
        return -1;
    }
    #pragma omp parallel num_threads(threads)
    {
        const FlushToZero here;
        #pragma omp for schedule(dynamic, 64)
        for (npy_intp c = 0; c < B.n_items; c++) {
#ifdef _OPENMP
            T *g = sums + omp_get_thread_num() * stride;
#else
            T *g = sums;
#endif
            if (c + 2 < B.n_items) take.prefetch(B.items[c + 2] * k, k);
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
            take(B.items[c] * k, k, g, c);
        }
    }
    return 0;
}

/* what the Ops call ------------------------------------------------------------------------------------------------ */

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
    /* in: data, indices, indptr, A, n_items */
    CheckedCsr<T> block(in[0], in[1], in[2]);
    Contiguous A(in[3]);
    const npy_intp n_items = (npy_intp) * (npy_int64 *)PyArray_DATA(in[4]);
    if (n_items < 0 || A.failed() || block.check(A.dim(0), n_items) ||
        allocate(out[0], 2, n_items, A.dim(1), PyArray_TYPE(in[3])))
        return -1;
    memset(PyArray_DATA(*out[0]), 0, PyArray_NBYTES(*out[0]));
    const Put<T> put = {(T *)PyArray_DATA(*out[0])};
    return each_row(block.R, A.dim(1), A.data<T>(), put, ws);
}

template <typename T, bool inplace, template <typename> class Rule, bool GROWS>
int rows_op(PyArrayObject **in, PyArrayObject **out[], Workspace &ws)
{
    /* in: F and what is kept of it, the rule's numbers, data, indices, indptr, A; out: F and what is kept of it, and
       where it GROWS by how much the sum of F's squares grew */
    enum { KEPT = Rule<T>::KEPT, NUMBERS = Rule<T>::NUMBERS, DATA = 1 + KEPT + NUMBERS };
    CheckedCsr<T> block(in[DATA], in[DATA + 1], in[DATA + 2]);
    Contiguous A(in[DATA + 3]);
    const npy_intp *shape = PyArray_DIMS(in[0]);
    if (A.failed() || A.dim(1) != shape[1] || block.check(A.dim(0), shape[0])) return -1;
    for (int i = 1; i <= KEPT; i++)
        if (!PyArray_SAMESHAPE(in[0], in[i])) return -1;
    double numbers[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        if (to_double(in[1 + KEPT + i], &numbers[i])) return -1;
    Goal<T> goal = {};
    goal.numbers = numbers;
    for (int i = 0; i <= KEPT; i++) {
        if (take_over(inplace, in[i], out[i])) return -1;
        (i ? goal.kept[i - 1] : goal.values) = (T *)PyArray_DATA(*out[i]);
    }
    const npy_intp most = GROWS ? std::min<npy_intp>(block.R.nnz, shape[0]) + 1 : 1;  // rows in use, added up in order
    double *growths = ws.sums.get<double>(most);
    if (!growths) PyErr_NoMemory();
    if (!growths || (GROWS && allocate(out[KEPT + 1], 0, 0, 0, NPY_DOUBLE))) return -1;
    for (npy_intp i = 0; i < most; i++) growths[i] = 0;
    const Move<T, Rule<T>, GROWS> move = {Moved<T, Rule<T> >(goal), growths};
    if (each_row(block.R, A.dim(1), A.data<T>(), move, ws)) return -1;
    double sum = 0;
    for (npy_intp i = 0; i < most; i++) sum += growths[i];
    if (GROWS) *(double *)PyArray_DATA(*out[KEPT + 1]) = sum;
    return 0;
}

}  // namespace sparse_ae

#endif
