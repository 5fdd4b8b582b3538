"""The settings of a recommender and their defaults; lines of reports."""
import importlib
import inspect
import sys
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple, Union

from sparse_ae.checks import Rng, Scale, near
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.recommender.members import CLOSED
from sparse_ae.runtime.progress import figure, validated


class Shallow(NamedTuple):
    """Settings of the post's model, `model.AutoEncoder`: the `network` of a `Recommender`.

    Attributes
    ----------
    f, g : str or callable
        Output and hidden nonlinearity, of `lasagne.nonlinearities`.
    weight_scale : float
        Standard deviation of the normal distribution of the initial W and V.
    dtype : {"float32", "float64"}
        Of the parameters and the predictions. float64 takes twice the memory, and about twice the time.
    """

    f: Union[str, Callable] = "identity"
    g: Union[str, Callable] = "sigmoid"
    weight_scale: float = 0.01
    dtype: Any = "float32"

    def __repr__(self):
        return _shown(self, self._asdict(), self._field_defaults)


def check_network(network):
    """The maker of a recommender's model: `Shallow`, also if `network` is a closed form, or a callable."""
    if isinstance(network, str) and (network == "shallow" or network in CLOSED):
        return Shallow()
    if isinstance(network, Shallow) or callable(network):
        return network
    raise TypeError("network is %r; expected 'shallow', Shallow(...), a function that makes a model, such as "
                    "sparse_ae.networks.deep, or for rankings one of %s%s"
                    % (network, ", ".join(map(repr, CLOSED)), near(network, ["shallow"] + list(CLOSED))))


class RecommenderSettings:
    """The settings of `Recommender`, which documents them, as scikit-learn asks for them."""

    _estimator_type = "regressor"  # for scikit-learn before 1.6

    def __init__(self, n_hidden: Union[int, str] = "auto", rows: str = "auto", objective: Any = "ratings",
                 network: Any = "shallow", biases: Union[bool, str] = True,
                 l2: Union[float, Tuple[float, float], str] = "auto", update: Union[str, Callable] = "auto",
                 learning_rate: Union[float, str, Callable] = "auto", batch_size: Union[int, str, None] = "auto",
                 n_epochs: Union[int, str] = "auto", patience: Union[int, str, None] = "auto",
                 formulation: str = "auto", rating_scale: Optional[Scale] = None, unknown: Union[float, str] = "mean",
                 rng: Rng = 0, progress: Union[bool, str] = True, choices: Optional[Dict[str, Any]] = None) -> None:
        self.n_hidden, self.rows, self.objective, self.network, self.biases = n_hidden, rows, objective, network, biases
        self.l2, self.update, self.learning_rate, self.batch_size = l2, update, learning_rate, batch_size
        self.n_epochs, self.patience, self.formulation = n_epochs, patience, formulation
        self.rating_scale, self.unknown, self.rng = rating_scale, unknown, rng
        self.progress, self.choices = progress, choices

    @classmethod
    def _defaults(cls):
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}

    def get_params(self, deep: bool = True) -> Dict[str, Any]:
        """Return the settings by name. `deep` is for scikit-learn, and has no effect."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Any:
        """Change settings, and return self; the fitted state stays until the next `fit`.

        Raises
        ------
        ValueError
            For an unknown setting; then no setting is changed.
        """
        for name in params:
            if name not in self._defaults():
                raise ValueError("%s has no parameter %r; expected one of %s%s" % (
                    type(self).__name__, name, ", ".join(self._defaults()), near(name, self._defaults())))
        vars(self).update(params)
        return self

    def __repr__(self):
        return _shown(self, self.get_params(), self._defaults())

    def __sklearn_tags__(self):
        utils = importlib.import_module("sklearn.utils")  # only scikit-learn, from 1.6 on, asks
        return utils.Tags(estimator_type="regressor", regressor_tags=utils.RegressorTags(),
                          target_tags=utils.TargetTags(required=False),
                          input_tags=utils.InputTags(string=True, categorical=True))


def _shown(settings, values, defaults):
    changed = ["%s=%r" % (name, value) for name, value in values.items() if repr(value) != repr(defaults[name])]
    return "%s(%s)" % (type(settings).__name__, ", ".join(changed))


class NotFittedError(ValueError, AttributeError):
    """The recommender isn't fitted yet. Also scikit-learn's NotFittedError, if that is loaded."""

    def __reduce__(self):  # pickle in another process couldn't find a class that is made below
        return NotFittedError, self.args


def label_of(name):
    """A model's name in reports: that of an autoencoder is its rows."""
    return "%s as rows" % name if name in (ITEMS, USERS) else name


def validation_line(metric, values):
    """Report the metric of models by name; if models were chosen by it, the report says so."""
    figures = ", ".join("%s %s" % (label_of(name), figure(value)) for name, value in values.items())
    chosen = " (chosen by these figures: judge by others)" if set(values) - {"biases", "popular"} else ""
    return "validation %s: %s%s" % (metric, figures, chosen)


def result_line(fitted):
    """A sentence about a fitted `Recommender`: its models, their metric on validation, and that of the simplest."""
    used = [name for name, weight in fitted.weights_.items() if weight]
    is_ranking, found = fitted.missing_rating_ is not None, fitted.validation_rmse_ or fitted.validation_lists_ or {}
    simplest, alone = ("popular", "popularity") if is_ranking else ("biases", "biases")
    metric = "RMSE" if fitted.validation_rmse_ else fitted.measure
    done = "Items are ranked by" if is_ranking else "Ratings are predicted by"
    if not used:
        known = " (%s %s on held-out ratings)" % (metric, figure(found[simplest])) if simplest in found else ""
        return "%s %s alone%s: no model %s" % (done, alone, known, "is clearly better" if found else "could be judged")
    names = ([] if is_ranking or fitted.biases_ is None else ["biases"]) + [
        alone if name == simplest else label_of(name) for name in used]
    done += " " + " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])
    best = (fitted.history_[:fitted.best_epoch_] or [{}])[-1]  # of the post's model, which has no other figures
    value = found.get("blend", found.get("both", found.get(used[0])))
    metric, value = (metric, value) if found else validated(best) or (None, None)
    if value is None:
        return "%s; no ratings were held out to judge %s by" % (done, "it" if len(names) == 1 else "them")
    beside = ", %s by %s alone" % (figure(found[simplest]), alone) if simplest in found and used != [simplest] else ""
    return "%s: %s %s on the held-out ratings that chose %s%s" % (
        done, metric, figure(value), "it" if len(names) == 1 else "them", beside)


def as_line(settings):
    """A dict of settings in a line, such as "n_hidden=3, l2=0.01"."""
    return ", ".join("%s=%s" % (name, "%.4g" % value if isinstance(value, float) else value)
                     for name, value in settings.items())


def not_fitted(message):
    """The NotFittedError to raise."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    kind = NotFittedError if theirs is None else type("NotFittedError", (NotFittedError, theirs), {})
    return kind(message)
