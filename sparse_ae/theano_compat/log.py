"""Filters of Theano's log: messages that users can't act on are dropped, the others say what to do."""

from sparse_ae.theano_compat import compilers
from sparse_ae.theano_compat.unused_gpu import say_why_unused


def _say_what_to_install(record):
    """A filter of log records: configdefaults.py:580 says at length that there is no compiler, not what to install."""
    if str(record.msg).startswith("g++ not detected"):
        record.msg, record.args = compilers.NO_COMPILER, ()
    return True


def _drop_what_needs_no_action(record):
    """A filter of log records: tensor/blas_headers.py:988 says that all is well."""
    return record.msg != "Using NumPy C-API based implementation for BLAS functions."


def _say_once_who_waits(record):
    """A filter of log records: gof/compilelock.py:266 takes two lines to say that another process is compiling.

    Lines 105 and 240 say that all is well: that the lock is refreshed, or taken over from a process that has died.
    """
    if record.msg == "To manually release the lock, delete %s":
        record.msg = ("Another process is compiling; waiting for it. (If there is none, on any machine: delete its "
                      "lock, %s)")
    return not str(record.msg).startswith(("Waiting for existing lock by", "Refreshing lock %s",
                                           "Overriding existing lock by dead"))


def _say_that_it_is_made_anew(record):
    """A filter of log records: gof/cmodule.py:1555 says that it deletes something broken, not what follows from it."""
    if record.args and str(record.args[0]).startswith("Deleting (broken cache directory"):
        record.msg, record.args = ("A broken entry of the cache of compiled code is deleted, and will be compiled "
                                   "again when needed: %s", record.args[1:])
    return True


# Logger: the filter of its records.
LOG_FILTERS = {
    "theano.configdefaults": _say_what_to_install,
    "theano.tensor.blas": _drop_what_needs_no_action,
    "theano.gof.compilelock": _say_once_who_waits,
    "theano.gof.cmodule": _say_that_it_is_made_anew,
    "theano.gpuarray": say_why_unused,
}
