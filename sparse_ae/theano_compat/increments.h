/* inplace_increment of Theano's tensor/inc_code.py for NumPy 2, whose C API lacks the iterator that it was written with:
   x[index] += inc row by row, or x[index] = inc, for a vector of indices, each of which counts as often as it occurs. */

/* The sum of two numbers; of complex ones, which NumPy 2 gives no operators in C++, by their parts. */
template <typename T> struct increment_complex {
    T real, imag;
    increment_complex operator+(const increment_complex &other) const {
        increment_complex sum = {real + other.real, imag + other.imag};
        return sum;
    }
};

/* One row, of any number of dimensions and any strides. */
template <typename T>
static void increment_row(char *x, const char *inc, int nd, const npy_intp *shape, const npy_intp *x_strides,
                          const npy_intp *inc_strides, int add) {
    if (nd == 0) {
        *(T *)x = add ? (T)(*(T *)x + *(const T *)inc) : *(const T *)inc;
        return;
    }
    for (npy_intp j = 0; j < shape[0]; j++, x += x_strides[0], inc += inc_strides[0])
        if (nd == 1)
            *(T *)x = add ? (T)(*(T *)x + *(const T *)inc) : *(const T *)inc;
        else
            increment_row<T>(x, inc, nd - 1, shape + 1, x_strides + 1, inc_strides + 1, add);
}

typedef void (*increment_row_function)(char *, const char *, int, const npy_intp *, const npy_intp *, const npy_intp *,
                                       int);

static increment_row_function increment_row_of(int type) {
    switch (type) {
        case NPY_INT8: return increment_row<npy_int8>;
        case NPY_INT16: return increment_row<npy_int16>;
        case NPY_INT32: return increment_row<npy_int32>;
        case NPY_INT64: return increment_row<npy_int64>;
        case NPY_UINT8: return increment_row<npy_uint8>;
        case NPY_UINT16: return increment_row<npy_uint16>;
        case NPY_UINT32: return increment_row<npy_uint32>;
        case NPY_UINT64: return increment_row<npy_uint64>;
        case NPY_FLOAT32: return increment_row<npy_float32>;
        case NPY_FLOAT64: return increment_row<npy_float64>;
        case NPY_COMPLEX64: return increment_row<increment_complex<npy_float32> >;
        case NPY_COMPLEX128: return increment_row<increment_complex<npy_float64> >;
        default: return NULL;
    }
}

/* 0, or -1 and an exception of Python's, and then x is what it was. */
static int inplace_increment(PyArrayObject *x, PyObject *index, PyArrayObject *inc, int add) {
    increment_row_function row = increment_row_of(PyArray_TYPE(x));
    int nd = PyArray_NDIM(x), status = -1;
    npy_intp n, length, inc_strides[NPY_MAXDIMS], *indices;
    PyArrayObject *values = NULL, *rows = NULL;
    if (!row || nd == 0) {
        PyErr_SetString(PyExc_TypeError, "unsupported type or number of dimensions");
        return -1;
    }
    if (PyArray_FailUnlessWriteable(x, "input/output array") < 0)
        return -1;
    Py_INCREF(PyArray_DESCR(x));
    values = (PyArrayObject *)PyArray_FromAny((PyObject *)inc, PyArray_DESCR(x), 0, 0,
                                              NPY_ARRAY_FORCECAST | NPY_ARRAY_ALIGNED, NULL);
    rows = (PyArrayObject *)PyArray_FROM_OTF(index, NPY_INTP, NPY_ARRAY_IN_ARRAY | NPY_ARRAY_FORCECAST);
    if (!values || !rows)
        goto end;
    n = PyArray_SIZE(rows);
    length = PyArray_DIM(x, 0);
    /* The increment is broadcast: an axis that it lacks, or of length 1, stands still. */
    for (int axis = 0; axis < nd; axis++) {
        int its_axis = axis - (nd - PyArray_NDIM(values));
        npy_intp expected = axis ? PyArray_DIM(x, axis) : n;
        npy_intp given = its_axis < 0 ? 1 : PyArray_DIM(values, its_axis);
        if (given != 1 && given != expected) {
            PyErr_Format(PyExc_ValueError, "axis %d of the increment has length %zd, and %zd are indexed", axis,
                         (Py_ssize_t)given, (Py_ssize_t)expected);
            goto end;
        }
        inc_strides[axis] = given == 1 ? 0 : PyArray_STRIDE(values, its_axis);
    }
    indices = (npy_intp *)PyArray_DATA(rows);
    for (npy_intp k = 0; k < n; k++) {
        npy_intp given = indices[k];
        if (given < -length || given >= length) {
            PyErr_Format(PyExc_IndexError, "index %zd is out of bounds for axis 0 with size %zd", (Py_ssize_t)given,
                         (Py_ssize_t)length);
            goto end;
        }
    }
    for (npy_intp k = 0; k < n; k++)
        row(PyArray_BYTES(x) + (indices[k] + (indices[k] < 0 ? length : 0)) * PyArray_STRIDE(x, 0),
            PyArray_BYTES(values) + k * inc_strides[0], nd - 1, PyArray_DIMS(x) + 1, PyArray_STRIDES(x) + 1,
            inc_strides + 1, add);
    status = 0;
end:
    Py_XDECREF(values);
    Py_XDECREF(rows);
    return status;
}
