"""Variables of MATLAB's files of version 7.3, which are HDF5: read by h5py, where that is installed.

A sparse variable is a group of the arrays of a CSC matrix. A dense one is a dataset, with its axes the other way round:
MATLAB has the columns of an array one after the other, HDF5 the rows.
"""
import numpy as np
import scipy.sparse as sp

from sparse_ae.files.unpacking import check_size


def sparse_names(path):
    """As `matlab.sparse_names`; ImportError without h5py."""
    with _opened(path) as file:
        return [name for name, node in file.items() if "MATLAB_sparse" in node.attrs]


def dense_shapes(path):
    """As `matlab.dense_shapes`; ImportError without h5py."""
    with _opened(path) as file:
        return {name: node.shape[::-1] for name, node in file.items() if hasattr(node, "shape")
                and len(node.shape) == 2 and node.dtype.kind in "iuf"}


def read_sparse(path, name):
    """As `matlab.read_sparse`; ImportError without h5py."""
    with _opened(path) as file:
        group = file[name]
        check_size(path, sum(group[each].size * group[each].dtype.itemsize for each in ("jc", "data", "ir")
                             if each in group), "a variable in it")
        indptr = group["jc"][()].astype(np.int64)
        # MATLAB leaves out the arrays of a matrix without entries.
        values, rows = (group[each][()] if each in group else np.zeros(0) for each in ("data", "ir"))
        shape = int(group.attrs["MATLAB_sparse"]), len(indptr) - 1
        return sp.csc_matrix((values, rows.astype(np.int64), indptr), shape=shape)


def read_dense(path, name):
    """As `matlab.read_dense`; ImportError without h5py."""
    with _opened(path) as file:
        check_size(path, file[name].size * file[name].dtype.itemsize, "a variable in it")
        return file[name][()].T


def _opened(path):
    import h5py
    return h5py.File(str(path), "r")
