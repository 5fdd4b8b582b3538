"""Files of `scipy.sparse.save_npz`."""
import zipfile

import numpy as np
import scipy.sparse as sp

from sparse_ae.checks import error_at
from sparse_ae.data.dense import refuse_list
from sparse_ae.data.ratings import Ratings, check_ratings, index_dtype
from sparse_ae.files.unpacking import check_archive, check_size, one_error, read_header


def read(path, options, duplicates, progress):
    """`Ratings` of a matrix of users by items."""
    matrix = _matrix(path)
    check_shape(path, matrix.shape, matrix.nnz)
    try:
        matrix = check_ratings(matrix, duplicates)
        refuse_list(matrix)
    except (TypeError, ValueError) as error:
        raise error_at(path, error) from None
    return Ratings(matrix, *(np.arange(size, dtype=np.int64) for size in matrix.shape))


def _matrix(path):
    """The matrix of a file of `scipy.sparse.save_npz`; it isn't checked."""
    with one_error(path, "a sparse matrix in a file of scipy.sparse.save_npz; a saved model is read by Recommender.load"
                   ):
        with zipfile.ZipFile(str(path)) as archive:
            check_archive(path, archive)
            for entry in archive.infolist():
                with archive.open(entry) as stream:
                    read_header(stream, entry.file_size)  # SciPy takes as much memory as it says
        matrix = sp.load_npz(str(path))
        if len(matrix.shape) != 2:
            raise ValueError("the shape is %r" % (matrix.shape,))
        return matrix


def check_shape(path, shape, n_entries):
    """Raise ValueError for a shape that takes too much memory: each row and column has an id, each row a pointer too.
    """
    n_rows, n_cols = map(int, shape)
    places = np.dtype(index_dtype((n_rows, n_cols), n_entries)).itemsize * (n_rows + 1)
    check_size(path, 8 * (n_rows + n_cols) + places, "its shape, %d x %d," % (n_rows, n_cols))
