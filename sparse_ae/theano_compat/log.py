"""Filters of Theano's log: messages that users can't act on are dropped, the others say what to do; why a GPU that was
asked for can't be used is one line, in place of 13 of a traceback."""

import functools
import importlib
import re

from sparse_ae.theano_compat import compilers

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


def pygpu_fault():
    """The reason why pygpu can't be imported, with advice; None if it can."""
    try:
        importlib.import_module("pygpu")
    except Exception as error:  # an extension of another NumPy may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == "pygpu":
            return "pygpu isn't installed: conda install pygpu, which includes libgpuarray"
        return ("pygpu can't be imported (%s: %s): name the folder of libgpuarray by LD_LIBRARY_PATH, or install pygpu "
                "0.7.6 again, for this Python and this NumPy" % (type(error).__name__, _line(error)))
    return None


def why_unused(device, error=None):
    """The reason why Theano can't use a device, with advice; without pygpu's `error`, pygpu is tried again."""
    fault = pygpu_fault()
    if fault is not None:
        return fault
    if error is None:
        try:
            importlib.import_module("pygpu").init(device)
        except Exception as found:
            error = found
        else:
            return "pygpu can use it, but Theano couldn't when it started, and logged the reason"
    said = _line(error)
    if re.search("libcuda|nvcuda|libOpenCL", said):
        return "the card's driver isn't found (%s): install it" % said
    return said or type(error).__name__


def say_why_unused(record):
    """A filter of log records: gpuarray/__init__.py:243 and 258 log the same words for all reasons, and a traceback."""
    said = str(record.msg)
    if said.startswith(("pygpu was configured but could not be imported", "Could not initialize pygpu")):
        from theano import config
        device = config.device if config.device != "cpu" else config.init_gpu_device or config.contexts
        error = record.exc_info[1] if record.exc_info else None
        record.msg = "%s can't be used, everything runs on the CPU: %s"
        record.args = device, why_unused(device, error or ImportError(said))
        record.exc_info = record.exc_text = None
    return True


def _line(error):
    text = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)
    return " ".join((text.decode("utf-8", "replace") if isinstance(text, bytes) else text).split())[:300]


# Logger: the filter of its records.
LOG_FILTERS = {name: functools.partial(_say_instead, table) for name, table in _SAID_INSTEAD.items()}
LOG_FILTERS["theano.gpuarray"] = say_why_unused
