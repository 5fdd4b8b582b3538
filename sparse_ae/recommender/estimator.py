"""Scikit-learn's conventions for an estimator's settings, without scikit-learn.

A class's settings are the keyword parameters of its ``__init__``, which stores each under its own name, as it is given,
and does nothing else. That is all that scikit-learn's ``clone``, cross-validation and search ask for.
"""
import importlib
import inspect
import numbers
import sys

import numpy as np

from sparse_ae.checks import generator_from

__all__ = ["NotFittedError"]


class Settings:
    """Settings that can be listed, changed and shown."""

    _estimator_type = "regressor"  # for scikit-learn before 1.6

    @classmethod
    def _defaults(cls):
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}

    def get_params(self, deep=True):
        """The settings, name to value. `deep` is there for scikit-learn, and changes nothing."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params):
        """Change settings.

        What was fitted stays as it is until `fit` is called again.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a setting that isn't there; none is changed then.
        """
        for name in params:
            if name not in self._defaults():
                raise ValueError("%s has no parameter %r; expected one of %s"
                                 % (type(self).__name__, name, ", ".join(self._defaults())))
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self):
        defaults = self._defaults()
        changed = ["%s=%r" % (name, value) for name, value in self.get_params().items()
                   if repr(value) != repr(defaults[name])]
        return "%s(%s)" % (type(self).__name__, ", ".join(changed))

    def __sklearn_tags__(self):
        utils = importlib.import_module("sklearn.utils")  # only scikit-learn, from 1.6 on, asks
        return utils.Tags(estimator_type="regressor", regressor_tags=utils.RegressorTags(),
                          target_tags=utils.TargetTags(required=False),
                          input_tags=utils.InputTags(string=True, categorical=True))


class NotFittedError(ValueError, AttributeError):
    """Something was asked for that only `fit` provides. Where scikit-learn is loaded, it is its NotFittedError too."""


def in_words(settings):
    """A dict of settings in a line, such as "n_hidden=3, l2=0.01"."""
    return ", ".join("%s=%s" % (name, "%.4g" % value if isinstance(value, float) else value)
                     for name, value in settings.items())


def not_fitted(message):
    """A NotFittedError to raise."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    if theirs is None:
        return NotFittedError(message)

    class Both(NotFittedError, theirs):
        def __reduce__(self):  # a class made here can't be found from another process
            return NotFittedError, self.args

    Both.__name__ = Both.__qualname__ = "NotFittedError"
    return Both(message)


def to_json(value):
    """A setting as JSON has it: numbers, strings, None, tuples of them, a RandomState (as a dict).

    TypeError for anything else.
    """
    if isinstance(value, np.random.RandomState):
        kind, keys, position, has_gauss, gauss = value.get_state()
        return {"RandomState": [kind, keys.tolist(), position, has_gauss, gauss]}
    if isinstance(value, (tuple, list, np.ndarray)):
        return [to_json(each) for each in value]
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, str)):
        return value
    for kind, made in ((numbers.Integral, int), (numbers.Real, float)):  # a Fraction is one of the latter
        if isinstance(value, kind):
            return made(value)
    raise TypeError("%r is no setting that a file can hold; expected a number, a string, None, or a tuple of them"
                    % (value,))


def from_json(value):
    """Return what `to_json` was given; lists become tuples."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return generator_from(*value["RandomState"])
    return value
