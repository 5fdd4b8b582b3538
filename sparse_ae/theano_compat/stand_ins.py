"""Removed modules and names that Theano looks up: replaced for a while, or for Theano only."""

import contextlib
import functools
import inspect
import linecache
import sys
import types

import numpy as np

from sparse_ae.theano_compat.patches import once_run


@contextlib.contextmanager
def modules_added(modules, table=sys.modules):
    """Let ``import`` find those modules, by their names, or put other values into a table; the old ones come back."""
    before = {name: table[name] for name in modules if name in table}
    table.update(modules)
    try:
        yield
    finally:
        for name in modules:
            table.pop(name, None)
        table.update(before)


def names_added(module, **values):
    """A context that gives the module those of the names that it lacks, and takes them back."""
    return modules_added({name: value for name, value in values.items() if name not in vars(module)}, vars(module))


def module_of(name, **values):
    """A module with those names."""
    module = types.ModuleType(name)
    vars(module).update(values)
    return module


def rewrite(owner, name, *pairs):
    """Replace text in the source of a module's function, or a class's method, and compile it at its first call."""
    original, made = vars(owner)[name], {}
    function = inspect.unwrap(getattr(original, "__func__", original))  # of a static method

    @functools.wraps(function)
    def rewritten(*args, **kwargs):
        if not made:
            code = function.__code__
            first = code.co_firstlineno
            lines = linecache.getlines(code.co_filename, function.__globals__)
            if not lines:
                raise ImportError("%s can't be read; expected Theano with its source files: install it again"
                                  % code.co_filename)
            source = "".join(inspect.getblock(lines[first - 1:]))
            for old, new in pairs:
                if old not in source and (not new or new not in source):  # some distributions have corrected it
                    raise AssertionError("%s, line %d: there is no %r" % (code.co_filename, first, old))
                source = source.replace(old, new)
            # Its lines keep their numbers, for tracebacks; that of a class is indented.
            before = "\n" * (first - 2) + "if True:\n" if source[0] == " " else "\n" * (first - 1)
            exec(compile(before + source, code.co_filename, "exec"), function.__globals__, made)
        return getattr(made[name], "__func__", made[name])(*args, **kwargs)

    setattr(owner, name, staticmethod(rewritten) if isinstance(original, staticmethod) else rewritten)


def rewritten_once_run(module, path, *pairs, where=True):
    """Have a module's function, or a method "Class.name", rewritten once the module has been run, where asked for."""
    def patch(module):
        owner, _, name = path.rpartition(".")
        rewrite(getattr(module, owner) if owner else module, name, *pairs)

    once_run(module, where=where)(patch)


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
