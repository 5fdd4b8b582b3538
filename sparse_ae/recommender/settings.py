"""The settings of a recommender, and their defaults: what `Recommender`, searches and the command line go by."""
from typing import NamedTuple

from sparse_ae.recommender.closed import CLOSED
from sparse_ae.recommender.estimator import Settings

__all__ = ["Shallow"]


class Shallow(NamedTuple):
    """Settings of the post's model, `model.AutoEncoder`: the `network` of a `Recommender`.

    Attributes
    ----------
    f, g : str or callable
        Output and hidden nonlinearity, of `lasagne.nonlinearities`.
    weight_scale : float
        Standard deviation of the normal distribution that W and V are drawn from at first.
    dtype : {"float32", "float64"}
        Of the parameters and the predictions. float64 takes twice the memory, and about twice the time.
    """

    f: object = "identity"
    g: object = "sigmoid"
    weight_scale: float = 0.01
    dtype: object = "float32"

    def __repr__(self):
        changed = ["%s=%r" % (name, value) for name, value in self._asdict().items()
                   if repr(value) != repr(self._field_defaults[name])]
        return "Shallow(%s)" % ", ".join(changed)


def check_network(network):
    """Return what a recommender's model is made by: `Shallow`, or a callable.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(network, str) and network == "shallow":
        return Shallow()
    if isinstance(network, Shallow) or callable(network):
        return network
    raise TypeError("network is %r; expected 'shallow', Shallow(...), what makes a model when it is called, such as "
                    "sparse_ae.networks.deep, or for lists one of %s" % (network, ", ".join(map(repr, CLOSED))))


class RecommenderSettings(Settings):
    """Settings of `Recommender`, which has their documentation."""

    def __init__(self, n_hidden="auto", rows="auto", objective="ratings", network="shallow", biases=True, l2="auto",
                 update="auto", learning_rate="auto", batch_size="auto", n_epochs="auto", patience="auto",
                 formulation="auto", rating_scale=None, unknown="mean", rng=0, progress=True):
        self.n_hidden = n_hidden
        self.rows = rows
        self.objective = objective
        self.network = network
        self.biases = biases
        self.l2 = l2
        self.update = update
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.patience = patience
        self.formulation = formulation
        self.rating_scale = rating_scale
        self.unknown = unknown
        self.rng = rng
        self.progress = progress

    @property
    def closed_form(self):
        """The one of `closed.CLOSED` that `network` names; None if it names none."""
        return self.network if isinstance(self.network, str) and self.network in CLOSED else None

    def silent(self):
        """Themselves, without progress."""
        return RecommenderSettings(**dict(self.get_params(), progress=False))

    def without_closed_form(self):
        """Themselves, with the post's model where `network` names a closed form."""
        if self.closed_form is None:
            return self
        return RecommenderSettings(**dict(self.get_params(), network="shallow"))
