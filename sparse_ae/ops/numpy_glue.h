/* The base of every Op's C code: NumPy's arrays as checked C ones, threads, vectors, memory.

   Each Op's entry point (name_op) takes Theano's arrays in any memory layout. It returns 0, or -1: with a Python error
   set, or for wrong inputs, which `refuse` describes then. No index is used before check_csr has passed it. */
#ifndef SPARSE_AE_NUMPY_GLUE_H
#define SPARSE_AE_NUMPY_GLUE_H

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#ifdef _OPENMP
#include <omp.h>
#ifndef _WIN32
#include <pthread.h>
#endif
#endif

namespace sparse_ae {

#ifdef _OPENMP
static void one_thread() { omp_set_num_threads(1); }

/* GNU's OpenMP keeps its threads for the next loop. A forked child has none of them, and would wait for them for ever:
   once there are some, the thread that forks runs all loops of this OpenMP alone in the child. Threads that the child
   starts have loops with threads of their own. */
static void expect_forks()
{
#ifndef _WIN32
    static bool expected = false;
    if (!expected) expected = !pthread_atfork(NULL, NULL, one_thread);
#endif
}
#endif

/* The number of threads for `work` multiplications: one more for each 2^18, so that a thread's work outweighs starting
   and joining it. */
static inline int n_threads(npy_intp work)
{
#ifdef _OPENMP
    const npy_intp enough = 1 + work / (1 << 18), most = omp_get_max_threads();
    if (enough > 1 && most > 1) expect_forks();
    return (int)(enough < most ? enough : most);
#else
    return 1;
#endif
}

/* While it lives, its thread reads and writes 0 for numbers below the normal range: on Intel's processors one costs as
   much as a hundred others. Declare it within a parallel region, never around one or around Python code: a thread that
   starts under the setting keeps it. */
class FlushToZero {
#if defined(__x86_64__)
    const unsigned before;
public:
    FlushToZero() : before(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~FlushToZero() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
    static npy_uint64 get() { npy_uint64 x; asm volatile("mrs %0, fpcr" : "=r"(x) : : "memory"); return x; }
    static void set(npy_uint64 x) { asm volatile("msr fpcr, %0" : : "r"(x) : "memory"); }
    const npy_uint64 before;
public:
    FlushToZero() : before(get()) { set(before | 1 << 24); }
    ~FlushToZero() { set(before); }
#else
public:
    FlushToZero() {}
    ~FlushToZero() {}
#endif
    FlushToZero(const FlushToZero &) = delete;
};

/* A CSR block of ratings. `targets` are the desired outputs, often the ratings themselves, by the same pointer;
   `indicator` is the second encoder's input, NULL without one. */
template <typename T> struct Csr {
    npy_intp n_rows, n_columns, nnz;
    const npy_int32 *indptr, *indices;
    const T *data, *targets, *indicator;
};

/* 0 where R is sound, else -1. */
template <typename T>
int check_csr(const Csr<T> &R, npy_intp n_indptr)
{
    if (n_indptr < 1 || n_indptr != R.n_rows + 1 || R.indptr[0] != 0 || R.indptr[R.n_rows] != R.nnz) return -1;
    for (npy_intp i = 0; i < R.n_rows; i++)
        if (R.indptr[i] > R.indptr[i + 1]) return -1;
    npy_int32 least = 0, most = -1;
    #pragma omp simd reduction(min : least) reduction(max : most)
    for (npy_intp p = 0; p < R.nnz; p++) {
        least = R.indices[p] < least ? R.indices[p] : least;
        most = R.indices[p] > most ? R.indices[p] : most;
    }
    return least < 0 || most >= R.n_columns ? -1 : 0;
}

/* Sets the Python error for inputs that an Op's C code has refused: its NumPy code tells which is wrong. */
static inline void refuse(PyObject *op, PyArrayObject **in, int n)
{
    PyObject *inputs = PyErr_Occurred() ? NULL : PyTuple_New(n);
    for (int i = 0; inputs && i < n; i++) {
        Py_INCREF(in[i]);
        PyTuple_SET_ITEM(inputs, i, (PyObject *)in[i]);
    }
    if (inputs) Py_XDECREF(PyObject_CallMethod(op, "refuse", "O", inputs));  /* a tuple: all arguments */
    Py_XDECREF(inputs);
}

/* An input, by its position as Layout in op.py prints it: NULL for -1. */
static inline PyArrayObject *given(PyArrayObject **in, int position) { return position < 0 ? NULL : in[position]; }

/* `array` itself where its memory is in C order, else a copy in C order, released at the end of the scope; NULL for
   NULL. */
struct Contiguous {
    PyArrayObject *array;
    const bool is_given;
    explicit Contiguous(PyArrayObject *from)
        : array(from ? (PyArrayObject *)PyArray_GETCONTIGUOUS(from) : NULL), is_given(from != NULL) {}
    ~Contiguous() { Py_XDECREF(array); }
    template <typename T> T *data() const { return array ? (T *)PyArray_DATA(array) : NULL; }
    npy_intp dim(int axis) const { return PyArray_DIMS(array)[axis]; }
    bool failed() const { return is_given && !array; }
    bool fits(npy_intp n) const { return !array || dim(0) == n; }
    Contiguous(const Contiguous &) = delete;
};

/* The CSR block of these arrays, checked. `data` may be NULL: then the ratings aren't read; so may `targets`, which are
   the ratings then, and `indicator`. */
template <typename T> struct CheckedCsr {
    Contiguous data, indices, indptr, targets, indicator;
    Csr<T> R;
    CheckedCsr(PyArrayObject *data_, PyArrayObject *indices_, PyArrayObject *indptr_, PyArrayObject *targets_ = NULL,
               PyArrayObject *indicator_ = NULL)
        : data(data_), indices(indices_), indptr(indptr_), targets(targets_ == data_ ? NULL : targets_),
          indicator(indicator_) {}
    int check(npy_intp n_rows, npy_intp n_columns)
    {
        if (data.failed() || indices.failed() || indptr.failed() || targets.failed() || indicator.failed()) return -1;
        R.n_rows = n_rows;
        R.n_columns = n_columns;
        R.nnz = indices.dim(0);
        R.indptr = indptr.data<npy_int32>();
        R.indices = indices.data<npy_int32>();
        R.data = data.data<T>();
        R.targets = targets.array ? targets.data<T>() : R.data;
        R.indicator = indicator.data<T>();
        const bool fit = data.fits(R.nnz) && targets.fits(R.nnz) && indicator.fits(R.nnz);
        return fit ? check_csr(R, indptr.dim(0)) : -1;
    }
};

/* A vector of 64 bytes, which may begin at any number of an array; its parts, for sums. */
template <typename T> struct Simd {
    enum { LANES = 64 / sizeof(T), QUARTER = LANES / 4 };
    typedef T vec __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
    typedef T half __attribute__((vector_size(32), aligned(sizeof(T)), may_alias));
    typedef T quarter __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
    static vec splat(T a) { const vec zero = {0}; return a - zero; }
    static T sum(vec v)
    {
        const half *h = (const half *)&v, a = h[0] + h[1];
        const quarter *q = (const quarter *)&a, s = q[0] + q[1];
        return QUARTER == 2 ? s[0] + s[1] : (s[0] + s[2 % QUARTER]) + (s[1] + s[3 % QUARTER]);
    }
    /* Lane by lane, since Adagrad and Adam take 5% longer with a loop. */
    static vec root(vec v) { return root(v, std::make_index_sequence<LANES>()); }
    template <size_t... lane> static vec root(vec v, std::index_sequence<lane...>)
    {
        const vec r = {std::sqrt(v[lane])...};
        return r;
    }
    /* The numbers in as many vectors as n numbers need. */
    static npy_intp padded(npy_intp n) { return (n + LANES - 1) / LANES * LANES; }
};

/* Memory that is kept from call to call, and only grows. */
struct Buffer {
    void *base;
    size_t size;
    Buffer() : base(NULL), size(0) {}
    ~Buffer() { free(base); }
    /* `count` numbers from a 64-byte boundary on, their values undefined; NULL where there is no memory. */
    template <typename T> T *get(npy_intp count)
    {
        const size_t need = (size_t)count * sizeof(T) + 64;
        if (need > size) {
            free(base);
            base = malloc(need);
            size = base ? need : 0;
            if (!base) return NULL;
        }
        return (T *)(((size_t)base + 63) / 64 * 64);
    }
};

/* The buffers of an Op, which uses some of them, for its ratings sorted by column, sums and extended matrices. */
struct Workspace {
    Buffer keys[2], rows[2], ratings[2], targets[2], indicator[2], columns, starts, scores, hidden, gradient, sums,
        gradients[5], extended[2], gram[2];
};

/* *out as an array of this shape in C order, made where it isn't one. */
static inline int allocate(PyArrayObject **out, int ndim, npy_intp d0, npy_intp d1, int type)
{
    npy_intp dims[2] = {d0, d1};
    if (*out && PyArray_NDIM(*out) == ndim && PyArray_CompareLists(PyArray_DIMS(*out), dims, ndim) &&
        PyArray_TYPE(*out) == type && PyArray_ISCARRAY(*out))
        return 0;
    Py_XDECREF(*out);
    *out = (PyArrayObject *)PyArray_SimpleNew(ndim, dims, type);
    return *out ? 0 : -1;
}

/* *out = `in` itself, to be written to; or a copy in C order, where not `inplace` or where `in` is in another order. */
static inline int take_over(bool inplace, PyArrayObject *in, PyArrayObject **out)
{
    PyArrayObject *taken =
        (PyArrayObject *)PyArray_FROM_OF((PyObject *)in, NPY_ARRAY_CARRAY | (inplace ? 0 : NPY_ARRAY_ENSURECOPY));
    if (!taken) return -1;
    Py_XDECREF(*out);
    *out = taken;
    return 0;
}

/* A 0-d array of any real dtype as a double; -1 with a Python error set for another. */
static inline int to_double(PyArrayObject *array, double *value)
{
    *value = PyFloat_AsDouble((PyObject *)array);
    return *value == -1 && PyErr_Occurred() ? -1 : 0;
}

}  // namespace sparse_ae

#endif
