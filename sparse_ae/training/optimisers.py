"""What Lasagne lacks: RProp, in the form of `lasagne.updates`.

It looks at nothing but the gradient's signs: each weight has a step of its own, which grows while its sign stays and
shrinks when it turns. It needs the gradient of all ratings at once:
``Trainer(model, update="rprop", batch_size=None)``.
"""
from collections import OrderedDict

import numpy as np

import lasagne
import theano
import theano.tensor as T

__all__ = ["rprop"]


def rprop(loss_or_grads, params, learning_rate=1e-3, increase=1.2, decrease=0.5, min_step=1e-6, max_step=50.0):
    """Resilient propagation (RProp) updates, in the variant iRprop-

    Generates update expressions of the form, weight by weight:

    * ``step := min(increase * step, max_step)`` where the gradient's sign is the last one,
    * ``step := max(decrease * step, min_step)`` where it has turned; such a gradient is then taken for 0, now and as
      the last one of the next time,
    * ``param := param - step * sign(gradient)``

    Parameters
    ----------
    loss_or_grads : symbolic expression or list of expressions
        A scalar loss expression, or a list of gradient expressions. Of all the data: the noise of mini-batches turns
        signs, and so ends all movement.
    params : list of shared variables
        The variables to generate update expressions for
    learning_rate : float or symbolic scalar
        The first step of each weight. The steps are kept in units of it, so that a schedule scales them all.
    increase, decrease : float
        Factors of a step, ``0 < decrease < 1 < increase``.
    min_step, max_step : float
        Bounds of a step, in the unit of the parameters.

    Returns
    -------
    OrderedDict
        A dictionary mapping each parameter, and the step and the last sign kept for it, to its update expression

    Raises
    ------
    ValueError
        For factors or bounds that are out of order.

    References
    ----------
    .. [1] M. Riedmiller, H. Braun: A direct adaptive method for faster backpropagation learning: the RPROP algorithm.
           IEEE International Conference on Neural Networks, 1993, 586-591. The factors and bounds are theirs.
    .. [2] C. Igel, M. Huesken: Improving the Rprop learning algorithm. Proceedings of the Second International
           Symposium on Neural Computation, 2000, 115-121. The variant is theirs: it takes no step back.
    """
    if not 0 < decrease < 1 < increase < np.inf:
        raise ValueError("decrease is %r and increase %r; expected 0 < decrease < 1 < increase" % (decrease, increase))
    if not 0 <= min_step < max_step:
        raise ValueError("min_step is %r and max_step %r; expected 0 <= min_step < max_step" % (min_step, max_step))
    grads = lasagne.updates.get_or_compute_grads(loss_or_grads, params)
    updates = OrderedDict()
    for param, grad in zip(params, grads):
        value = param.get_value(borrow=True)
        step = theano.shared(np.ones_like(value), broadcastable=param.broadcastable)
        last_sign = theano.shared(np.zeros_like(value), broadcastable=param.broadcastable)
        unit = T.cast(learning_rate, param.dtype)
        sign = T.sgn(grad)
        agreement = last_sign * sign  # of signs: the product of two small gradients would underflow
        # Not T.minimum and T.maximum, whose code for NaN no OpenCL compiles.
        larger, smaller = increase * step, decrease * step
        larger = T.switch(T.gt(larger, max_step / unit), max_step / unit, larger)
        smaller = T.switch(T.lt(smaller, min_step / unit), min_step / unit, smaller)
        new_step = T.switch(T.gt(agreement, 0), larger, T.switch(T.lt(agreement, 0), smaller, step))
        sign = T.switch(T.lt(agreement, 0), 0, sign)
        updates[param] = param - unit * new_step * sign
        updates[step] = new_step
        updates[last_sign] = sign
    return updates


rprop.needs_all_rows = True  # as a `steps.Step` says it
