"""The masked autoencoder of the 2016 post "Sparse Autoencoder in theano", by the post's names: `W`, `V`, `mu`, `b`,
`step`, `scan_res`, `loss`, `ae_batch`; docs/tutorial/post.md lists the corrections. "Item" stands for a column."""
import copy
from typing import Any, Callable, Optional, Tuple, Union

import numpy as np

from sparse_ae.checks import (
    MOST,
    MOST_UNITS,
    check_bool,
    check_count,
    check_dtype,
    check_number,
    check_rating_scale,
    is_number,
    near,
)
from sparse_ae.contract import Model, overridden
from sparse_ae.ops import csr_dot, item_major
from sparse_ae.ops.compiled import building, updating
from sparse_ae.ops.nonlinearities import find, lasagnes, lasagnes_name
from sparse_ae.parameters import Decoder, Parameter, checked_updates, create_parameter, drawing
from sparse_ae.ranks.ranks import Ranks
from sparse_ae.ranks.sums import SumOverRanks
from sparse_ae.runtime.device import on_gpu
from sparse_ae.training.one_pass import OnePass
import lasagne
import theano
import theano.tensor as T
from lasagne import init, nonlinearities

__all__ = ["AutoEncoder"]

# Methods that the Ops of a whole step replace.
_IN_ONE_PASS = ("ae_batch", "decay", "decode", "decoder", "encode", "hidden_activation", "loss", "scores")


def _variable(name):
    """A property: the variable of a parameter, None without one."""
    return property(lambda self: next((each.variable for each in self.parameters if each.name == name), None))


def _decay(*names):
    """A property: the weight decay of some parameters, one for all."""
    def get(self):
        return next(each.decay for each in self.parameters if each.name in names)

    def put(self, l2):
        l2 = _not_too_large(check_number(l2, "l2_" + names[0], zero=True), "l2_" + names[0])
        self.parameters = [each._replace(decay=l2) if each.name in names else each for each in self.parameters]

    return property(get, put)


class AutoEncoder(Model):
    """The masked autoencoder: its parameters, its loss, its predictions.

    For a row r of ratings, observed at the positions O::

        output = f(W g(V r + mu) + b)                                                   (1)
        loss   = sum over rows and O of (output - r)^2 + l2 (|W|^2 + |V|^2)              (2)

    With a second encoder hidden units are ``g(V r + U s + mu)``, where s, at the same entries as r, says that there is
    a rating. With users as rows this is U-AutoRec, with items as rows I-AutoRec (S. Sedhain, A. K. Menon, S. Sanner, L.
    Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015).

    Parameters
    ----------
    n_items : int
        Columns of the rating matrix.
    n_hidden : int
        Hidden units, the post's k.
    rating_scale : (float, float), optional
        Lowest and highest rating. Predictions are clipped to it, and a bounded `f` is stretched over it: with sigmoid,
        ``output = low + (high - low) sigmoid(...)``. Without it outputs are f's own values.
    f, g : str or callable
        Output and hidden nonlinearity: a name from `lasagne.nonlinearities`, or any function of a Theano tensor. `f`
        must act element by element. The post has sigmoid and tanh, the AutoRec paper "identity" and "sigmoid".
    l2 : float or (float, float)
        Weight decay of W and V, ``l2 (|W|^2 + |V|^2)``; a pair weighs the two separately.
    W, V, mu, b : lasagne.init.Initializer, callable, array or Theano shared variable
        Initial values, of shapes (n_items, k), (k, n_items), (k,), (n_items,).
    rng : numpy.random.RandomState or int
        The random numbers of the initialisers.
    dtype : {"float32", "float64"}
        The dtype of the parameters and of all computations with them, whatever Theano's floatX is.
    U : like V, optional
        The second encoder; by default there is none. Its weight decay is V's.
    l2_weighted : bool
        Whether the decay is per rating: ``l2 sum over columns j of n_j (|W_j|^2 + |V_j|^2)`` of the n_j ratings of a
        column in a mini-batch. Y. Zhou et al., Large-scale Parallel Collaborative Filtering for the Netflix Prize,
        AAIM 2008.
    comm : communicator of mpi4py, optional
        Its ranks divide the columns while a `Trainer` trains the model: docs/guide/machines.md.

    Attributes
    ----------
    W, V, mu, b, U : Theano shared variables
        `V.get_value()` is (k, n_items); its memory is column by column, so that each is contiguous. U may be None.
        `W.set_value(array)` sets numbers; the variables stay.
    params, parameters, encoders : list
        W, V, mu, b and U if there is one; a `Parameter` that describes each; V and U.
    f, g : callable
        Functions of a Theano tensor.
    l2_W, l2_V : float
        The weight decay of W, and that of V and U. They may be set: what is compiled later, and the next call of
        `Trainer.fit`, use the new ones.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings, _ = sparse_ae.made_up_ratings(n_users=60, n_items=40, n_ratings=900)
    >>> model = sparse_ae.AutoEncoder(n_items=40, n_hidden=4, rating_scale=(1, 5))
    >>> trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.01, progress=False)
    >>> history = trainer.fit(ratings.matrix, n_epochs=5)
    >>> model.predict_pairs(ratings.matrix, [0, 1], [7, 7]).shape
    (2,)
    >>> model.save("model.npz")
    """

    is_divided = False  # whether it has a rank's own columns only
    W, V, mu, b, U = map(_variable, ("W", "V", "mu", "b", "U"))
    l2_W, l2_V = _decay("W"), _decay("V", "U")

    def __init__(self, n_items: int, n_hidden: int, rating_scale: Optional[Tuple[float, float]] = None,
                 f: Union[str, Callable] = "sigmoid", g: Union[str, Callable] = "tanh",
                 l2: Union[float, Tuple[float, float]] = 0.1, W: Any = init.GlorotUniform(),
                 V: Any = init.GlorotUniform(), mu: Any = init.Constant(0.0), b: Any = init.Constant(0.0),
                 rng: Union[int, np.random.RandomState] = 0, dtype: Any = "float32", U: Any = None,
                 l2_weighted: bool = False, comm: Any = None) -> None:
        n, k = (check_count(x, name, most=MOST_UNITS) for x, name in ((n_items, "n_items"), (n_hidden, "n_hidden")))
        self.ranks = comm if isinstance(comm, Ranks) else Ranks(comm)
        self.dtype = check_dtype(dtype)
        self.f, self.g = _nonlinearity(f, "f", self.dtype), _nonlinearity(g, "g", self.dtype)
        if self.f is nonlinearities.softmax:
            raise ValueError("f is softmax, which mixes the items of a row; f must act element by element, such as "
                             "'sigmoid' or 'linear'")
        self.rating_scale = rating_scale
        l2_W, l2_V = _decays(l2)
        self.l2_weighted = check_bool(l2_weighted, "l2_weighted")

        self.parameters = []
        with drawing(rng, self.dtype):
            for spec, shape, name, axis, decay in [
                    (W, (n, k), "W", 0, l2_W), (V, (k, n), "V", 1, l2_V), (mu, (k,), "mu", None, 0.0),
                    (b, (n,), "b", 0, 0.0)] + ([] if U is None else [(U, (k, n), "U", 1, l2_V)]):
                variable = create_parameter(spec, shape, name, self.dtype)
                self.parameters.append(Parameter(variable, name, axis, decay, item_major=axis == 1))
        for encoder in self.encoders:
            item_major(encoder)

    def __setattr__(self, name, value):
        # Steps and predictions are compiled from the variables, f and g, in their dtype.
        if name in ("W", "V", "mu", "b", "U"):
            raise AttributeError("%s can't be replaced by another variable: set its numbers, model.%s.set_value(array)"
                                 ", or make another AutoEncoder(%s=...)" % (name, name, name))
        if name in ("f", "g", "dtype") and name in vars(self):
            raise AttributeError("%s can't be replaced: make another AutoEncoder(%s=...)" % (name, name))
        if name == "rating_scale" and value is not None:
            value = check_rating_scale(value)
        super().__setattr__(name, value)

    @property
    def encoders(self):
        return [each.variable for each in self.parameters if each.item_major]

    @property
    def channels(self):
        return ("indicator",) * len(self.encoders[1:])

    def divided(self):
        """Return a copy that has a rank's own columns, and sums its hidden units over `ranks`; itself alone."""
        if self.ranks.size == 1:
            return self
        part, part.parameters, part.is_divided = copy.copy(self), [], True
        for each in self.parameters:
            value = self.ranks.own_of(each.variable.get_value(borrow=True), each.columns_axis)
            part.parameters.append(each._replace(variable=theano.shared(value, name=each.name)))
        for encoder in part.encoders:
            item_major(encoder)
        return part

    # The graph

    def step(self, rat, W, V, mu, b):
        """The post's `step`: one dense row (n_items,) in, its outputs at the observed columns out, 0 elsewhere."""
        res = T.zeros_like(rat)
        rat_nz = T.neq(rat, 0).nonzero()[0]
        hidden_activation = self.g(T.dot(V[:, rat_nz], rat[rat_nz]) + mu)
        output_activation = self.decoder().activation(T.dot(W[rat_nz, :], hidden_activation) + b[rat_nz])
        return T.set_subtensor(res[rat_nz], output_activation)

    def scan(self, rating):
        """The post's `scan_res`, (n_rows, n_items): `step` over the rows of a dense mini-batch; 0 without a rating."""
        if self.U is not None:
            raise ValueError("scan was called on a model with a second encoder, U, and the post's graph has one "
                             "encoder; use encode and decode")
        scan_res, _ = theano.scan(fn=self.step, outputs_info=None, sequences=[rating], non_sequences=self.params)
        return scan_res

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k), of a `Batch` of CSR or of dense rows, without noise."""
        read = zip((batch.data, batch.indicator), self.encoders)
        # Dots with V.T rather than with transposed ratings: gradients then come in the memory order of V.
        first, *rest = [T.dot(values, V.T) if batch.is_dense else csr_dot(values, batch.indices, batch.indptr, V.T)
                        for values, V in read]
        return self.hidden_activation(sum(rest, first))

    def hidden_activation(self, weighted):
        """g(V r + mu), from ``V r``, (n_rows, k)."""
        return self.g(SumOverRanks(self.ranks)(weighted, self.mu) if self.is_divided else weighted + self.mu)

    def decoder(self):
        """Return the `Decoder`: a bounded f is stretched over the rating scale, if there is one."""
        return Decoder(self.W, self.b, self.f, find(self.f)).over(self.rating_scale)

    def one_pass(self):
        """The `OnePass` of the Ops that make a whole step on sparse rows; None where they can't, as for heirs."""
        if overridden(self, AutoEncoder, _IN_ONE_PASS):
            return None
        f, g, decoder = find(self.f), find(self.g), self.decoder()
        parameters = {each.name: each for each in self.parameters}
        if (f is None or g is None or not set(parameters) <= set(OnePass._fields)
                or not all(each.trainable for each in self.parameters)
                or (self.is_divided and on_gpu())):  # those of a GPU can't sum over ranks
            return None
        return OnePass(f.name, g.name, decoder.low, decoder.span, self.ranks if self.is_divided else None,
                       l2_weighted=self.l2_weighted, **parameters)

    @property
    def decay_may_wait(self):
        """Whether no heir has another loss, and the decay isn't per rating."""
        return not self.l2_weighted and not overridden(self, AutoEncoder, ("ae_batch", "decay", "loss"))

    def loss(self, squared_error, decay_share=1, counts=None):
        """Equation (2) of `AutoEncoder`, from its first sum, a scalar.

        Parameters
        ----------
        squared_error : scalar
        decay_share : float or Theano scalar
            The part of the weight decay that falls to this mini-batch. With `l2_weighted` it is not used.
        counts : vector, (n_items,), optional
            With `l2_weighted`, how many ratings of this mini-batch each column has.
        """
        return squared_error + self.decay(decay_share, counts)

    def decay(self, share=1, counts=None):
        """Build the graph of the weight decay in `loss`, a scalar."""
        if not (self.l2_W or self.l2_V):
            return T.zeros((), self.dtype)  # no gradient for rows that aren't in use
        if self.l2_weighted:
            return (self.l2_W * T.dot(counts, T.sum(self.W ** 2, axis=1))
                    + self.l2_V * sum(T.dot(counts, T.sum(V ** 2, axis=0)) for V in self.encoders))
        return share * (self.l2_W * T.sum(self.W ** 2) + self.l2_V * sum(T.sum(V ** 2) for V in self.encoders))

    def ae_batch(self, inputs, squared_error, update=lasagne.updates.sgd, learning_rate=0.001, decay_share=1,
                 counts=None):
        """The post's `ae_batch`: a compiled function that takes a mini-batch and updates the parameters.

        Parameters
        ----------
        inputs : list of Theano variables
            The mini-batch: ``[rating]`` for the scan graph.
        squared_error : scalar
            The data term of the loss as a graph of `inputs` and `params`.
        update : callable
            With the signature of `lasagne.updates.sgd`.
        learning_rate : float or Theano scalar
        decay_share, counts
            As in `loss`; the post's share is 1.

        Returns
        -------
        theano.function
            Returns the loss and its data term, both before the update.

        Examples
        --------
        The post, line by line:

        >>> import theano.tensor as T
        >>> from sparse_ae import AutoEncoder
        >>> model = AutoEncoder(n_items=4, n_hidden=2, rating_scale=(1, 5), rng=0)
        >>> rating = T.matrix("rating")
        >>> scan_res = model.scan(rating)
        >>> ae_batch = model.ae_batch([rating], T.sum((scan_res - rating) ** 2), learning_rate=0.01)
        >>> loss, squared_error = ae_batch([[5, 0, 3, 0], [0, 1, 0, 4]])
        """
        with self.building():
            loss = self.loss(squared_error, decay_share, counts)
            updates = update(loss, self.trained, learning_rate)
            return updating(inputs, [loss, squared_error], checked_updates(updates, self.parameters), name="ae_batch")

    # Descriptions

    def describe(self):
        """Return its settings, as `from_description` takes them: JSON, but for functions that Lasagne doesn't have."""
        return {"n_columns": self.n_columns, "n_hidden": self.n_hidden,
                "rating_scale": None if self.rating_scale is None else list(self.rating_scale),
                "f": lasagnes_name(self.f) or self.f, "g": lasagnes_name(self.g) or self.g,
                "l2": [self.l2_W, self.l2_V], "l2_weighted": self.l2_weighted, "encoders": len(self.encoders),
                "dtype": self.dtype}

    @classmethod
    def from_description(cls, description, arrays):
        """Make the model of `describe`, with arrays by the names of its parameters."""
        settings = dict(description)
        n_encoders = settings.pop("encoders")
        if n_encoders not in (1, 2):
            raise ValueError("encoders is %r; expected 1 or 2" % (n_encoders,))
        names = ("W", "V", "mu", "b", "U")[:3 + n_encoders]
        parameters = {name: theano.shared(np.asarray(arrays[name], settings["dtype"])) for name in names}
        return cls(settings.pop("n_columns"), **settings, **parameters)


def _nonlinearity(spec, name, dtype):
    function = lasagnes(spec) if isinstance(spec, str) else spec
    said = ("%s is %r; expected a name from lasagne.nonlinearities, such as 'sigmoid', 'tanh', 'linear' or 'rectify', "
            "or a function" % (name, spec))
    if function is None:
        raise ValueError(said + near(spec, ["sigmoid", "tanh", "linear", "rectify"]))
    if lasagnes_name(function) is not None:
        return function
    try:  # a user's own
        with building(dtype):
            x = T.matrix()
            y = function(x)
            if y.ndim != 2 or x not in theano.gof.graph.inputs([y]):
                raise ValueError("it makes %r of a Theano matrix" % y)
    except Exception as error:
        raise ValueError("%s from a Theano matrix to one of its shape (%s: %s)"
                         % (said, type(error).__name__, error)) from error
    return function


def _decays(l2):
    pair = l2 if isinstance(l2, (tuple, list)) else (l2, l2)
    if len(pair) != 2 or not all(is_number(x) and x >= 0 for x in pair):
        raise ValueError("l2 is %r; expected a number that is not negative, or a pair of them for W and V" % (l2,))
    return tuple(_not_too_large(float(each), "l2") for each in pair)


def _not_too_large(l2, name):
    if l2 > MOST:
        raise ValueError("%s is %r; expected far less: W and V would become 0" % (name, l2))
    return l2
