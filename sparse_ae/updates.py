"""What Lasagne lacks for full batches: RProp as updates, and L-BFGS as a training step.

Both need the gradient of all ratings at once: ``Trainer(model, update="rprop", batch_size=None)``.

RProp looks at nothing but the gradient's signs: each weight has a step of its own, which grows while its sign stays and
shrinks when it turns. L-BFGS learns the curvature from its last steps, and searches along a line.
"""
import contextlib
import warnings
from collections import OrderedDict

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import lasagne
import numpy as np
import scipy.optimize
import theano
import theano.tensor as T

from sparse_ae.ops import blas, item_major
from sparse_ae.checks import check_count
from sparse_ae.formulations import get_formulation

__all__ = ["LBFGS", "rprop"]


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
        larger, smaller = T.minimum(increase * step, max_step / unit), T.maximum(decrease * step, min_step / unit)
        new_step = T.switch(T.gt(agreement, 0), larger, T.switch(T.lt(agreement, 0), smaller, step))
        sign = T.switch(T.lt(agreement, 0), 0, sign)
        updates[param] = param - unit * new_step * sign
        updates[step] = new_step
        updates[last_sign] = sign
    return updates


class LBFGS:
    """Limited-memory BFGS: what `formulations.TrainingStep` is, for all rows at once and without a learning rate.

    A call is one iteration: the two-loop recursion over the last changes of the parameters and of their gradient gives
    a direction, and along it SciPy's line search finds a step that meets the strong Wolfe conditions. All in SciPy,
    `minimize(method="L-BFGS-B")`, would keep what it has learned to itself: no epoch, no checkpoint, no early stopping.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    memory : int
        How many changes are kept; each takes the memory of the parameters twice.

    Attributes
    ----------
    share : Theano shared variable
        The part of the weight decay that counts, 1 at first.

    References
    ----------
    .. [1] D. C. Liu, J. Nocedal: On the limited memory BFGS method for large scale optimization. Mathematical
           Programming 45, 1989, 503-528.
    .. [2] J. Nocedal, S. J. Wright: Numerical Optimization, 2nd edition, 2006: algorithms 7.4, the recursion, and 3.5,
           the line search.
    """

    def __init__(self, model, formulation, memory=10):
        self.memory = check_count(memory, "memory")
        self.model, self.formulation = model, get_formulation(formulation)
        self.share = theano.shared(np.asarray(1, theano.config.floatX), name="share")
        self._pairs = []  # [(change of the parameters, change of the gradient)], flat; the arrays are never written to
        self._known = None  # the last evaluation: (block, share, x, (loss, squared error, gradient))
        inputs = self.formulation.inputs()
        squared_error = self.formulation.squared_error(model, *inputs)
        loss = model.loss(squared_error, self.share)
        W, V, mu, b = T.grad(loss, model.params)
        gradient = T.concatenate([x.flatten() for x in (W, V.T, mu, b)])  # V.T: in V's memory order
        self._function = theano.function(inputs, [loss, squared_error, gradient], name="loss_and_gradient",
                                         mode=blas.mode())

    def __call__(self, block):
        """One iteration on a CSR block of rows, (n_rows, n_items).

        Returns
        -------
        loss, squared_error : float
            The cost of the block, and the part of it that is no weight decay, both before the iteration. Where no step
            along the direction lowers the cost, the parameters stay, and the next call starts along the gradient.
        """
        item_major(self.model.V)  # somebody may have set it
        x = self._parameters()
        loss, squared_error, gradient = self._evaluate(block, x)
        slope = np.sqrt(np.dot(gradient, gradient))
        if not (np.isfinite(loss) and 0 < slope < np.inf):
            return loss, squared_error
        direction = -gradient / slope if not self._pairs else -_inverse_hessian_dot(self._pairs, gradient)

        def cost(x):
            value = self._evaluate(block, x)[0]
            return value if np.isfinite(value) else np.inf  # an infinite cost shortens the step; a NaN would not

        new, pairs = x, []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # that the search found nothing: `alpha` says so too
                alpha = scipy.optimize.line_search(cost, lambda x: self._evaluate(block, x)[2], x, direction,
                                                   gfk=gradient, old_fval=loss)[0]
            if alpha is not None and cost(x + alpha * direction) < loss:
                new = x + alpha * direction
                change = new - x, self._evaluate(block, new)[2] - gradient
                # Only with a positive product does the model of the curvature stay positive definite.
                curved = np.dot(*change) > np.finfo(x.dtype).eps * np.dot(change[1], change[1])
                pairs = (self._pairs + [change] if curved else self._pairs)[-self.memory:]
        finally:  # also where Ctrl-C comes amid the search
            self._set_parameters(new)
        self._pairs = pairs
        return loss, squared_error

    def deferred(self):
        """As of `TrainingStep`; here nothing is ever pending."""
        return contextlib.nullcontext(self)

    def get_state(self):
        """As of `TrainingStep`: the parameters, and the pairs that are remembered."""
        state = OrderedDict((p.name, p.get_value(borrow=False)) for p in self.model.params)
        for i, (s, y) in enumerate(self._pairs):
            state["s_%d" % i], state["y_%d" % i] = s, y
        return state

    def set_state(self, state):
        """Takes what `get_state` gave."""
        for p in self.model.params:
            p.set_value(state[p.name], borrow=False)
        self._pairs = [(state["s_%d" % i], state["y_%d" % i]) for i in range(self.memory) if "s_%d" % i in state]

    def _parameters(self):
        """W, V, mu and b as one vector in floatX, V item by item."""
        W, V, mu, b = (p.get_value(borrow=True) for p in self.model.params)
        return np.concatenate([W.ravel(), V.T.ravel(), mu, b])

    def _set_parameters(self, x):
        n, k = self.model.n_items, self.model.n_hidden
        W, V_t, mu, b = np.split(x, np.cumsum([n * k, n * k, k]))
        for parameter, value in zip(self.model.params, (W.reshape(n, k), V_t.reshape(n, k).T, mu, b)):
            parameter.set_value(value, borrow=False)

    def _evaluate(self, block, x):
        """The loss, the squared error and the gradient at `x`; the last ones are kept, as they are asked for again."""
        share = float(self.share.get_value())
        if self._known is not None:
            known_block, known_share, known_x, known = self._known
            if share == known_share and np.array_equal(x, known_x) and _same(block, known_block):
                return known
        self._set_parameters(x)
        loss, squared_error, gradient = self._function(*self.formulation.pack(block))
        self._known = block, share, x, (float(loss), float(squared_error), np.asarray(gradient))
        return self._known[3]


def _inverse_hessian_dot(pairs, gradient):
    """The two-loop recursion: algorithm 7.4 of Nocedal and Wright, from their first guess (7.20)."""
    q = gradient.copy()
    alphas = []
    for s, y in reversed(pairs):
        alphas.append(np.dot(s, q) / np.dot(s, y))
        q -= alphas[-1] * y
    s, y = pairs[-1]
    q *= np.dot(s, y) / np.dot(y, y)
    for (s, y), alpha in zip(pairs, reversed(alphas)):
        q += (alpha - np.dot(y, q) / np.dot(s, y)) * s
    return q


def _same(block, other):
    return block is other or (block.shape == other.shape and all(
        np.array_equal(getattr(block, name), getattr(other, name)) for name in ("indptr", "indices", "data")))
