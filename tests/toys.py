"""A toy model, a toy objective and a toy measure, as a program would add them; and validation errors by a script."""
import numpy as np

from sparse_ae import validation
from sparse_ae.checks import check_rng
from sparse_ae.contract import Model
from sparse_ae.ops import csr_dot
from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.parameters import Decoder, Parameter
from sparse_ae.training.batch import Batch
from sparse_ae.training.objectives import Objective
from sparse_ae.training.targets import AsRated
import lasagne
import theano
import theano.tensor as T


def softplus(x):
    """A nonlinearity that no Op knows."""
    return T.nnet.softplus(x)


class Toy(Model):
    """Two hidden layers: h = tanh(P tanh(V r)). Its variables have no names, its parameters do."""

    def __init__(self, n_columns, n_hidden=3, rating_scale=None, l2=0.01, rng=0):
        rng, k = check_rng(rng), n_hidden
        shapes = {"V": (n_columns, k), "P": (k, k), "W": (n_columns, k), "b": (n_columns,)}
        for name, shape in shapes.items():
            setattr(self, name, theano.shared(rng.normal(0, 0.5, shape).astype("float32")))
        self.parameters = [Parameter(getattr(self, name), name, axis, decay) for name, axis, decay in
                           (("V", 0, l2), ("P", None, l2), ("W", 0, l2), ("b", 0, 0.0))]
        self.l2 = l2

    def encode(self, batch, deterministic=True):
        first = T.dot(batch.data, self.V) if batch.is_dense else csr_dot(*batch[:3], self.V)
        return T.tanh(T.dot(T.tanh(first), self.P))

    def decoder(self):
        return Decoder(self.W, self.b, lasagne.nonlinearities.linear, NONLINEARITIES["linear"])

    def describe(self):
        return {"n_columns": self.n_columns, "n_hidden": self.n_hidden, "l2": self.l2}

    @classmethod
    def from_description(cls, description, arrays):
        model = cls(**description)
        for each in model.parameters:
            each.variable.set_value(arrays[each.name])
        return model


class Absolute(Objective):
    """How far outputs are off, smoothed at 0."""

    reports_rmse = False

    def __init__(self, smooth=0.01):
        self.smooth = smooth

    def cost(self, model, formulation, batch):
        return formulation.entries(model, batch).total(lambda y, r: T.sqrt((y - r) ** 2 + np.float32(self.smooth)))


class Doubled(AsRated):
    """Targets of their own channel, twice the ratings."""

    channels = ("target",)

    def block(self, block, offsets):
        return Batch.of(block, target=2 * block.data)


class Measured:
    """Gives some values; it may be false, as whatever has no length is."""

    name = "made_up"

    def __init__(self, values, **attributes):
        self.values = list(values)
        vars(self).update(attributes)

    def __len__(self):
        return 0

    def __call__(self):
        return self.values.pop(0)


def scripted(monkeypatch, *errors):
    """Makes these the validation errors that come."""
    errors = iter(errors)
    monkeypatch.setattr(validation, "validation_rmse", lambda *_: lambda: next(errors))
