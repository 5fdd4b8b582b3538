"""Which patches a module of theano, lasagne or pygpu gets: two tables, which decorators fill."""

import contextlib
from collections import defaultdict

#: Module: the context managers within which it is run.
CONTEXTS = defaultdict(list)
#: Module: the functions that patch it once it has been run.
PATCHES = defaultdict(list)


def run_within(*modules, where=True):
    """Decorate what `contextlib.contextmanager` takes: those modules are run within it, if `where` is true."""
    return lambda function: _entered(CONTEXTS, modules if where else ())(contextlib.contextmanager(function))


def once_run(*modules, where=True):
    """Decorate a function of a module: it patches each of those once it has been run, if `where` is true."""
    return _entered(PATCHES, modules if where else ())


def _entered(table, modules):
    def enter(function):
        for name in modules:
            table[name].append(function)
        return function

    return enter
