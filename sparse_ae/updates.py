"""Updates in the form of `lasagne.updates`, for gradients of sparse input."""
import functools
from collections import OrderedDict

import numpy as np

from sparse_ae.ops.rows import RowsStep, of_rows_in_use, rows_in_use
from sparse_ae.ops.rules import ADAM
import lasagne
import theano
import theano.tensor as T

__all__ = ["sparse_adam"]


def sparse_adam(loss_or_grads, params, learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Adam on the rows in use only: another optimiser than Adam, which moves all rows in every step.

    With sparse input most rows of a first layer's weights, (n_columns, k), have no entry in a mini-batch. Adam moves
    them all the same, since its means of their gradients fade. Here both means and the values of such a row stay as
    they are until a mini-batch uses it. In step t, for the rows in use with the gradient g:

    * ``m := beta1 * m + (1 - beta1) * g``
    * ``v := beta2 * v + (1 - beta2) * g ** 2``
    * ``param := param - learning_rate * sqrt(1 - beta2 ** t) / (1 - beta1 ** t) * m / (sqrt(v) + epsilon)``

    t counts all steps. This is the definition of ``torch.optim.SparseAdam`` and TensorFlow's ``LazyAdam``. What a step
    costs follows the entries of the mini-batch, and not the number of columns.

    Parameters
    ----------
    loss_or_grads : symbolic expression or list of expressions
        A scalar loss expression, or a list of gradient expressions as `theano.grad` gives them, times numbers at most.
        ValueError where none has rows in use, and for one that moves all rows, such as that of a weight decay.
    params : list of shared variables
    learning_rate, beta1, beta2, epsilon : float or symbolic scalar
        As in `lasagne.updates.adam`.

    Returns
    -------
    OrderedDict
        From each parameter, both means of its gradients, and the count of steps, to its new value.

    Notes
    -----
    A row is in use where `csr_dot`, `sampled_dot` or a look-up ``F[indices]`` has an entry for it, even if its gradient
    is 0. F may also be the transpose of the parameter. Parameters whose gradients have no such rows, as biases and the
    weights of dense layers, move as by `lasagne.updates.adam`.

    Compiled with optimisations, as by default, the step works in place if the old value isn't needed.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp, theano, theano.sparse, theano.tensor as T
    >>> from sparse_ae.ops import csr_dot, stored_arrays
    >>> from sparse_ae.updates import sparse_adam
    >>> x, F = theano.sparse.csr_matrix("x", "float64"), theano.shared(np.ones((3, 2)), "F")
    >>> loss = T.sum(csr_dot(*stored_arrays(x), F) ** 2)
    >>> step = theano.function([x], loss, updates=sparse_adam(loss, [F], learning_rate=0.1))
    >>> float(step(sp.csr_matrix([[0.0, 2.0, 0.0]])))
    8.0
    >>> F.get_value().round(3)
    array([[1. , 1. ],
           [0.9, 0.9],
           [1. , 1. ]])
    """
    grads = lasagne.updates.get_or_compute_grads(loss_or_grads, params)
    found = [rows_in_use(gradient) for gradient in grads]
    for param, gradient, rows in zip(params, grads, found):
        if rows is None and of_rows_in_use(gradient):
            why = ("has %d dimensions, and rows in use are those of a vector or a matrix" % param.ndim if param.ndim > 2
                   else "has more in it than gradients of rows in use, each times a number: a weight decay (leave it "
                   "out by l2=0; l2_weighted=True of an AutoEncoder needs all of its parameters trainable), a clip or "
                   "a constraint of norms, or a product with all rows, as of a dense decoder with tied weights")
            raise ValueError("sparse_adam can't limit the gradient of %s to rows in use: it %s. Leave this out, or use "
                             "lasagne.updates.adam" % (param, why))
    if not any(found):
        raise ValueError("no gradient of %s is limited to rows in use; expected, on the CPU, weights on sparse input "
                         "among the parameters, as of sparse_ae.ops.csr_dot or a SparseInputDenseLayer, and not "
                         "formulation='dense': else use lasagne.updates.adam. Trainer takes sparse_adam itself, or "
                         "functools.partial of it with numbers, but no other function around it"
                         % ", ".join(map(str, params)))
    t_before = theano.shared(np.asarray(0.0))
    t = t_before + 1
    rate = learning_rate * T.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
    updates = OrderedDict()
    for param, gradient, rows in zip(params, grads, found):
        zeros = np.zeros_like(param.get_value(borrow=True))
        old = [param] + [theano.shared(zeros.copy(), broadcastable=param.broadcastable) for _ in range(2)]
        if rows is None:
            mean = beta1 * old[1] + (1 - beta1) * gradient
            square = beta2 * old[2] + (1 - beta2) * gradient ** 2
            new = [param - rate * mean / (T.sqrt(square) + epsilon), mean, square]
        else:
            new = rows.step(RowsStep(ADAM), old, rate, beta1, beta2, epsilon)
        updates.update((x, T.patternbroadcast(T.cast(value, x.dtype), x.broadcastable))
                       for x, value in zip(old[1:] + old[:1], new[1:] + new[:1]))
    updates[t_before] = t
    return updates


def optimiser_of(update):
    """The function, or the class of steps such as `LBFGS`, that an update is, partial or not."""
    while isinstance(update, functools.partial):
        update = update.func
    return update
