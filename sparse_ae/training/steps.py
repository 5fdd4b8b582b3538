"""What the trainer drives: a step of an optimiser on a mini-batch of rows.

`Step` is the protocol, which every driver keeps to: the trainer asks a step, and never which one it is. `TrainingStep`
is the post's compiled `ae_batch` under any update of Lasagne's form. `LBFGS` takes all rows at once, learns the
curvature from its last steps, and searches along a line.
"""
import contextlib
import functools
import inspect
import re
import warnings
from collections import OrderedDict

import numpy as np

from sparse_ae.checks import check_count, is_number
from sparse_ae.ops import AdagradStep, AdamStep, SGDStep, add_csr_t_dot, blas, csr_dot, item_major, sampled_dot
from sparse_ae.runtime.device import is_on_host, on_gpu
from sparse_ae.training.formulations import fused_settings, get_formulation
from sparse_ae.training.optimisers import rprop
import lasagne
import theano
import theano.tensor as T

__all__ = ["LBFGS", "Step", "TrainingStep", "UPDATES", "check_entrywise", "check_update", "has_learning_rate",
           "make_step", "needs_all_rows"]


class Step:
    """One step of an optimiser; called with CSR blocks of rows, which aren't checked but for their indices.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    target : bool
        Whether each call brings a target beside the ratings; with a second encoder it brings what is seen, too.

    Attributes
    ----------
    model : AutoEncoder
    formulation : Formulation
    decay_share : Theano shared variable
        The part of the weight decay that falls to a mini-batch, 1 at first; it may be set between calls.
    learning_rate : Theano shared variable, or None where the optimiser has none
    function : theano.compile.Function
        The compiled graph that a call runs.
    needs_all_rows : bool
        Whether the optimiser needs the gradient of all ratings at once.
    """

    learning_rate, needs_all_rows = None, False

    def __init__(self, model, formulation, target=False):
        self.model, self.formulation, self.target = model, get_formulation(formulation, model), target
        self.decay_share = theano.shared(np.asarray(1, model.dtype), name="decay_share")

    def __call__(self, block, target=None, seen=None):
        """One step on a CSR block of rows, (n_rows, n_items).

        Parameters
        ----------
        block : csr_matrix of float32
            What the encoder sees.
        target : array, (block.nnz,), optional
            What the decoder is to give at the block's entries; the ratings themselves when not given.
        seen : array, (block.nnz,), optional
            The second encoder's input.

        Returns
        -------
        loss, squared_error : float
            The cost of the block, and the part of it that is no weight decay, both before the step.
        """
        raise NotImplementedError

    def deferred(self):
        """A context in which work may be pending from call to call; all is done when it ends."""
        return contextlib.nullcontext(self)

    def set_learning_rate(self, rate):
        """The learning rate of the steps from now on; ValueError for one that can't be taken.

        It isn't called where the optimiser has none.
        """
        raise NotImplementedError

    def get_state(self):
        """Copies of all that a step changes, as arrays by name: the parameters, then what the optimiser keeps.

        Of what is on a GPU the copies are there, too: `np.asarray` fetches one.
        """
        raise NotImplementedError

    def check_state(self, state):
        """Raise ValueError for arrays by name, of a file, that `get_state` can't have given."""
        raise NotImplementedError

    def set_state(self, state):
        """Takes what `get_state` gave."""
        raise NotImplementedError

    def ruined(self):
        """The names of the parameters that are no longer finite."""
        with np.errstate(all="ignore"):
            return [p.name for p, total in zip(self.model.params, self._sums()) if not np.isfinite(total)]

    @functools.cached_property
    def _sums(self):
        params = self.model.params
        if all(map(is_on_host, params)):
            return lambda: [p.get_value(borrow=True).sum() for p in params]
        return theano.function([], [T.sum(p) for p in params])

    def graph(self):
        """The symbolic inputs, the cost of a block, and the part of it that is no weight decay."""
        inputs = self.formulation.inputs(self.model.dtype, self.target, self.model.U is not None)
        # What is seen comes after a target, also where there is none.
        arguments = inputs if self.target or self.model.U is None else inputs[:-1] + [None] + inputs[-1:]
        squared_error = self.formulation.squared_error(self.model, *arguments)
        counts = self.formulation.counts(self.model, *arguments) if self.model.l2_weighted else None
        return inputs, self.model.loss(squared_error, self.decay_share, counts), squared_error


class TrainingStep(Step):
    """The compiled `ae_batch` of one formulation, called with CSR blocks of rows.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    update : callable
        Of the signature of `lasagne.updates.sgd`.
    learning_rate : float
    target : bool
        As `Step` takes it.

    Attributes
    ----------
    kept : list of Theano shared variables
        Those of the optimiser, in the order in which the state has them: "update_0", "update_1", ...

    Raises
    ------
    ValueError
        For an unknown formulation, and for a rate at which plain SGD's weight decay turns a parameter around.

    Notes
    -----
    The sparse formulation under plain SGD works in place on the rows of the items in the batch, and keeps the weight
    decay of all others as one factor for W and one for V. A call writes that decay into W and V before it returns,
    which costs as much as reading both; within ``with step.deferred():`` it is written once, at the end. Under Adagrad
    it works in place on these rows too, where the decay is `l2_weighted` or 0: no other row has a gradient. Adam is one
    Op on a CPU, `ops.AdamStep`, which passes over all rows; on a GPU, and for other updates, gradients are arrays.
    """

    def __init__(self, model, formulation, update, learning_rate, target=False):
        super().__init__(model, formulation, target)
        self._update = update
        self.learning_rate = theano.shared(self._checked(learning_rate), name="learning_rate")
        self._pending = None  # of sparse SGD: the factors and squared norms of W and V
        self._deferred, self._on_card = False, None
        with model.building():
            self.function = self._compiled(formulation)
        changed = [x.variable for x in self.function.maker.expanded_inputs if x.update is not None]
        # In the same order from whatever graph: single numbers last, which Theano meets here or there.
        self.kept = sorted((x for x in changed if x not in model.params and x is not self._pending),
                            key=lambda x: not x.ndim)

    def _compiled(self, formulation):
        # Where missing entries count, every row has a gradient.
        plain = (self._update is lasagne.updates.sgd and self.model.U is None and not self.model.l2_weighted
                 and not self.model.missing_weight)
        fused = fused_settings(self.model)
        if on_gpu():
            plain = plain and fused
        if formulation == "sparse" and plain:
            self._on_card = _norms_and_scalers(self.model.params[:2]) if on_gpu() else None
            self._pending = theano.shared(np.ones(4), name="pending", target="cpu")
            inputs = self.formulation.inputs(self.model.dtype, self.target)
            return _sparse_sgd(self.model, inputs, self.learning_rate, self.decay_share, self._pending)
        if formulation == "sparse" and fused and not self.model.missing_weight:
            inputs = self.formulation.inputs(self.model.dtype, self.target, self.model.U is not None)
            epsilon, adam = _adagrad_epsilon(self._update), _adam_settings(self._update)
            if epsilon and (self.model.l2_weighted or not (self.model.l2_W or self.model.l2_V)):
                return _sparse_adagrad(self.model, inputs, self.learning_rate, epsilon, self.target)
            if adam and not on_gpu():
                return _sparse_adam(self.model, inputs, self.learning_rate, self.decay_share, adam, self.target)
        inputs, loss, squared_error = self.graph()
        return self.model.compiled_update(inputs, loss, squared_error, self._update, self.learning_rate)

    def set_learning_rate(self, rate):
        self.learning_rate.set_value(self._checked(rate))

    def _checked(self, rate):
        decay = 2 * rate * max(self.model.l2_W, self.model.l2_V)
        if self._update is lasagne.updates.sgd and decay >= 1:
            raise ValueError("2 * learning_rate * l2 is %g: one step of weight decay would turn W or V around; it must "
                             "be below 1: lower the learning rate or l2" % decay)
        with np.errstate(over="ignore"):
            value = np.asarray(rate, self.model.dtype)
        if not np.isfinite(value):
            raise ValueError("the learning rate is %g, which is no finite %s; expected far less"
                             % (rate, self.model.dtype))
        return value

    def __call__(self, block, target=None, seen=None):
        if not self._deferred:
            with self.deferred():
                return self(block, target, seen)
        loss, squared_error = self.function(*self.formulation.pack(block, self.model.dtype, target, seen))
        if self._pending is not None and self._pending.get_value(borrow=True)[:2].min() < 1e-3:
            self._write_decay()  # steps are scaled by 1 / factor: it must not get too small for the dtype
        return float(loss), float(squared_error)

    @contextlib.contextmanager
    def deferred(self):
        """A context in which the decay of untouched rows may be pending; W and V are exact again when it ends."""
        for encoder in self.model.encoders:
            item_major(encoder)  # somebody may have set it
        if self._pending is not None:
            self._pending.set_value(np.append([1.0, 1.0], self._norms()))
        self._deferred = True
        try:
            yield self
        finally:
            self._deferred = False
            if self._pending is not None:
                self._write_decay()

    def get_state(self):
        # What the update keeps is named update_0, update_1, ...
        return OrderedDict((name, _copy_of(variable)) for name, variable in self._named_state())

    def check_state(self, state):
        _check_arrays(state, {name: variable.get_value(borrow=True) for name, variable in self._named_state()},
                      finite=[p.name for p in self.model.params])

    def set_state(self, state):
        for name, variable in self._named_state():
            variable.set_value(state[name], borrow=False)

    def _named_state(self):
        return ([(p.name, p) for p in self.model.params]
                + [("update_%d" % i, variable) for i, variable in enumerate(self.kept)])

    def _norms(self):
        """The squared norms of W and V."""
        if self._on_card is not None:
            return [float(x) for x in self._on_card[0]()]
        values = (p.get_value(borrow=True) for p in self.model.params[:2])
        return [np.einsum("ij,ij->", x, x, dtype="float64") for x in values]

    def _write_decay(self):
        pending = self._pending.get_value(borrow=True)
        for i, parameter in enumerate(self.model.params[:2]):
            if pending[i] == 1:
                continue
            if self._on_card is not None:
                self._on_card[1 + i](np.dtype(parameter.dtype).type(pending[i]))
            else:
                value = parameter.get_value(borrow=True)
                value *= value.dtype.type(pending[i])
                parameter.set_value(value, borrow=True)
            pending[i] = 1
        self._pending.set_value(pending, borrow=True)


def _copy_of(variable):
    return variable.get_value(borrow=False, return_internal_type=True)


def _norms_and_scalers(parameters):
    """Functions for variables on a GPU, which stay there: their squared norms; and, for each, it times a number."""
    factor = T.scalar("factor", parameters[0].dtype)
    scalers = [theano.function([factor], updates=[(p, factor * p)]) for p in parameters]
    return [theano.function([], [T.sum(p ** 2) for p in parameters])] + scalers


def _sparse_sgd(model, inputs, learning_rate, decay_share, pending):
    """`ae_batch` for sparse rows under plain SGD: rows in use change in place, the others' decay stays in `pending`."""
    data, indices, indptr = inputs[:3]
    target = inputs[3] if len(inputs) > 3 else data
    W, V, mu, b = model.params
    fused = fused_settings(model)
    if fused:
        step = SGDStep(*fused)
        new_W, new_V_t, new_mu, new_b, new_pending, costs = step(
            W, V.T, mu, b, pending, data, indices, indptr, learning_rate, model.l2_W * decay_share,
            model.l2_V * decay_share, target=target)
        loss, squared_error = costs[1], costs[0]
    else:
        factor_W, factor_V = (T.cast(pending[i], model.dtype) for i in (0, 1))
        a = csr_dot(factor_V * data, indices, indptr, V.T)
        h = model.hidden_activation(a)
        s = sampled_dot(indices, indptr, factor_W * h, W) + b[indices]
        squared_error = T.sum((model.output_activation(s) - target) ** 2)
        l2 = decay_share.astype("float64") * np.array([model.l2_W, model.l2_V])
        loss = squared_error + T.dot(l2, pending[2:])
        d_s, d_a, d_mu = T.grad(squared_error, [s, a, mu])

        factors = pending[:2] * (1 - 2 * learning_rate.astype("float64") * l2)
        steps = T.cast(-learning_rate / factors, model.dtype)
        new_W, growth_W = add_csr_t_dot(W, steps[0], d_s, indices, indptr, h)
        new_V_t, growth_V = add_csr_t_dot(V.T, steps[1], data, indices, indptr, d_a)
        new_mu = mu - learning_rate * d_mu
        new_b = T.inc_subtensor(b[indices], -learning_rate * d_s)
        squares = (pending[2:] / pending[:2] ** 2 + T.stack([growth_W, growth_V])) * factors ** 2
        new_pending = T.concatenate([factors, squares])
    updates = [(W, new_W), (V, new_V_t.T), (mu, new_mu), (b, new_b), (pending, new_pending)]
    model.compile_ahead(loss, *(new for _, new in updates))
    return theano.function(inputs, [loss, squared_error], updates=updates, name="ae_batch")


def _settings_of(update, function, **defaults):
    """The settings of an update that is `function`, perhaps with some given; None for another, or other settings."""
    given = {}
    while isinstance(update, functools.partial):
        if update.args:
            return None
        given = dict(update.keywords, **given)
        update = update.func
    numbers = all(is_number(value) for value in given.values())
    return dict(defaults, **given) if update is function and set(given) <= set(defaults) and numbers else None


def _adagrad_epsilon(update):
    """The epsilon of an update that is `lasagne.updates.adagrad`; None for another, or one that has no fused step."""
    found = _settings_of(update, lasagne.updates.adagrad, epsilon=1e-6)
    return float(found["epsilon"]) if found and 0 < found["epsilon"] < np.inf else None


def _adam_settings(update):
    """As `_adagrad_epsilon`, the beta1, beta2 and epsilon of `lasagne.updates.adam`."""
    found = _settings_of(update, lasagne.updates.adam, beta1=0.9, beta2=0.999, epsilon=1e-8)
    in_range = found and all(0 <= found[name] < 1 for name in ("beta1", "beta2")) and 0 < found["epsilon"] < np.inf
    return found if in_range else None


def _zeros_like(parameters):
    """Variables for what an update keeps of each parameter, in its memory order."""
    kept = [theano.shared(np.zeros_like(p.get_value(borrow=True)), broadcastable=p.broadcastable) for p in parameters]
    for variable in kept[1:2] + kept[4:]:
        item_major(variable)
    return kept


def _sparse_adagrad(model, inputs, learning_rate, epsilon, has_target):
    """`ae_batch` for sparse rows under Adagrad, with a decay for each rating or none: rows in use change in place."""
    (data, indices, indptr), extras = inputs[:3], list(inputs[3:])
    more = dict(target=extras.pop(0)) if has_target else {}
    W, V, mu, b = model.params[:4]
    squares = _zeros_like(model.params)
    if model.U is not None:
        more.update(U_t=model.U.T, squares_U_t=squares[4].T, seen=extras.pop(0))
    step = AdagradStep(*fused_settings(model), epsilon=epsilon)
    new = step(W, V.T, mu, b, squares[0], squares[1].T, squares[2], squares[3], data, indices, indptr, learning_rate,
               model.l2_W, model.l2_V, **more)
    updates = [(squares[0], new[4]), (W, new[0]), (squares[1], new[5].T), (V, new[1].T),
               (squares[2], new[6]), (mu, new[2]), (squares[3], new[7]), (b, new[3])]
    if model.U is not None:
        updates += [(squares[4], new[10].T), (model.U, new[9].T)]
    # A parameter without broadcastable axes has none in its update, whatever the shape.
    updates = [(x, T.patternbroadcast(value, x.broadcastable)) for x, value in updates]
    model.compile_ahead(*new)
    return theano.function(inputs, [new[8][1], new[8][0]], updates=updates, name="ae_batch")


def _sparse_adam(model, inputs, learning_rate, decay_share, settings, has_target):
    """`ae_batch` for sparse rows under Adam: all rows change in place, in one pass over what is kept."""
    (data, indices, indptr), extras = inputs[:3], list(inputs[3:])
    target = extras.pop(0) if has_target else data
    means, squares = _zeros_like(model.params), _zeros_like(model.params)
    variables = model.params + [x for pair in zip(means, squares) for x in pair]
    t_before = theano.shared(np.asarray(0, model.dtype))
    t = t_before + 1
    rate = learning_rate * T.sqrt(1 - settings["beta2"] ** t) / (1 - settings["beta1"] ** t)
    share = 1 if model.l2_weighted else decay_share

    of_encoders = [p in model.encoders for p in model.params]
    of_encoders += [each for each in of_encoders for _ in range(2)]

    def turned(arrays):
        """V, U and what is kept for them as their transposes."""
        return [x.T if of_encoder else x for x, of_encoder in zip(arrays, of_encoders)]

    step = AdamStep(*fused_settings(model), weighted=model.l2_weighted, **settings)
    *new, squared_error, loss = step(*turned(variables), data, indices, indptr, rate, model.l2_W * share,
                                     model.l2_V * share, target, *extras)
    updates = [(x, T.patternbroadcast(value, x.broadcastable)) for x, value in zip(variables, turned(new))]
    model.compile_ahead(loss)
    return theano.function(inputs, [loss, squared_error], updates=updates + [(t_before, t)], name="ae_batch",
                           mode=blas.mode())


class LBFGS(Step):
    """Limited-memory BFGS, for all rows at once and without a learning rate.

    A call is one iteration: the two-loop recursion over the last changes of the parameters and of their gradient gives
    a direction, and along it SciPy's line search finds a step that meets the strong Wolfe conditions. All in SciPy,
    `minimize(method="L-BFGS-B")`, doesn't give away what it has learned of the curvature, without which nothing can go
    on from an iteration's end: a checkpoint couldn't be resumed from, nor training after an early stop.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    target : bool
        As `Step` takes it.
    memory : int
        How many changes are kept; each takes the memory of the parameters twice.

    References
    ----------
    .. [1] D. C. Liu, J. Nocedal: On the limited memory BFGS method for large scale optimization. Mathematical
           Programming 45, 1989, 503-528.
    .. [2] J. Nocedal, S. J. Wright: Numerical Optimization, 2nd edition, 2006: algorithms 7.4, the recursion, and 3.5,
           the line search.
    """

    needs_all_rows = True

    def __init__(self, model, formulation, target=False, memory=10):
        self.memory = check_count(memory, "memory")
        super().__init__(model, formulation, target)
        self._pairs = []  # [(change of the parameters, of the gradient)], flat; the arrays are never written to
        self._known = None  # the last evaluation: (data, decay_share, x, (loss, squared error, gradient))
        with model.building():
            inputs, loss, squared_error = self.graph()
            gradients = [gradient.T if parameter in model.encoders else gradient  # in V's memory order
                         for parameter, gradient in zip(model.params, T.grad(loss, model.params))]
            gradient = T.concatenate([x.flatten() for x in gradients])
            self.function = theano.function(inputs, [loss, squared_error, gradient], name="loss_and_gradient",
                                             mode=blas.mode())

    def __call__(self, block, target=None, seen=None):
        # Where no step along the direction lowers the cost, the parameters stay, and the next call starts along the
        # gradient.
        from scipy import optimize  # takes its time
        for encoder in self.model.encoders:
            item_major(encoder)  # somebody may have set it
        data = block, target, seen
        x = self.parameters()
        loss, squared_error, gradient = self._evaluate(data, x)
        slope = np.sqrt(np.dot(gradient, gradient))
        if not (np.isfinite(loss) and 0 < slope < np.inf):
            return loss, squared_error
        direction = -gradient / slope if not self._pairs else -_inverse_hessian_dot(self._pairs, gradient)

        def cost(x):
            value = self._evaluate(data, x)[0]
            return value if np.isfinite(value) else np.inf  # an infinite cost shortens the step; a NaN would not

        new, pairs = x, []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # that the search found nothing: `alpha` says so too
                alpha = optimize.line_search(cost, lambda x: self._evaluate(data, x)[2], x, direction, gfk=gradient,
                                             old_fval=loss)[0]
            if alpha is not None and cost(x + float(alpha) * direction) < loss:
                new = x + float(alpha) * direction
                change = new - x, self._evaluate(data, new)[2] - gradient
                # Only with a positive product does the model of the curvature stay positive definite.
                curved = np.dot(*change) > np.finfo(x.dtype).eps * np.dot(change[1], change[1])
                pairs = (self._pairs + [change] if curved else self._pairs)[-self.memory:]
        finally:  # also where Ctrl-C comes amid the search
            self._set_parameters(new)
        self._pairs = pairs
        return loss, squared_error

    def get_state(self):
        state = OrderedDict((p.name, _copy_of(p)) for p in self.model.params)
        for i, (s, y) in enumerate(self._pairs):
            state["s_%d" % i], state["y_%d" % i] = s, y
        return state

    def check_state(self, state):
        of_pairs = [name for name in state if re.fullmatch("[sy]_[0-9]+", name)]
        for name in of_pairs:
            if ("y" if name[0] == "s" else "s") + name[1:] not in state:
                raise ValueError("there is half of a pair, %s" % name)
        like = {p.name: p.get_value(borrow=True) for p in self.model.params}
        _check_arrays(state, dict(like, **dict.fromkeys(of_pairs, self.parameters())), finite=state)

    def set_state(self, state):
        for p in self.model.params:
            p.set_value(state[p.name], borrow=False)
        self._known = None
        self._pairs = [(state["s_%d" % i], state["y_%d" % i]) for i in range(self.memory) if "s_%d" % i in state]

    def parameters(self):
        """All parameters as one vector, V item by item."""
        values = [(p, p.get_value(borrow=True)) for p in self.model.params]
        return np.concatenate([(value.T if p in self.model.encoders else value).ravel() for p, value in values])

    def _set_parameters(self, x):
        start = 0
        for parameter in self.model.params:
            shape = parameter.get_value(borrow=True).shape
            value = x[start:start + np.prod(shape, dtype=int)]
            start += len(value)
            value = value.reshape(shape[::-1]).T if parameter in self.model.encoders else value.reshape(shape)
            parameter.set_value(value, borrow=False)

    def _evaluate(self, data, x):
        """The loss, the squared error and the gradient at `x`; the last ones are kept, as they are asked for again."""
        x = x.astype(self.model.dtype, copy=False)  # in NumPy 2 SciPy's steps, of float64, widen it
        decay_share = float(self.decay_share.get_value())
        if self._known is not None:
            known_data, known_share, known_x, known = self._known
            if decay_share == known_share and np.array_equal(x, known_x) and _same(data, known_data):
                return known
        self._set_parameters(x)
        loss, squared_error, gradient = self.function(*self.formulation.pack(data[0], self.model.dtype, *data[1:]))
        self._known = data, decay_share, x, (float(loss), float(squared_error), np.asarray(gradient))
        return self._known[3]


def _check_arrays(state, like, finite):
    """ValueError where arrays by name aren't of the names, shapes and dtypes of others, or hold what isn't finite."""
    for name, array in state.items():
        if name not in like:
            raise ValueError("it holds an array %r" % name)
        shape, dtype = like[name].shape, like[name].dtype
        if array.shape != shape or array.dtype != dtype:
            raise ValueError("%s is of shape %r and dtype %s; expected %r and %s"
                             % (name, array.shape, array.dtype, shape, dtype))
        if name in finite and not np.isfinite(array).all():
            raise ValueError("%s holds NaN or infinite values" % name)
    for name in like:
        if name not in state:
            raise ValueError("there is no array %r" % name)


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


def _same(data, other):
    """Whether two calls brought the same block, target and what is seen."""
    (block, *extras), (other_block, *other_extras) = data, other
    return block.shape == other_block.shape and all(a is b or a is not None and np.array_equal(a, b) for a, b in zip(
        [block.indptr, block.indices, block.data] + extras,
        [other_block.indptr, other_block.indices, other_block.data] + other_extras))


# By name: functions of lasagne.updates (which exports what works on updates and gradients too), RProp, L-BFGS.
UPDATES = OrderedDict((name, getattr(lasagne.updates, name)) for name in [
    "sgd", "momentum", "nesterov_momentum", "adagrad", "rmsprop", "adadelta", "adam"])
UPDATES.update(rprop=rprop, lbfgs=LBFGS)


def make_step(model, formulation, update, learning_rate, target=False):
    """The compiled step of an optimiser.

    Parameters
    ----------
    model : AutoEncoder
    formulation : {"scan", "dense", "sparse"}
    update : callable
        Of the signature of `lasagne.updates.sgd`; or a class of steps, such as `LBFGS`; partial ones too.
    learning_rate : float or None
        None where the optimiser has none.
    target : bool
        Whether each call brings a target beside the ratings.

    Returns
    -------
    Step
    """
    if has_learning_rate(update):
        return TrainingStep(model, formulation, update, learning_rate, target)
    return update(model, formulation, target)


def has_learning_rate(update):
    """Whether an optimiser has a learning rate: an update of Lasagne's form has, a class of steps hasn't."""
    return not isinstance(_unwrapped(update), type)


def check_update(update, given):
    """TypeError for a function that hasn't the signature of `lasagne.updates.sgd`; `given` is what the user said."""
    try:
        signature = inspect.signature(update)
    except (TypeError, ValueError):  # of some of Python's own functions nobody knows it
        return
    try:
        signature.bind(None, [], *([0.1] if has_learning_rate(update) else [False]))
    except TypeError as error:
        raise TypeError("update is %r, which can't be called with a loss, parameters and a learning rate (%s); "
                        "expected a function of lasagne.updates or one of %s"
                        % (given, error, ", ".join(UPDATES))) from None


def check_entrywise(update, given):
    """ValueError for an optimiser that doesn't work entry by entry; `given` is what the user said.

    Where columns are shared out among processes, each has some rows of W and columns of V: what an entry becomes may
    follow from itself, its own gradients, and numbers that are the same for all.
    """
    if not has_learning_rate(update):
        why = "its line search and its curvature are of all parameters together"
    else:
        params = [theano.shared(np.ones((2,) * ndim, theano.config.floatX)) for ndim in (2, 1)]
        gradients = [p.type() for p in params]
        try:
            updates = update(gradients, params, T.cast(0.01, theano.config.floatX))
        except Exception as error:
            why = "with gradients in the place of a loss it can't be called, to see what it does (%s: %s)" % (
                type(error).__name__, error)
        else:
            why = _mixing_entries(updates, gradients + params)
    if why:
        raise ValueError("update is %r and the columns are shared out among processes, where an update has to work "
                         "entry by entry: %s; expected one that does, such as 'sgd', 'adam' or 'adagrad'"
                         % (given, why))


def _mixing_entries(updates, starts):
    """What in some updates isn't entry by entry, in words; None if all is."""
    depends = set(starts) | {variable for variable in updates if variable.ndim}
    for node in theano.gof.graph.io_toposort(theano.gof.graph.inputs(list(updates.values())), list(updates.values())):
        of_entries = [x for x in node.inputs if x in depends and x.ndim]
        if not of_entries:
            continue
        is_transfer = type(node.op).__name__ in ("GpuFromHost", "HostFromGpu")
        if not (is_transfer or isinstance(node.op, T.Elemwise)) or len({x.ndim for x in of_entries}) > 1:
            return "there is a %s in it, over entries of a parameter or of a gradient" % node.op
        depends.update(node.outputs)
    return None


def needs_all_rows(update):
    """Whether an optimiser needs the gradient of all ratings at once, and no mini-batches."""
    return getattr(_unwrapped(update), "needs_all_rows", False)


def _unwrapped(function):
    while isinstance(function, functools.partial):
        function = function.func
    return function
