"""Layers as JSON, by name and settings, and back: how a network is written to a file without pickle."""
import inspect
import json

import numpy as np

from sparse_ae.checks import MOST, MOST_UNITS, check_count, is_integer, is_number
from sparse_ae.kinds import check_not_gone
from sparse_ae.layers import (
    BatchNormLayer,
    IndicatorLayer,
    ObservedLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
)
from sparse_ae.ops.nonlinearities import lasagnes, lasagnes_name
from lasagne import layers

# The settings of each kind of layer, attributes that JSON has; and its parameters.
_SAVED = {
    layers.DenseLayer: (("num_units", "nonlinearity"), ("W", "b")),
    SparseInputDenseLayer: (("num_units", "nonlinearity"), ("W", "b")),
    ObservedLayer: (("nonlinearity",), ("W", "b")),
    layers.NonlinearityLayer: (("nonlinearity",), ()),
    layers.DropoutLayer: (("p", "rescale"), ()),
    SparseInputDropoutLayer: (("p", "rescale"), ()),
    layers.GaussianNoiseLayer: (("sigma",), ()),
    SparseInputNormLayer: ((), ()),
    IndicatorLayer: ((), ()),
    BatchNormLayer: (("epsilon", "alpha"), ("beta", "gamma", "mean", "inv_std")),
    layers.ElemwiseSumLayer: (("coeffs",), ()),
    layers.ConcatLayer: (("axis",), ()),
}
_KINDS = {kind.__name__: kind for kind in _SAVED}
_LISTS = layers.ElemwiseSumLayer, layers.ConcatLayer
# Arguments that follow from the others, or are drawn anew.
_IMPLIED = {"name", "num_units", "stream"}

# Bounds of a stack that files may hold: Theano's rewrites recurse over layers, and write sums of sums out as one.
_MOST_LAYERS, _MOST_TERMS = 200, 1000
_MIXING = "DenseLayer", "SparseInputDenseLayer", "ObservedLayer", "NonlinearityLayer"


def check_stack(descriptions):
    """Raise ValueError for layers, in their order, that are too many, or whose sums have too many terms."""
    if not isinstance(descriptions, list) or not all(isinstance(each, dict) for each in descriptions):
        raise ValueError("the layers aren't a list of dicts")
    if len(descriptions) > _MOST_LAYERS:
        raise ValueError("there are %d layers; expected at most %d" % (len(descriptions), _MOST_LAYERS))
    terms = []
    for number, each in enumerate(descriptions):
        before, settings, parameters = each.get("inputs", []), each.get("settings", {}), each.get("parameters", {})
        if not isinstance(before, list) or not all(is_integer(place) and 0 <= place < number for place in before):
            raise ValueError("layer %d has the inputs %.80r; expected the numbers of layers before "
                             "it" % (number, before))
        if not isinstance(settings, dict) or not isinstance(parameters, dict) or not all(
                isinstance(text, str) or text is None for text in [each["name"], *parameters.values()]):
            raise ValueError("layer %d has unknown settings, parameters or an unknown name" % number)
        n_terms = sum(terms[place] for place in before)
        mixes = each["kind"] in _MIXING and settings.get("nonlinearity") not in ("linear", "identity")
        terms.append(1 if mixes or not before else n_terms)
        if n_terms > _MOST_TERMS:
            raise ValueError("layer %d has %d terms; expected at most %d" % (number, n_terms, _MOST_TERMS))


def described(layer, stack, names):
    """Describe a layer by numbers, texts and lists; TypeError for one that can't be written down."""
    kind = type(layer)
    if kind is layers.InputLayer:
        return {"kind": "InputLayer", "columns": layer.shape[1], "name": layer.name}
    if kind not in _SAVED:
        raise TypeError("the layer %s of the module %s can't be saved; expected %s; or, of sparse_ae.layers, %s" % (
            said(layer), kind.__module__, _names("lasagne"), _names("sparse_ae")))
    before = layer.input_layers if isinstance(layer, layers.MergeLayer) else [layer.input_layer]
    settings, parameters = _SAVED[kind]
    _check_nothing_is_lost(layer, {*settings, *parameters, *_IMPLIED})
    return {"kind": kind.__name__, "name": layer.name, "inputs": [stack.index(each) for each in before],
            "settings": {name: _plain(getattr(layer, name), name, layer) for name in settings},
            "parameters": {name: None if getattr(layer, name) is None else names[getattr(layer, name)]
                           for name in parameters}}


def _names(package):
    """The names of a package's layers that can be saved."""
    return ", ".join(name for name in sorted(_KINDS) if _KINDS[name].__module__.startswith(package))


def _check_nothing_is_lost(layer, saved):
    """Raise TypeError for an argument of a layer that isn't at its default and isn't saved: of later Lasagnes."""
    for kind in type(layer).__mro__[:-1]:
        for name, argument in inspect.signature(kind.__init__).parameters.items():
            value, default = getattr(layer, name, argument.default), argument.default
            if name not in saved and default is not argument.empty and value is not default and value != default:
                raise TypeError("the layer %s has %s=%r, which can't be saved; expected the default, %r"
                                % (said(layer), name, value, default))


def _plain(value, name, layer):
    """A setting as JSON."""
    if name == "nonlinearity":
        known = lasagnes_name(value)
        if known is None:
            raise TypeError("the nonlinearity %s of the layer %s can't be saved; expected a function of "
                            "lasagne.nonlinearities, such as lasagne.nonlinearities.tanh" % (value, said(layer)))
        return known
    try:
        return json.loads(json.dumps(value, default=lambda each: each.tolist()))  # of NumPy
    except (AttributeError, TypeError):
        raise TypeError("%s of the layer %s is %r, which can't be saved; expected a number"
                        % (name, said(layer), value)) from None


def made_layer(description, made, arrays, variables, dtype):
    """The layer of a description, on those that are made by now."""
    if description["kind"] == "InputLayer":
        return layers.InputLayer((None, check_count(description["columns"], "columns")), name=description["name"])
    check_not_gone(description["kind"])
    if description["kind"] not in _KINDS:
        raise ValueError("a layer is a %r; expected one of %s" % (description["kind"], ", ".join(sorted(_KINDS))))
    kind = _KINDS[description["kind"]]
    settings = dict(description["settings"])
    for name, value in settings.items():
        _check_setting(name, value, kind)
    if "nonlinearity" in settings:
        settings["nonlinearity"] = nonlinearity_of(settings["nonlinearity"])
    parameters, before = description["parameters"], [made[number] for number in description["inputs"]]
    for name, of in parameters.items():
        settings[name] = None if of is None else np.asarray(arrays[of], dtype)
    if set(settings) != set(sum(_SAVED[kind], ())):
        raise ValueError("the settings of a %s are %s; expected others" % (kind.__name__, ", ".join(sorted(settings))))

    def make():
        return kind(*([before] if kind in _LISTS else before), name=description["name"], **settings)

    try:
        layer = make()  # of arrays, whose shapes Lasagne checks
    except (RuntimeError, ValueError) as error:  # ValueError in Lasagne's master
        raise ValueError("the parameters of a %s don't match: %s" % (kind.__name__, error)) from error
    tied = {name: variables[of] for name, of in parameters.items() if of in variables}
    if tied:
        settings.update(tied)
        layer = make()
    variables.update((of, getattr(layer, name)) for name, of in parameters.items() if of is not None)
    return layer


def _check_setting(name, value, kind):
    """Raise ValueError for a setting from a file that no layer has."""
    if name == "nonlinearity":
        sound = isinstance(value, str)
    elif name == "rescale":
        sound = isinstance(value, bool)
    elif name == "num_units":
        sound = check_count(value, name, most=MOST_UNITS)
    elif name == "coeffs":
        sound = isinstance(value, list) and all(is_number(each) and abs(each) <= MOST for each in value)
    else:
        sound = is_number(value) and abs(value) <= (1 if name in ("p", "alpha") else MOST)
        sound = sound and (value >= 0 or name == "axis") and not (name == "p" and value == 1)
    if not sound:
        raise ValueError("%s of a %s is %.80r; no layer has that" % (name, kind.__name__, value))


def nonlinearity_of(name):
    """Give the function of `lasagne.nonlinearities` that has a name; ValueError without one."""
    function = lasagnes(name) if isinstance(name, str) else None
    if function is None:
        raise ValueError("nonlinearity is %r; expected the name of a function of lasagne.nonlinearities" % (name,))
    return function


def said(layer):
    """A layer's class and name, for errors."""
    name = getattr(layer, "name", None)
    return type(layer).__name__ + (" %r" % name if name else "")
