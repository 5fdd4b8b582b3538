"""Removed modules and names that Theano looks up: replaced for a while, or for Theano only."""

import contextlib
import functools
import sys
import types

import numpy as np


@contextlib.contextmanager
def names_added(module, **values):
    """Gives the module those of the names that it lacks, and takes them back."""
    lacking = [name for name in values if name not in vars(module)]
    for name in lacking:
        setattr(module, name, values[name])
    try:
        yield
    finally:
        for name in lacking:
            delattr(module, name)


@contextlib.contextmanager
def modules_added(modules):
    """Let ``import`` find those modules, by their names, and restore the previous ones."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def module_of(name, **values):
    """A module with those names."""
    module = types.ModuleType(name)
    vars(module).update(values)
    return module


def attributes_renamed(function, **names):
    """The function, looking other attributes up: those of the functions within it too."""

    def renamed(code):
        return code.replace(co_names=tuple(names.get(name, name) for name in code.co_names),
                            co_consts=tuple(renamed(each) if isinstance(each, types.CodeType) else each
                                            for each in code.co_consts))

    function.__code__ = renamed(function.__code__)
    return function


def replace_in_code(kind, method, *pairs):
    """Has a method that returns C code return it with some text replaced."""
    original = getattr(kind, method)

    @functools.wraps(original)
    def replaced(self, *args, **kwargs):
        code = original(self, *args, **kwargs)
        for old, new in pairs:
            code = code.replace(old, new)
        return code

    setattr(kind, method, replaced)


class _NumPyAndMore(types.ModuleType):
    """NumPy with more names."""

    def __getattr__(self, name):
        found = vars(self)[name] = getattr(np, name)  # kept: Ops in Python ask at each call
        return found


def give_numpy_of_its_own(module, **values):
    """Give a module a NumPy with those values, where it lacks them; earlier additions are kept."""
    names = [name for name in ("np", "numpy") if isinstance(vars(module).get(name), types.ModuleType)]
    own = vars(module)[names[0]]
    if not isinstance(own, _NumPyAndMore):
        own = _NumPyAndMore("numpy")
    vars(own).update(values)
    for name in names:
        setattr(module, name, own)
