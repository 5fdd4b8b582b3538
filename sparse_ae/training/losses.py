"""Losses over the entries of CSR input, by entry or by row, in the manner of `lasagne.objectives`: a stored 0 is an
entry."""
import numpy as np

from sparse_ae.ops import dense_rows, squared_outputs, stored_arrays
import lasagne
import theano.tensor as T

__all__ = ["missing_squared_error", "multinomial_crossentropy", "observed_squared_error"]


def observed_squared_error(predictions, observed):
    """The squared difference between predictions and stored values, at each entry.

    Parameters
    ----------
    predictions : vector, (n_entries,)
        As `sparse_ae.layers.ObservedLayer` gives them for `observed`.
    observed : Theano CSR variable
        With n_entries entries; TypeError for anything else.

    Returns
    -------
    vector, (n_entries,)

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp, theano, theano.sparse, theano.tensor as T
    >>> from sparse_ae.training.losses import observed_squared_error
    >>> x, predictions = theano.sparse.csr_matrix("x", "float64"), T.dvector("predictions")
    >>> errors = theano.function([predictions, x], observed_squared_error(predictions, x))
    >>> errors([3.0, 3.0], sp.csr_matrix([[5.0, 0.0], [0.0, 2.0]]))
    array([4., 1.])
    """
    return lasagne.objectives.squared_error(predictions, stored_arrays(observed)[0])


def multinomial_crossentropy(scores, observed):
    """The negative log-likelihood of a row's entries as counts of a multinomial distribution over all columns.

    ``- sum over entries j of row i of x_ij log softmax(y_i)_j``: the cost of Mult-DAE in D. Liang, R. G. Krishnan,
    M. D. Hoffman, T. Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018.

    Parameters
    ----------
    scores : matrix, (n_rows, n_columns)
        All of a decoder's outputs, with no nonlinearity: those of an `ObservedLayer` with ``entries="all"``.
    observed : Theano CSR variable, (n_rows, n_columns)
        Counts, or 1 at each entry; no entry twice. TypeError for anything else.

    Returns
    -------
    vector, (n_rows,)
        In nats; 0 for a row without entries.
    """
    data, indices, indptr = stored_arrays(observed)
    counts = dense_rows(T.cast(data, scores.dtype), indices, indptr, scores.shape[1])
    return -T.sum(counts * T.nnet.logsoftmax(scores), axis=1)


def missing_squared_error(hidden, W, b, predictions, value=0.0):
    """The sum over all entries that aren't stored of (value - y)^2, for linear outputs y = h W' + b.

    The cost is O((n_rows + n_columns) k^2): equation (2) of docs/explanation/missing.md.

    Parameters
    ----------
    hidden : matrix, (n_rows, k)
    W, b : matrix, (n_columns, k), and vector, (n_columns,)
        Those of an `ObservedLayer` whose nonlinearity is linear.
    predictions : vector, (n_entries,)
        The outputs at the stored entries.
    value : float
        The target of a missing entry.

    Returns
    -------
    scalar
    """
    value = np.asarray(value, W.dtype)
    return squared_outputs(hidden, W, b - value) - T.sum((predictions - value) ** 2)
