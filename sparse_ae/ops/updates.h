/* One loop over the elements of arrays of one shape: the C code of updates.py, but for the loop's body. Comes after
 * numpy_glue.h. */
#ifndef SPARSE_AE_UPDATES_H
#define SPARSE_AE_UPDATES_H

#include <vector>

namespace sparse_ae {

/* What an input is to the loop, by its broadcastable axes: none, all, or of a matrix one. */
enum Kind { FULL, SCALAR, ROW, COLUMN };

/* The loop's body for `n` elements that lie side by side, from pointers to the inputs and outputs. There is one for
   rows and one for columns of matrices: in a row a ROW goes along and a COLUMN stands still. */
typedef void (*Run)(npy_intp n, char *const *operands);

struct Operand {
    char *data;
    npy_intp outer, inner;  /* bytes from run to run, and from element to element */
};

/* Inlined into the code that Theano writes around a call, this and `update_pass` take twice as long to compile. */
__attribute__((noinline)) static void each_run(Run run, npy_intp n_outer, npy_intp n_inner,
                                               const std::vector<Operand> &operands, int n_steps)
{
    const npy_intp chunk = 4096, chunks = (n_inner + chunk - 1) / chunk, n = n_outer * chunks;
    #pragma omp parallel for schedule(dynamic, 4) num_threads(n_threads(n_outer * n_inner * n_steps))
    for (npy_intp c = 0; c < n; c++) {
        const npy_intp i = c / chunks, start = c % chunks * chunk;
        char *at[64];  /* UpdatePass.MOST */
        for (size_t z = 0; z < operands.size(); z++)
            at[z] = operands[z].data + i * operands[z].outer + start * operands[z].inner;
        run(n_inner - start < chunk ? n_inner - start : chunk, at);
    }
}

/* References to arrays, given up at the end of the scope. */
struct Held {
    std::vector<PyArrayObject *> arrays;
    ~Held() { for (size_t i = 0; i < arrays.size(); i++) Py_XDECREF(arrays[i]); }
};

/* The outputs from the inputs. updated: for each output the input that it is the new value of, or -1; in place those
   inputs are written to, where memory allows. 0, or -1 with a Python error set and nothing written. */
__attribute__((noinline)) static int update_pass(const std::vector<PyArrayObject *> &in, const Kind *kinds,
                                                 const std::vector<PyArrayObject **> &out, const int *types,
                                                 const int *updated, bool inplace, Run along_rows, Run along_columns,
                                                 int n_steps)
{
    int first = -1;
    bool broadcasts = false;
    for (size_t i = 0; i < in.size(); i++) {
        if (kinds[i] == FULL && first < 0) first = (int)i;
        broadcasts = broadcasts || kinds[i] == ROW || kinds[i] == COLUMN;
    }
    const int ndim = PyArray_NDIM(in[first]);
    npy_intp *shape = PyArray_DIMS(in[first]);
    for (size_t i = 0; i < in.size(); i++)
        for (int axis = 0; axis < ndim && kinds[i] != SCALAR; axis++) {
            if ((kinds[i] == ROW && axis == 0) || (kinds[i] == COLUMN && axis == 1) ||
                PyArray_DIMS(in[i])[axis] == shape[axis])
                continue;
            PyErr_Format(PyExc_ValueError,
                         "Input dimension mis-match. (input[%d].shape[%d] = %zd, input[%d].shape[%d] = %zd)", first,
                         axis, (Py_ssize_t)shape[axis], (int)i, axis, (Py_ssize_t)PyArray_DIMS(in[i])[axis]);
            return -1;
        }

    /* All arrays are brought to one memory order. It is Fortran's where one to be updated is in it, as a parameter
       whose moments have come into being in C's: they are in one order from then on. */
    bool by_columns = false;
    for (size_t o = 0; o < out.size(); o++) {
        PyArrayObject *old = updated[o] < 0 ? NULL : in[updated[o]];
        by_columns = by_columns || (old && PyArray_IS_F_CONTIGUOUS(old) && !PyArray_IS_C_CONTIGUOUS(old));
    }
    const int order = (by_columns ? NPY_ARRAY_F_CONTIGUOUS : NPY_ARRAY_C_CONTIGUOUS) | NPY_ARRAY_ALIGNED;
    Held all;  /* inputs, then outputs */
    for (size_t i = 0; i < in.size(); i++) {
        bool written = false;
        for (size_t o = 0; o < out.size(); o++) written = written || (inplace && updated[o] == (int)i);
        all.arrays.push_back((PyArrayObject *)PyArray_FROM_OF((PyObject *)in[i],
                                                              order | (written ? NPY_ARRAY_WRITEABLE : 0)));
        if (!all.arrays.back()) return -1;
    }
    for (size_t o = 0; o < out.size(); o++) {
        PyArrayObject *old = inplace && updated[o] >= 0 ? all.arrays[updated[o]] : *out[o];
        const bool fits = (inplace && updated[o] >= 0) ||
                          (old && PyArray_NDIM(old) == ndim && PyArray_TYPE(old) == types[o] &&
                           PyArray_ISBEHAVED(old) && PyArray_CompareLists(PyArray_DIMS(old), shape, ndim) &&
                           (by_columns ? PyArray_IS_F_CONTIGUOUS(old) : PyArray_IS_C_CONTIGUOUS(old)));
        if (fits) Py_INCREF(old);
        all.arrays.push_back(fits ? old : (PyArrayObject *)PyArray_EMPTY(ndim, shape, types[o], by_columns));
        if (!all.arrays.back()) return -1;
    }

    const int inner = by_columns ? 0 : 1;
    const npy_intp n_inner = broadcasts ? shape[inner] : PyArray_SIZE(in[first]),
                   n_outer = broadcasts ? shape[1 - inner] : 1;
    std::vector<Operand> operands;
    for (size_t z = 0; z < all.arrays.size(); z++) {
        PyArrayObject *x = all.arrays[z];
        const Kind kind = z < in.size() ? kinds[z] : FULL;
        const npy_intp size = PyArray_ITEMSIZE(x);
        const bool along = kind == FULL || (kind == ROW && !by_columns) || (kind == COLUMN && by_columns);
        const bool across =
            (kind == FULL && broadcasts) || (kind == ROW && by_columns) || (kind == COLUMN && !by_columns);
        const Operand operand = {(char *)PyArray_DATA(x), across ? (kind == FULL ? n_inner * size : size) : 0,
                                 along ? size : 0};
        operands.push_back(operand);
    }
    each_run(by_columns ? along_columns : along_rows, n_outer, n_inner, operands, n_steps);
    for (size_t o = 0; o < out.size(); o++) {
        Py_XDECREF(*out[o]);
        *out[o] = all.arrays[in.size() + o];
        Py_INCREF(*out[o]);
    }
    return 0;
}

}  // namespace sparse_ae

#endif
