"""The masked autoencoder in one pass over the ratings: its squared error with all gradients, and optimisers' steps.
docs/develop/pass.md tells how, and the order of the steps' inputs and outputs."""
import numpy as np

from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.ops.op import (
    CsrOp,
    Layout,
    Updating,
    WithGradients,
    check_csr,
    csr_matrix,
    float_tensors,
    index_vectors,
    sampled_products,
)
from sparse_ae.ops.rules import ADAGRAD, ADAM, SGD, Decayed
import theano.tensor as T
from theano import gof, scalar

#: The numbers of axes of the parameters by name, in the order in which the Ops take them.
PARAMETERS = {"W": 2, "V's transpose": 2, "mu": 1, "b": 1, "U's transpose": 2}


def named(parameters):
    """The first parameters by name, each with its number of axes."""
    return {name: (x, ndim) for (name, ndim), x in zip(PARAMETERS.items(), parameters)}


def check_shapes(shapes, *kept):
    """Raise ValueError for shapes of parameters, or of their running averages, that don't match."""
    shapes, *kept = ([tuple(map(int, shape)) for shape in some] for some in (shapes, *kept))
    (n_items, k), V_t, mu, b = shapes[:4]
    if k < 1 or V_t != (n_items, k) or mu != (k,) or b != (n_items,):
        raise ValueError("W is %r, V's transpose %r, mu %r, b %r; expected (n_items, k), (n_items, k), (k,), "
                         "(n_items,) with k at least 1" % tuple(shapes[:4]))
    if len(shapes) > 4 and shapes[4] != V_t:
        raise ValueError("U's transpose is %r, V's %r; expected the same" % (shapes[4], V_t))
    for name, shape, *others in zip(PARAMETERS, shapes, *kept):
        if any(other != shape for other in others):
            raise ValueError("the state of %s doesn't have its shape" % name)


class FusedOp(CsrOp):
    """The masked autoencoder in one pass: output = low + span f(W g(V r + mu) + b), compared with a target."""

    __props__ = ("f", "g", "low", "span", "apart")
    headers = ("nonlinearities.h", "slices.h", "rules.h", "pass.h", "fused.h")
    # Run-time arguments of the C code. As constants, each set of values would need seconds of compilation.
    params_type = gof.ParamsType(f=scalar.int32, g=scalar.int32, low=scalar.float64, span=scalar.float64,
                                 total=gof.generic, inplace=scalar.bool, weighted=scalar.bool, number1=scalar.float64,
                                 number2=scalar.float64, number3=scalar.float64, op=gof.generic)
    inplace, weighted, settings = False, False, ()

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None):
        for name in (f, g):
            if name not in NONLINEARITIES:
                raise ValueError("nonlinearity %r has no fused step; expected one of %s"
                                 % (name, ", ".join(sorted(NONLINEARITIES))))
        self.f, self.g, self.low, self.span = f, g, float(low), float(span)
        self.ranks, self.apart = ranks, ranks is not None

    @property
    def total(self):
        """A function from an array of each process to the sum of all; None for a single process."""
        if self.apart and self.ranks is None:
            raise RuntimeError("%s belonged to one of several processes that divide the items, and has lost the "
                               "others: make it again" % self)
        return self.ranks.sum if self.apart else None

    # Theano's keys of compiled code, in memory and on disk, contain Ops: there it is the same for all ranks, and for
    # the next program's.
    def __getstate__(self):
        return dict(self.__dict__, ranks=None)

    def __deepcopy__(self, memo):
        return self

    @staticmethod
    def tensors(given, data, indices, indptr, target, indicator):
        """The inputs of a node: parameters and their state (`given` maps names to (tensor, ndim)), the block, target
        and indicator; the target is the variable of the ratings, which C sorts once, if there is no other."""
        channels = {"target": None if target is data else target, "indicator": indicator}
        channels = {name: (x, 1) for name, x in channels.items() if x is not None}
        tensors, n = float_tensors(**given, data=(data, 1), **channels), len(given)
        block = [tensors[n], *index_vectors(indices, indptr)]
        return tensors[:n], block, tensors[n + 1:] if "target" in channels else tensors[n:]

    def pass_through(self, given, c_W=1, c_V=1):
        """From named inputs compute the squared error; the columns in use; the gradients of their rows of W, V, U and
        b, and of mu."""
        W, V_t, mu, b, *U_t = parameters = [x for x in (given.W, given.V_t, given.mu, given.b, given.U_t)
                                            if x is not None]
        check_shapes([x.shape for x in parameters])
        indices, indptr = given.indices, given.indptr
        check_csr(indices, indptr, len(indptr) - 1, len(W), len(given.data))
        for name, x in (("target", given.target), ("indicator", given.indicator)):
            if x is not None and len(x) != len(indices):
                raise ValueError("%s has %d entries, indices %d; each rating needs one" % (name, len(x), len(indices)))
        f, g = NONLINEARITIES[self.f], NONLINEARITIES[self.g]
        used, local = np.unique(indices, return_inverse=True)
        R = csr_matrix(given.data, local.astype("int32"), indptr, len(used))
        weighted = R.dot(V_t[used]) * c_V
        if U_t:
            S = csr_matrix(given.indicator, R.indices, indptr, len(used))
            weighted += S.dot(U_t[0][used])
        H = g.value((self._summed(weighted.astype(W.dtype)) + mu).astype(W.dtype))
        y = f.value((sampled_products(local, indptr, H, W[used]) * c_W + b[indices]).astype(W.dtype))
        e = self.low + self.span * y - given.target
        dS = csr_matrix((2 * e * self.span * f.slope(y)).astype(W.dtype), R.indices, indptr, len(used))
        dA = (self._summed((dS.dot(W[used]) * c_W).astype(W.dtype)) * g.slope(H)).astype(W.dtype)
        gradients = [dS.T.dot(H), R.T.dot(dA), dA.sum(axis=0), np.asarray(dS.sum(axis=0)).ravel()]
        return (e.astype("float64") ** 2).sum(), used, gradients + [S.T.dot(dA) for _ in U_t]

    def _summed(self, x):
        total = x if self.total is None else self.total(x)
        if total.shape != x.shape:
            raise ValueError("the sum over ranks has another shape than its terms")
        return total

    def get_params(self, node):
        f, g = NONLINEARITIES[self.f], NONLINEARITIES[self.g]
        numbers = dict(zip(("number1", "number2", "number3"), self.settings + (0.0, 0.0, 0.0)))
        return self.params_type.get_params(self, op=self, f=f.code, g=g.code, **numbers)

    def c_code(self, node, name, inputs, outputs, sub):
        settings = """
        const sparse_ae::Settings settings = {%s->f, %s->g, %s->low, %s->span, %s->total, %s->inplace, %s->weighted,
                                              {0, %s->number1, %s->number2, %s->number3}};""".replace(
            "%s", sub["params"])
        return "{%s%s}" % (settings, super().c_code(node, name, inputs, outputs, sub, "%s->op", "settings, "))


class SquaredError(WithGradients, FusedOp):
    """The squared error of the masked autoencoder at the ratings of a CSR block, with its gradients from the same pass.

    ``sum (low + span f(W g(V r + mu) + b) - t)^2`` over the stored ratings r, with the target t that goes with each:
    the ratings themselves, if no other is given. With a second encoder U the hidden units are ``g(V r + U s + mu)``,
    where s stands beside r.

    Parameters
    ----------
    f, g : {"linear", "sigmoid", "tanh", "rectify", "leaky_rectify", "very_leaky_rectify"}
        Output and hidden nonlinearity.
    low, span : float
        Map f's value to the ratings' scale.
    ranks : ranks.ranks.Ranks, optional
        Processes that divide the columns: each has its own squared error, and all run the Op together, with as many
        rows. The sums into the hidden units are added up over them, and so are those that come back.

    Notes
    -----
    Inputs: W (n_items, k), V's transpose (n_items, k), mu (k,), b (n_items,), data, indices and indptr, all of one
    float dtype but for the indices; ``target``, as many as data and in the same order; ``U_t``, U's transpose (n_items,
    k), and ``indicator``, s, as many as data: both or neither.

    Outputs: the squared error, and its gradients for the first four, then for U's transpose if it is there;
    `theano.grad` takes them from there. It gives none for data, target and indicator, and a second derivative needs
    `csr_dot` and `sampled_dot`.
    """

    def make_node(self, W, V_t, mu, b, data, indices, indptr, target=None, U_t=None, indicator=None):
        if (U_t is None) != (indicator is None):
            raise TypeError("a second encoder needs U_t and indicator; %s is missing"
                            % ("U_t" if U_t is None else "indicator"))
        second = [] if U_t is None else [U_t]
        parameters, block, (target, *indicator) = self.tensors(named([W, V_t, mu, b] + second), data, indices, indptr,
                                                               target, indicator)
        return gof.Apply(self, parameters[:4] + block + [target] + parameters[4:] + indicator,
                         [T.scalar(dtype=target.dtype)] + [x.type() for x in parameters])

    function = "squared_error_op"

    def layout_of(self, n_inputs):
        second = int(n_inputs > 8)
        return Layout(W=1, V_t=1, mu=1, b=1, data=1, indices=1, indptr=1, target=1, U_t=second, indicator=second)

    def compute(self, *inputs):
        squared_error, used, gradients = self.pass_through(self.layout_of(len(inputs)).named(inputs))
        whole = [np.zeros_like(inputs[i], order="C") for i in self.differentiable(inputs)]
        for x, gradient, rows in zip(whole, gradients, (used, used, slice(None), used, used)):
            x[rows] = gradient
        return [squared_error, *whole]

    def differentiable(self, inputs):
        layout = self.layout_of(len(inputs))
        return [layout.start(name) for name in ("W", "V_t", "mu", "b", "U_t") if layout.has(name)]


class _StepOp(Updating, FusedOp):
    """A step of an optimiser; `n`, its number of parameters, is set by its first node."""

    __props__ = FusedOp.__props__ + ("settings", "weighted", "inplace", "n")
    rule, function = ADAGRAD, "step_in_use_op"  # of rules.h and of fused.h

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, **settings):
        FusedOp.__init__(self, f, g, low, span, ranks)
        self.n, self.settings = 4, self.rule.checked(settings)

    def layout_of(self, n_inputs):
        n_kept, layouts = len(self.rule.state), {}
        for second in (0, 1):
            layout = Layout(W=1, V_t=1, mu=1, b=1, U_t=second, state=(4 + second) * n_kept or 1, data=1, indices=1,
                            indptr=1, rate=1, l2_W=1, l2_V=1, target=1, indicator=second)
            layouts[len(layout)] = layout
        if n_inputs not in layouts:
            raise TypeError("there are %d inputs; expected %d, or %d with a second encoder: the parameters, the %s of "
                            "each, data, indices, indptr, the rate, l2_W, l2_V, target, and indicator"
                            % (n_inputs, *layouts, " and the ".join(self.rule.state)))
        return layouts[n_inputs]

    @property
    def updated(self):
        return {i: i for i in range(self.n * (1 + len(self.rule.state)) + (not self.rule.state))}

    def make_node(self, *inputs):
        n = self.layout_of(len(inputs)).start("state")
        given = named(inputs[:n])
        kept = [("the %s of %s" % (kind, name), ndim) for name, (_, ndim) in given.items() for kind in self.rule.state]
        given.update((name, (x, ndim)) for (name, ndim), x in zip(kept, inputs[n:]))
        # Which inputs a node of this Op destroys is for the Op to say, not for the node.
        return (self if self.n == n else self.changed(n=n)).node(given, *inputs[len(given):])

    def node(self, given, data, indices, indptr, rate, l2_W, l2_V, target=None, indicator=None, state=()):
        """Check shapes and dtypes; return the Apply node: parameters, state, block, rates, channels."""
        updated, block, channels = self.tensors(given, data, indices, indptr, target, indicator)
        rates = [T.as_tensor_variable(x) for x in (rate, l2_W, l2_V)]
        if any(x.ndim for x in rates):
            raise TypeError("the rate, l2_W and l2_V must be scalars")
        updated += state
        return gof.Apply(self, updated + block + rates + channels,
                         [x.type() for x in updated] + [T.dscalar(), T.dscalar()])

    def compute(self, *inputs):
        given, n, n_kept = self.layout_of(len(inputs)).named(inputs), self.n, len(self.rule.state)
        shapes = [x.shape for x in inputs[:n + n * n_kept]]
        check_shapes(shapes[:n], *[shapes[n + i::n_kept] for i in range(n_kept)])
        squared_error, used, gradients = self.pass_through(given)
        n_items = len(given.W)
        counts = (np.bincount(given.indices, minlength=n_items) if self.weighted else np.ones(n_items))[:, np.newaxis]
        loss, updated, numbers = squared_error, self.targets(inputs), (float(given.rate),) + self.settings
        for i, l2 in enumerate([given.l2_W, given.l2_V, 0, 0, given.l2_V][:n]):
            x, d, rows = updated[i], gradients[i], slice(None) if i == 2 else used
            if self.function == "step_of_all_op" and i != 2:  # the rows without ratings move, too
                d, rows = np.zeros(x.shape, x.dtype), slice(None)
                d[used] = gradients[i]
            if x.ndim == 2:
                loss += l2 * (counts[rows] * x[rows].astype("float64") ** 2).sum()
                d = (d + 2 * float(l2) * counts[rows] * x[rows]).astype(x.dtype)
            self.rule.move(rows, d, numbers, x, *updated[n + n_kept * i:n + n_kept * (i + 1)])
        return updated + [squared_error, loss]

    def template_arguments(self, node):
        return ["sparse_ae::" + self.rule.name]

    def infer_shape(self, node, shapes):
        return shapes[:len(self.updated)] + [(), ()]


def next_factors(state, learning_rate, l2):
    """The factors of W and V that `SGDStep` keeps after a step, (2,) of float64; ValueError where there are none."""
    if len(state) != 4:
        raise ValueError("state has %d entries; expected 4" % len(state))
    factors = Decayed.of(state).next_factors(float(learning_rate), np.array(l2, "float64"))
    if not (factors > 0).all():
        raise ValueError("2 * learning_rate * l2 is not below 1: one step of weight decay would turn W or V around; "
                         "lower the learning rate or l2")
    return factors


class SGDStep(_StepOp):
    """One step of SGD on the masked autoencoder with L2 on all of W and V, in one pass over the ratings.

    The loss is that of `SquaredError` plus ``l2_W |W|^2 + l2_V |V|^2``. The weight decay of the rows that no rating
    touches is a factor: the W and V of the loss are ``c_W W`` and ``c_V V``. This is exact (L. Bottou, Stochastic
    Gradient Descent Tricks, 2012, section 5.1): docs/explanation/decay.md. The caller multiplies a factor in before it
    gets small.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`

    Notes
    -----
    The state is (4,) float64: c_W, c_V and the squared norms of ``c_W W`` and ``c_V V``. The rate is the learning rate.
    There is no second encoder.
    """

    rule, function = SGD, "decayed_step_op"

    def make_node(self, W, V_t, mu, b, state, *others):
        state = T.as_tensor_variable(state)
        if state.ndim != 1 or state.dtype != "float64":
            raise TypeError("state is a %d-d tensor of %s; expected a vector of float64" % (state.ndim, state.dtype))
        return self.node(named([W, V_t, mu, b]), *others, state=[state])

    def compute(self, *inputs):
        given = self.layout_of(len(inputs)).named(inputs)
        rate, l2 = float(given.rate), np.array([given.l2_W, given.l2_V], "float64")
        factors, before = next_factors(given.state, rate, l2), Decayed.of(given.state.copy())
        squared_error, used, gradients = self.pass_through(given, *before.c)
        W, V_t, mu, b, state = updated = self.targets(inputs)
        growths = []
        for M, gradient, factor in zip((W, V_t), gradients, factors):
            old = M[used].astype("float64")
            self.rule.move(used, gradient, [rate / factor], M)
            growths.append((M[used].astype("float64") ** 2).sum() - (old ** 2).sum())
        state[...] = np.concatenate(before.after(factors, growths))
        self.rule.move(slice(None), gradients[2], [rate], mu)
        self.rule.move(used, gradients[3], [rate], b)
        return updated + [squared_error, squared_error + l2.dot(before.norms)]


class AdagradStep(_StepOp):
    """One step of Adagrad on the masked autoencoder with a decay for each rating, on the rows in use only.

    The loss is that of `SquaredError` plus ``sum_j n_j (l2_W |W_j|^2 + l2_V |V_j|^2)``, for n_j ratings of column j in
    the block. Rows without ratings have no gradient, so that this is `lasagne.updates.adagrad` on that loss, exactly.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    epsilon : float
        Added to the sums of squares under the root, as in `lasagne.updates.adagrad`; above 0.

    Notes
    -----
    The state of each parameter is the sum of its squared gradients; the rate is the learning rate. U's decay is l2_V.
    """

    weighted = True


class SparseAdamStep(_StepOp):
    """One step of `sparse_ae.updates.sparse_adam` on the masked autoencoder, on the rows in use only.

    The loss is that of `AdagradStep`, with a decay for each rating. It is another optimiser than Adam, whose rows
    without ratings move on.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    beta1, beta2, epsilon : as in `AdamStep`

    Notes
    -----
    The state and the rate are as in `AdamStep`.
    """

    rule, weighted = ADAM, True


class AdamStep(_StepOp):
    """One step of Adam on the masked autoencoder with L2, on all rows.

    The loss is that of `SquaredError` plus ``l2_W |W|^2 + l2_V |V|^2``, or, with a decay for each rating, that of
    `AdagradStep`. Adam moves rows without ratings too: its means of their gradients fade, and the decay pulls at them.
    The step is `lasagne.updates.adam`'s: D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, end
    of section 2.

    Parameters
    ----------
    f, g, low, span, ranks : as in `SquaredError`
    beta1, beta2 : float
        The share of the means of gradients and of their squares that is kept in a step; from 0 to below 1.
    epsilon : float
        Added to the root of the mean of squares; above 0.
    weighted : bool
        Whether the decay is for each rating, l2_V being U's too.

    Notes
    -----
    The state of each parameter is the mean of its gradients and that of their squares, one after the other; the rate is
    the learning rate times ``sqrt(1 - beta2^t) / (1 - beta1^t)`` in step t from 1.
    """

    rule, function = ADAM, "step_of_all_op"

    def __init__(self, f, g, low=0.0, span=1.0, ranks=None, weighted=False, **settings):
        super().__init__(f, g, low, span, ranks, **settings)
        self.weighted = bool(weighted)
