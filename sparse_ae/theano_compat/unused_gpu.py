"""Why a GPU that was asked for can't be used, in one line, where Theano logs 13 of a traceback."""
import importlib
import re


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
