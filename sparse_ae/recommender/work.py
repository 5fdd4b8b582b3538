"""The work that autoencoders of lists may be, beside closed forms that take seconds: counted, not timed.

An update where missing entries count costs about

    3 (n_columns + batch_size) k^2  +  8 (the batch's ratings) k        multiplications                              (1)

for the products of W and of the hidden units with themselves, their gradients, and the ratings (see `ops.everywhere`).
The first term grows with the catalogue, however few ratings there are. So that an autoencoder takes tens of seconds
rather than tens of minutes, all its updates together are to be 2^40 of (1) at most, about twenty seconds on two cores:
`bounded` takes as few hidden units as it needs for the updates that lists take, and then as many epochs as fit. It goes
by counts, so that the same seed gives the same model on any machine.
"""
import numpy as np

from sparse_ae.recommender.defaults import is_auto

# Multiplications of a training, updates after which lists stand still, and the fewest hidden units that are of use.
_WORK, _UPDATES, _LEAST_HIDDEN = 2 ** 40, 600, 64


def multiplications(choice, n_rows, n_columns, nnz):
    """Count (1) for one epoch, from a `defaults.Choice` and the sizes of what it is trained on; a float."""
    k = float(choice.n_hidden)
    return 3 * (n_columns * choice.updates_per_epoch(n_rows) + n_rows) * k ** 2 + 8 * nnz * k


def bounded(settings, choice, train):
    """Fit a choice into the work that an autoencoder may be.

    Parameters
    ----------
    settings : Recommender
        What it gives a number for stays as it is.
    choice : defaults.Choice
    train : csr_matrix, (n_rows, n_columns)

    Returns
    -------
    defaults.Choice or None
        None where not even 64 hidden units fit.
    """
    if callable(settings.network):  # nobody knows what it takes
        return choice
    n_rows, n_columns = max(1, int(np.count_nonzero(np.diff(train.indptr)))), train.shape[1]
    per_epoch = choice.updates_per_epoch(n_rows)

    def epochs_of(choice):
        return int(_WORK // multiplications(choice, n_rows, n_columns, train.nnz))

    if is_auto(settings.n_hidden):
        wanted = min(choice.n_epochs, -(-_UPDATES // per_epoch))
        least = min(_LEAST_HIDDEN, choice.n_hidden)
        while epochs_of(choice) < wanted and choice.n_hidden - 16 >= least:
            choice = choice._replace(n_hidden=choice.n_hidden - 16)
        if epochs_of(choice) < wanted:
            return None
    if is_auto(settings.n_epochs):
        choice = choice._replace(n_epochs=max(1, min(choice.n_epochs, epochs_of(choice))))
    return choice
