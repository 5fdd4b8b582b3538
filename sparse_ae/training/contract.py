"""The contract of a model: what training, scoring, fold-in and files ask of one, and no more.

`AutoEncoder` keeps it; so does a stack of layers that inherits `Model`. Everything behind the last hidden layer (lists,
fold-in, similar items, the sum over missing entries) needs the `Decoder` alone: any encoder may stand before it.
tests/contract.py has tests that a model's own tests inherit.
"""
import contextlib

import numpy as np

from sparse_ae.model import AutoEncoder
from sparse_ae.ops import sampled_dot
from sparse_ae.ops.compiled import building
from sparse_ae.parameters import portable_state
from sparse_ae.ranks.ranks import ALONE
from sparse_ae.training.objectives import kinds_of
import theano.tensor as T

__all__ = ["Model"]


class Model:
    """A model; what isn't implemented here a model has to say itself, and the rest it may say better.

    Attributes
    ----------
    n_columns, n_all_columns : int
        Columns of this process, and of all ranks together.
    n_hidden : int
        Of the last hidden layer, k.
    dtype : {"float32", "float64"}
    ranks : Ranks
        Only `AutoEncoder` shares out its columns.
    channels : tuple of str
        What the encoder reads beside the ratings: () or ("indicator",); see `Batch`.
    parameters : list of Parameter
        All that is trained, and what else is part of the state.
    rating_scale : (float, float) or None
        What `AsRated` is to clip predictions to, where the model was made for ratings themselves.
    reach : (float, float)
        The lowest and the highest output that it comes near.
    l2_weighted : bool
        Whether its decay counts each rating: `decay` is then given `item_counts`.
    reads_entries : bool
        Whether the dense formulation, too, gives the encoder entries, and lays out what is decoded alone.
    compiled : dict
        For functions that were compiled for it, by name.
    """

    ranks, channels, rating_scale, reach, l2_weighted = ALONE, (), None, (-np.inf, np.inf), False
    parameters, dtype, reads_entries = (), "float32", False

    def encode(self, batch, deterministic=True):
        """Build the graph of hidden units, (n_rows, k).

        Parameters
        ----------
        batch : Batch of Theano variables
            Of CSR or, where it `is_dense`, of dense rows.
        deterministic : bool
            False for training, where there may be noise.
        """
        raise NotImplementedError

    def decoder(self):
        """Return the last layer, a `Decoder`."""
        raise NotImplementedError

    def describe(self):
        """Return JSON, as `from_description` takes it; TypeError where a function of one's own can't be written."""
        raise NotImplementedError

    @classmethod
    def from_description(cls, description, arrays, ranks=ALONE):
        """Make the model of `describe`, with `parameters` that have these values, by their names."""
        raise NotImplementedError

    def decode(self, h, batch=None):
        """Build the graph of outputs at the entries of a Batch of CSR, (nnz,); of all, (n_rows, n_columns), without."""
        return self.decoder().activation(self.scores(h, batch))

    def scores(self, h, batch=None):
        """Build the graph of ``W h + b``, of which `decode` makes outputs."""
        decoder = self.decoder()
        if batch is None:
            return T.dot(h, decoder.W.T) + decoder.b
        return sampled_dot(batch.indices, batch.indptr, h, decoder.W) + decoder.b[batch.indices]

    def decay(self, share=1, counts=None):
        """Build the graph of the weight decay that falls to a mini-batch, a scalar: `share` of all of it."""
        terms = [each.decay * T.sum(each.variable ** 2) for each in self.parameters if each.decay]
        return share * sum(terms) if terms else T.zeros((), self.dtype)

    def fused(self):
        """Return the first arguments of the fused Ops; None where they can't serve it."""
        return None

    @property
    def n_columns(self):
        return self.decoder().W.get_value(borrow=True).shape[0]

    @property
    def n_all_columns(self):
        return self.n_columns

    @property
    def n_hidden(self):
        return self.decoder().W.get_value(borrow=True).shape[1]

    @property
    def params(self):
        """The shared variables of `parameters`."""
        return [each.variable for each in self.parameters]

    @property
    def compiled(self):
        return vars(self).setdefault("_compiled_functions", {})

    @contextlib.contextmanager
    def building(self):
        """Enter a context for building its graphs: Theano's floatX is its dtype within, and other threads wait."""
        with building(self.dtype):
            yield

    def __getstate__(self):
        # For pickle and copy: compiled functions work on this model's variables. They are made again when needed.
        state = {name: value for name, value in vars(self).items() if name != "_compiled_functions"}
        return portable_state(state, self.parameters)


def describe_model(model):
    """Return the description of a model, and of which kind it is."""
    return dict(model.describe(), kind=type(model).__name__)


def model_of(description, arrays, ranks=ALONE):
    """Make a model of what `describe_model` has said of it.

    Parameters
    ----------
    description : dict
    arrays : dict of str to array
        The parameters' values; a rank's own columns.
    ranks : Ranks

    Raises
    ------
    LookupError, TypeError, ValueError
        For a description or arrays that no model has given, and for a kind of model that isn't imported.
    """
    settings = dict(description)
    kind, kinds = settings.pop("kind", None), {each.__name__: each for each in [AutoEncoder, *kinds_of(Model)]}
    if kind not in kinds:
        raise ValueError("the model is a %r; expected one of %s: import the module first that has one of your own"
                         % (kind, ", ".join(sorted(kinds))))
    return kinds[kind].from_description(settings, arrays, ranks)
