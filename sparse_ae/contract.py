"""The contract of a model: the methods that training, scoring, fold-in and files use; tests/contract.py has its tests.
Code goes by a `Parameter`, never by a position, a name or a shape; behind the last hidden layer by the `Decoder`."""
import json
from typing import Any, Iterator, Optional, Tuple, Type, TypeVar

import numpy as np

from sparse_ae.checks import MOST, AnyPath, check_path
from sparse_ae.files import storage
from sparse_ae.files.unpacking import one_error
from sparse_ae.kinds import kind_of, name_of_kind
from sparse_ae.ops import sampled_dot
from sparse_ae.ops.compiled import building, updating
from sparse_ae.parameters import checked_updates, trained_of
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.scoring.predict import predict_blocks, predict_pairs
import lasagne
import theano.tensor as T

__all__ = ["Model"]

_Kind = TypeVar("_Kind", bound="Model")


class Model:
    """Base class of models: implement the methods that raise NotImplementedError; override others for speed.

    Attributes
    ----------
    n_columns : int
    n_hidden : int
        Units of the last hidden layer, k.
    dtype : {"float32", "float64"}
    channels : tuple of str
        The encoder's inputs beside the ratings: () or ("indicator",); see `Batch`.
    parameters : list of Parameter
        All trained parameters, and other parts of the state.
    rating_scale : (float, float) or None
        The range to which `AsRated` clips predictions, if the model is for ratings themselves.
    l2_weighted : bool
        Whether its decay is per rating: `decay` is then given the ratings' number in each column.
    decay_may_wait : bool
        Whether plain SGD may leave the decay of rows that aren't in use for later: it is that of `Parameter.decay`.
    reads_entries : bool
        Whether the encoder reads entries in the dense formulation too, so that only outputs are dense.
    compiled : dict
        Functions that were compiled for it, by name. They aren't copied or pickled.
    """

    ranks, channels, rating_scale, l2_weighted = ALONE, (), None, False
    parameters, dtype, reads_entries, decay_may_wait = (), "float32", False, False
    scan = None  # the post's graph, where a model has it

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k), of a `Batch`; without `deterministic` there may be noise.
        Models with `reads_entries` get CSR only."""
        raise NotImplementedError

    def decoder(self):
        """Return the last layer, a `Decoder`."""
        raise NotImplementedError

    def describe(self):
        """Return JSON, as `from_description` takes it; TypeError for a function that can't be written down."""
        raise NotImplementedError

    @classmethod
    def from_description(cls, description, arrays):
        """Make the model of `describe`, with `parameters` that have these values, by their names."""
        raise NotImplementedError

    def decode(self, h, batch=None):
        """Build the graph of outputs at the entries of a `Batch`, (nnz,), or of all; h is (n_rows, k)."""
        return self.decoder().activation(self.scores(h, batch))

    def scores(self, h, batch=None):
        """Build the graph of ``W h + b``, from which `decode` makes outputs."""
        decoder = self.decoder()
        if batch is None:
            return T.dot(h, decoder.W.T) + decoder.b
        return sampled_dot(batch.indices, batch.indptr, h, decoder.W) + decoder.b[batch.indices]

    def loss(self, squared_error, decay_share=1, counts=None):
        """Build the graph of the loss: a data term, and the weight decay that falls to a mini-batch."""
        return squared_error + self.decay(decay_share, counts)

    def decay(self, share=1, counts=None):
        """Build the graph of the weight decay that falls to a mini-batch, a scalar: `share` of all of it."""
        terms = [each.decay * T.sum(each.variable ** 2) for each in self.parameters if each.decay]
        return share * sum(terms) if terms else T.zeros((), self.dtype)

    def decay_of(self, variable):
        """The weight decay of a parameter, by its variable; 0 for a variable that is none."""
        return next((each.decay for each in self.parameters if each.variable is variable), 0.0)

    def ae_batch(self, inputs, squared_error, update=lasagne.updates.sgd, learning_rate=0.001, decay_share=1,
                 counts=None):
        """Compile the function that takes a mini-batch and updates the parameters, as `AutoEncoder.ae_batch`."""
        with self.building():
            loss = self.loss(squared_error, decay_share, counts)
            updates = update(loss, self.trained, learning_rate)
            return updating(inputs, [loss, squared_error], checked_updates(updates, self.parameters), name="ae_batch")

    def check(self):
        """Raise ValueError or TypeError for a model that keeps the contract in part only."""
        names = [each.name for each in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError("the model's parameters are named %s; expected a name for each, by which states and files "
                             "have them" % ", ".join(map(str, names)))
        for name in overridden(self, Model, ("decode", "scores")):
            raise TypeError("%s overrides %s, which only training would call: predictions and validation compute "
                            "outputs by decoder(); override decoder, such as its f, instead"
                            % (type(self).__name__, name))

    def one_pass(self):
        """Return the `OnePass` of the Ops that make a whole step on sparse rows; None where they can't serve it."""

    @property
    def n_columns(self):
        return self.decoder().W.get_value(borrow=True, return_internal_type=True).shape[0]

    @property
    def n_hidden(self):
        return self.decoder().W.get_value(borrow=True, return_internal_type=True).shape[1]

    @property
    def params(self):
        """The shared variables of `parameters`."""
        return [each.variable for each in self.parameters]

    @property
    def trained(self):
        """Those of `params` that updates change; ValueError if all are frozen."""
        return [each.variable for each in trained_of(self.parameters)]

    @property
    def compiled(self):
        return vars(self).setdefault("_compiled_functions", {})

    def divided(self):
        """Return a copy that has a rank's own columns, for a training step on several `ranks`; itself alone."""
        return self

    def building(self):
        """Enter a context for building its graphs: Theano's floatX is its dtype within, and other threads wait."""
        return building(self.dtype)

    def predict_pairs(self, ratings: Any, rows: Any, cols: Any, unknown: Optional[float] = None,
                      block_size: int = 1024) -> np.ndarray:
        """Predict pairs of `rows` and `cols`, (n,), from a sparse matrix of ratings, (n_rows, n_columns); `unknown`, or
        the mean, in rows and columns without ratings."""
        return predict_pairs(self, ratings, rows, cols, unknown, block_size)

    def predict_blocks(self, ratings: Any, block_size: int = 256) -> Iterator[Tuple[slice, np.ndarray]]:
        """Predict the ratings of all columns, a block of rows at a time: an iterator of pairs, a slice of rows and an
        array, (n, n_columns)."""
        return predict_blocks(self, ratings, block_size)

    def save(self, path: AnyPath) -> None:
        """Save the model to a file: its description and its parameters, as a NumPy `.npz` without pickle.

        An old file of sparse_ae is replaced in one step, when the new one is complete; any other file is an error. A
        TypeError names what no file can have, such as an `f` that isn't Lasagne's.
        """
        self.check()
        path, description = check_path(path, "path"), describe_model(self)
        for name, value in description.items():
            try:
                json.dumps(value)
            except TypeError:
                raise TypeError("%s of %s is %r, which can't be saved without code; expected a function of "
                                "lasagne.nonlinearities, or its name; or numbers, strings, lists and dicts"
                                % (name, description["kind"], value)) from None
        arrays = _arrays(self)
        _check_finite(arrays)
        storage.check_replaceable(path)
        storage.write(path, "model", description, arrays)

    @classmethod
    def load(cls: Type[_Kind], path: AnyPath) -> _Kind:
        """Load a model of this class, or of one that inherits it: its predictions are the same, bit for bit.

        ``sparse_ae.contract.Model.load`` loads a model of any class whose module is imported: `sparse_ae.model`,
        `sparse_ae.networks`, or your own. A file that is damaged, of another kind, or of a later version is a
        ValueError.
        """
        path = check_path(path, "path")
        description, arrays = storage.read(path, "model")
        with one_error(path, "what its class takes", "has no model that this sparse_ae can make"):
            if not all(each.dtype.name in ("float32", "float64") for each in arrays.values()):
                raise ValueError("an array isn't of float32 or float64")
            model = model_of(description, arrays)
            made = _arrays(model)
            if [(name, made[name].shape, made[name].dtype) for name in sorted(made)] != [
                    (name, arrays[name].shape, arrays[name].dtype) for name in sorted(arrays)]:
                raise ValueError("it has the arrays %s, others than the model of its description" % sorted(arrays))
        if not isinstance(model, cls):
            raise ValueError("%s has a model of the class %s; expected %s: load it by %s.load"
                             % (path, type(model).__name__, cls.__name__, type(model).__name__))
        return model

    def __getstate__(self):
        # For pickle and copy: compiled functions work on this model's variables. They are made again when needed.
        return {name: value for name, value in vars(self).items() if name != "_compiled_functions"}


def overridden(model, base, names):
    """Those of some methods that a model has otherwise than its base class, by its own class or set on it."""
    return [name for name in names if name in vars(model) or getattr(type(model), name) is not getattr(base, name)]


def describe_model(model):
    """Return the description of a model, with the name of its class."""
    return dict(model.describe(), kind=name_of_kind(type(model)))


def model_of(description, arrays):
    """Make the model that `describe_model` described, with these arrays by name; or raise."""
    settings = dict(description)
    kind = kind_of(settings, "kind", Model, "model")
    _check_finite(arrays)
    return kind.from_description(settings, arrays)


def _arrays(model):
    """The values of a model's parameters by name."""
    return {each.name: each.variable.get_value(borrow=True) for each in model.parameters}


def _check_finite(arrays):
    """Raise ValueError for an array with numbers that no model has after training."""
    for name, value in arrays.items():
        if value.size and not (np.min(value) >= -MOST and np.max(value) <= MOST):  # NaN neither
            raise ValueError("%s has numbers that are not finite, or beyond %g" % (name, MOST))
