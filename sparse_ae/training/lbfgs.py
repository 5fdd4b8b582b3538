"""Limited-memory BFGS, for all rows at once: it learns the curvature from its last steps, and searches along a line."""
import warnings

import numpy as np

from sparse_ae.checks import check_count
from sparse_ae.ops.compiled import updating
from sparse_ae.parameters import trained_of
from sparse_ae.training.objectives import Observed
from sparse_ae.training.steps import Step, check_arrays
import theano
import theano.tensor as T

__all__ = ["LBFGS"]


class LBFGS(Step):
    """Limited-memory BFGS, for all rows at once and without a learning rate.

    A call is one iteration: the two-loop recursion over the last changes of the parameters and of their gradient gives
    a direction, and along it SciPy's line search finds a step that meets the strong Wolfe conditions; see J. Nocedal,
    S. J. Wright, Numerical Optimization, 2nd edition, 2006, algorithms 7.4 and 3.5. SciPy's own L-BFGS-B doesn't give
    away what it has learned of the curvature, which a checkpoint needs.

    Parameters
    ----------
    model, formulation, channels, objective
        As `Step` takes them.
    memory : int
        How many changes are kept; each takes the memory of the parameters twice.
    """

    needs_all_rows = True

    def __init__(self, model, formulation, channels=None, objective=Observed(), memory=10):
        self.memory = check_count(memory, "memory")
        super().__init__(model, formulation, channels, objective)
        self._pairs = []  # [(change of the parameters, of the gradient)], flat; the arrays are never written to
        self._known = None  # the last evaluation: (batch, decay_share, x, (loss, data term, gradient))
        self._trained = trained_of(model.parameters)
        with model.building():
            batch = self.formulation.inputs(self.channels, model.dtype)
            data_loss, counts = self.terms(batch)
            loss = model.loss(data_loss, self.decay_share, counts)
            # States of generators are integers, or no arrays. Running averages are moved, too, but not read here.
            if any(getattr(x, "default_update", None) is not None and not getattr(x, "dtype", "").startswith("float")
                   for x in theano.gof.graph.inputs([loss])):
                raise ValueError("L-BFGS with a model that draws noise: each evaluation of the loss would differ; use "
                                 "another update, such as 'adam', or a network without dropout and noise")
            gradients = T.grad(loss, [each.variable for each in self._trained])
            gradient = T.concatenate([(x.T if each.item_major else x).flatten()  # in V's memory order
                                      for each, x in zip(self._trained, gradients)])
            self.function = updating(batch.present, [loss, data_loss, gradient], name="loss_and_gradient")

    def __call__(self, batch):
        # Where no step along the direction lowers the loss, the parameters stay, and the next call starts along the
        # gradient.
        from scipy import optimize  # takes its time
        self.lay_out()
        x = self.parameters()
        loss, data_loss, gradient = self._evaluate(batch, x)
        slope = np.sqrt(np.dot(gradient, gradient))
        if not (np.isfinite(loss) and 0 < slope < np.inf):
            return loss, data_loss
        direction = -gradient / slope if not self._pairs else -_inverse_hessian_dot(self._pairs, gradient)

        def finite_loss(x):
            value = self._evaluate(batch, x)[0]
            return value if np.isfinite(value) else np.inf  # an infinite loss shortens the step; a NaN would not

        new, pairs = x, []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # that the search found nothing, as `alpha` shows too
                alpha = optimize.line_search(finite_loss, lambda x: self._evaluate(batch, x)[2], x, direction,
                                             gfk=gradient, old_fval=loss)[0]
            if alpha is not None and finite_loss(x + float(alpha) * direction) < loss:
                new = x + float(alpha) * direction
                change = new - x, self._evaluate(batch, new)[2] - gradient
                # Only with a positive product does the model of the curvature stay positive definite.
                curved = np.dot(*change) > np.finfo(x.dtype).eps * np.dot(change[1], change[1])
                pairs = (self._pairs + [change] if curved else self._pairs)[-self.memory:]
        finally:  # also where Ctrl-C comes amid the search
            self._set_parameters(new)
        self._pairs = pairs
        return loss, data_loss

    def get_state(self):
        state = self.get_parameters()
        for i, (s, y) in enumerate(self._pairs):
            state["s_%d" % i], state["y_%d" % i] = s, y
        return state

    def check_state(self, state):
        n_pairs, flat = (len(state) - len(self.model.params)) // 2, self.parameters()
        like = dict(self.get_parameters(), **{"%s_%d" % (half, i): flat for half in "sy" for i in range(n_pairs)})
        check_arrays(state, like, finite=state)

    def set_state(self, state):
        super().set_state(state)
        self._known = None
        self._pairs = [(state["s_%d" % i], state["y_%d" % i]) for i in range(self.memory) if "s_%d" % i in state]

    def parameters(self):
        """All parameters that are trained as one vector, V column by column."""
        return np.concatenate([each.variable.get_value(borrow=True).ravel("F" if each.item_major else "C")
                               for each in self._trained])

    def _set_parameters(self, x):
        for each in self._trained:
            shape = each.variable.get_value(borrow=True).shape
            value, x = np.split(x, [np.prod(shape, dtype=int)])
            each.variable.set_value(value.reshape(shape, order="F" if each.item_major else "C"), borrow=False)

    def _evaluate(self, batch, x):
        """Compute the loss, the data term and the gradient at `x`; the last are kept, to be asked for again."""
        x = x.astype(self.model.dtype, copy=False)  # in NumPy 2 SciPy's steps, of float64, widen it
        decay_share = float(self.decay_share.get_value())
        if self._known is not None:
            known_batch, known_share, known_x, known = self._known
            same_batch = all(map(np.array_equal, batch, known_batch))
            if same_batch and decay_share == known_share and np.array_equal(x, known_x):
                return known
        self._set_parameters(x)
        loss, data_loss, gradient = self.function(*self.formulation.pack(batch, self.model))
        self._known = batch, decay_share, x, (float(loss), float(data_loss), np.asarray(gradient))
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
