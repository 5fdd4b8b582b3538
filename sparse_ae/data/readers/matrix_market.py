"""Files of MatrixMarket, coordinate format, which SciPy reads."""
import scipy.io

from sparse_ae.data.readers.lines import opened
from sparse_ae.data.readers.npz import check_shape, ratings_of
from sparse_ae.files.unpacking import check_size, one_error

_EXPECTED = ("a sound file of MatrixMarket, 'matrix coordinate real general' or 'integer' for 'real': write it with "
             "scipy.io.mmwrite(path, matrix, symmetry='general')")

# An entry has two indices, a value, two blanks and an end of the line.
_BYTES_OF_AN_ENTRY = 6


def read(path, options, duplicates, progress):
    """`Ratings` of a MatrixMarket file."""
    with one_error(path, _EXPECTED):
        with opened(path) as stream:
            n_rows, n_cols, n_entries, *kind = scipy.io.mminfo(stream)
        if kind[0] != "coordinate" or kind[1] not in ("real", "integer") or kind[2] != "general":
            raise ValueError("it is %s" % " ".join(map(str, kind)))
    check_shape(path, (n_rows, n_cols), n_entries)  # memory is taken for what is announced
    check_size(path, _BYTES_OF_AN_ENTRY * n_entries, "its %d entries" % n_entries)
    with one_error(path, _EXPECTED), opened(path) as stream:
        matrix = scipy.io.mmread(stream)
    return ratings_of(path, matrix, duplicates)
