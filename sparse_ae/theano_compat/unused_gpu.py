"""Why a GPU that was asked for can't be used, in one line, where Theano logs 13 of a traceback.

Or the same words for whatever is missing: pygpu, libgpuarray or the driver.
"""
import importlib


def pygpu_fault():
    """The reason why pygpu can't be imported, with advice; None if it can."""
    try:
        importlib.import_module("pygpu")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "pygpu":
            return "pygpu isn't installed: conda install pygpu, which includes libgpuarray"
        if "libgpuarray" in str(error):
            return ("libgpuarray, which pygpu needs, isn't found (%s): install it, or name its folder by "
                    "LD_LIBRARY_PATH" % _line(error))
        return "pygpu can't be imported (%s): install 0.7.6 again, for this Python and this NumPy" % _line(error)
    except Exception as error:  # an extension of another NumPy may raise anything
        return "pygpu can't be imported (%s: %s): install 0.7.6 again, for this Python and this NumPy" % (
            type(error).__name__, _line(error))
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
    for library, driver in (("libcuda", "NVIDIA's driver"), ("nvcuda", "NVIDIA's driver"), ("libOpenCL", "OpenCL")):
        if library in said:
            return "%s isn't found (%s): install it" % (driver, said)
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
