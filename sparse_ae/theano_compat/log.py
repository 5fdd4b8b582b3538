"""Filters of Theano's log: messages that users can't act on are dropped, the others say what to do."""

import functools

from sparse_ae.theano_compat import compilers
from sparse_ae.theano_compat.unused_gpu import say_why_unused

# Logger: how a message of it begins, and what is said instead, if anything.
_SAID_INSTEAD = {
    # configdefaults.py:580 says at length that there is no compiler, not what to install.
    "theano.configdefaults": [("g++ not detected", compilers.none_found)],
    # tensor/blas_headers.py:988 says that all is well.
    "theano.tensor.blas": [("Using NumPy C-API based implementation for BLAS functions.", None)],
    # gof/compilelock.py:266 takes two lines to say that another process is compiling; lines 105 and 240 say that all is
    # well: that the lock is refreshed, or taken over from a process that has died.
    "theano.gof.compilelock": [
        ("Waiting for existing lock by", None), ("Refreshing lock %s", None),
        ("Overriding existing lock by dead", None),
        ("To manually release the lock, delete",
         "Another process is compiling; waiting for it. (If there is none, on any machine: delete its lock, %s)")],
    # gof/cmodule.py:1555 says that it deletes something broken, not what follows from it.
    "theano.gof.cmodule": [
        ("Deleting (broken cache directory",
         "A broken entry of the cache of compiled code is deleted, and will be compiled again when needed: %s")],
}


def _say_instead(table, record):
    message, arguments = str(record.msg), record.args
    if message == "%s: %s" and isinstance(arguments, tuple) and arguments:  # what is said comes as an argument
        message, *arguments = arguments
    for beginning, said in table:
        if str(message).startswith(beginning):
            said = said() if callable(said) else said
            record.msg, record.args = said, tuple(arguments) if "%s" in str(said) else ()
            return said is not None
    return True


# Logger: the filter of its records.
LOG_FILTERS = {name: functools.partial(_say_instead, table) for name, table in _SAID_INSTEAD.items()}
LOG_FILTERS["theano.gpuarray"] = say_why_unused
