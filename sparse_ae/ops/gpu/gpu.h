/* Checks that the Ops of a GPU make on the host before a kernel starts, and the number of blocks of threads. */
static int sparse_ae_check(PyArrayObject *sizes, PyArrayObject *indices, npy_int64 n_rows, npy_int64 n_data,
                           npy_int64 n_items)
{
    const npy_int64 *given = (const npy_int64 *)PyArray_DATA(sizes);
    if (n_items < 0) {
        PyErr_Format(PyExc_ValueError, "n_items is %lld; it must not be negative", (long long)n_items);
        return 1;
    }
    if (n_rows >= 0 && n_rows != given[0]) {
        PyErr_Format(PyExc_ValueError, "indptr has %lld entries; %lld rows need %lld", (long long)given[0] + 1,
                     (long long)n_rows, (long long)n_rows + 1);
        return 1;
    }
    if (n_data >= 0 && n_data != given[1]) {
        PyErr_Format(PyExc_ValueError,
                     "data has %lld entries, indices %lld; a CSR matrix stores one index per rating",
                     (long long)n_data, (long long)given[1]);
        return 1;
    }
    if (given[2] > n_items)
        for (npy_intp p = 0; p < PyArray_DIM(indices, 0); p++) {
            const npy_int32 i = *(const npy_int32 *)PyArray_GETPTR1(indices, p);
            if (i < 0 || i >= n_items) {
                PyErr_Format(PyExc_IndexError, "indices[%lld] is %d; with %lld items it must lie in 0 ... %lld",
                             (long long)p, (int)i, (long long)n_items, (long long)n_items - 1);
                return 1;
            }
        }
    return 0;
}

static int sparse_ae_one_each(const char *name, PyGpuArrayObject *x, size_t nnz)
{
    if (PyGpuArray_DIM(x, 0) == nnz)
        return 0;
    PyErr_Format(PyExc_ValueError, "%s has %llu entries, indices %llu; each rating needs one", name,
                 (unsigned long long)PyGpuArray_DIM(x, 0), (unsigned long long)nnz);
    return 1;
}

/* Blocks of threads for n pieces of work, `each` of which go to a block; no card refuses so many. */
static size_t sparse_ae_blocks(size_t n, size_t each)
{
    const size_t blocks = (n + each - 1) / each;
    return blocks < 65535 ? blocks : 65535;
}

static int sparse_ae_same_units(PyGpuArrayObject *A, PyGpuArrayObject *F)
{
    if (PyGpuArray_DIM(A, 1) == PyGpuArray_DIM(F, 1))
        return 0;
    PyErr_Format(PyExc_ValueError, "A has %llu columns, F %llu; both must have one for each hidden unit",
                 (unsigned long long)PyGpuArray_DIM(A, 1), (unsigned long long)PyGpuArray_DIM(F, 1));
    return 1;
}
