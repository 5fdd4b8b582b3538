"""The optimisers by name: Lasagne's updates, RProp, L-BFGS; and the needs of each."""
import contextlib
import inspect
from collections import OrderedDict

import numpy as np

from sparse_ae.checks import near
from sparse_ae.training.lbfgs import LBFGS
from sparse_ae.training.steps import has_learning_rate
from sparse_ae.updates import optimiser_of, sparse_adam
import lasagne
import theano
import theano.tensor as T

__all__ = ["UPDATES", "rprop"]


def rprop(loss_or_grads, params, learning_rate=1e-3, increase=1.2, decrease=0.5, min_step=1e-6, max_step=50.0):
    """Resilient propagation (RProp) updates, in the variant iRprop-, for the gradient of all data at once.

    Each weight has a step size of its own:

    * ``size := min(increase * size, max_step)`` where the gradient's sign is the last one,
    * ``size := max(decrease * size, min_step)`` where it has turned; such a gradient is then taken for 0, now and as
      the last one of the next time,
    * ``param := param - size * sign(gradient)``

    Parameters
    ----------
    loss_or_grads : symbolic expression or list of expressions
        A scalar loss expression, or a list of gradient expressions. The noise of mini-batches would turn signs.
    params : list of shared variables
    learning_rate : float or symbolic scalar
        The first step size of each weight. Sizes are kept in units of it, so that a schedule scales them all.
    increase, decrease : float
        Factors of a step size, ``0 < decrease < 1 < increase``.
    min_step, max_step : float
        Bounds of a step size, in the unit of the parameters.

    Returns
    -------
    OrderedDict
        From each parameter, and the step size and the last sign kept for it, to its update expression.

    References
    ----------
    .. [1] M. Riedmiller, H. Braun: A direct adaptive method for faster backpropagation learning: the RPROP algorithm.
           IEEE International Conference on Neural Networks, 1993, 586-591.
    .. [2] C. Igel, M. Huesken: Improving the Rprop learning algorithm. Proceedings of the Second International
           Symposium on Neural Computation, 2000, 115-121.
    """
    if not 0 < decrease < 1 < increase < np.inf:
        raise ValueError("decrease is %r and increase %r; expected 0 < decrease < 1 < increase" % (decrease, increase))
    if not 0 <= min_step < max_step:
        raise ValueError("min_step is %r and max_step %r; expected 0 <= min_step < max_step" % (min_step, max_step))
    grads = lasagne.updates.get_or_compute_grads(loss_or_grads, params)
    updates = OrderedDict()
    for param, grad in zip(params, grads):
        value = param.get_value(borrow=True)
        size = theano.shared(np.ones_like(value), broadcastable=param.broadcastable)
        last_sign = theano.shared(np.zeros_like(value), broadcastable=param.broadcastable)
        unit = T.cast(learning_rate, param.dtype)
        sign = T.sgn(grad)
        agreement = last_sign * sign  # of signs: the product of two small gradients would underflow
        # Not T.minimum and T.maximum, whose code for NaN no OpenCL compiles.
        larger, smaller = increase * size, decrease * size
        larger = T.switch(T.gt(larger, max_step / unit), max_step / unit, larger)
        smaller = T.switch(T.lt(smaller, min_step / unit), min_step / unit, smaller)
        new_size = T.switch(T.gt(agreement, 0), larger, T.switch(T.lt(agreement, 0), smaller, size))
        sign = T.switch(T.lt(agreement, 0), 0, sign)
        updates[param] = param - unit * new_size * sign
        updates[size] = new_size
        updates[last_sign] = sign
    return updates


rprop.needs_all_rows = True  # as a `steps.Step` says it

#: By name: functions of lasagne.updates (which exports what works on updates and gradients too), our own, L-BFGS.
UPDATES = OrderedDict((name, getattr(lasagne.updates, name)) for name in [
    "sgd", "momentum", "nesterov_momentum", "adagrad", "rmsprop", "adadelta", "adam"])
UPDATES.update([("sparse_adam", sparse_adam), ("rprop", rprop), ("lbfgs", LBFGS)])


def needs_all_rows(update):
    """Whether an update, or one by its name, takes the gradient of all ratings at once."""
    return getattr(optimiser_of(UPDATES.get(update) if isinstance(update, str) else update), "needs_all_rows", False)


def check_update(given, batch_size, ranks):
    """The function, or class of steps, of a `Trainer`'s argument `update`; or raise."""
    update, names = UPDATES.get(given) if isinstance(given, str) else given, ", ".join(UPDATES)
    if not callable(update):
        raise ValueError("update is %r; expected a function like those of lasagne.updates, or one of %s%s"
                         % (given, names, near(given, UPDATES)))
    with contextlib.suppress(ValueError):  # some of Python's own functions have no signature
        signature = inspect.signature(update)
        try:
            signature.bind(None, [], *([0.1] if has_learning_rate(update) else []))
        except TypeError as error:
            raise TypeError("update is %r, which can't be called with a loss, parameters and a learning rate (%s); "
                            "expected a function like those of lasagne.updates, or one of %s"
                            % (given, error, names)) from None
    if batch_size is not None and needs_all_rows(update):
        raise ValueError("batch_size is %r with update=%r, which needs the gradient of all ratings at once; expected "
                         "batch_size=None, or an update for mini-batches such as 'adam'" % (batch_size, given))
    if not has_learning_rate(update) or optimiser_of(update) not in UPDATES.values():
        ranks.check_alone("update=%r" % (given,), "an update that works entry by entry, one of %s"
                          % ", ".join(sorted(name for name in UPDATES if name != "lbfgs")))
    return update
