"""A compiler that fails: reported in one line, and then everything runs in Python. It is tried once before the first
thing is compiled in a new cache, and again when a compilation has failed: the error may be that of the code."""

import errno
import io
import logging
import os
import sys
import threading

from sparse_ae.theano_compat import compilers
from sparse_ae.theano_compat.patches import once_run

_PROBE = "#include <Python.h>\nextern \"C\" PyObject *probe(void) { return PyLong_FromLong(1); }\n"

# Why the compiler isn't used, once it is found out.
_reasons = []


def why_unusable():
    """Say why the compiler was found unusable, and the way out; None where it wasn't."""
    return _reasons[0] if _reasons else None


def find_usable():
    """Tell whether Theano's compiler can make modules for Python; if not, report it, and use none from then on."""
    import theano
    if not theano.config.cxx:
        return False
    said = _said_by_compiler()
    if said is None:
        return True
    reason = compilers.NO_HEADERS.format(folder=compilers.python_headers()[0]) if "Python.h" in said else (
        compilers.NO_USE.format(cxx=theano.config.cxx, said=said, way_out=compilers.way_out(said)))
    _reasons[:] = [reason]
    logging.getLogger("theano.configdefaults").warning(reason)
    theano.config.cxx = ""
    if theano.config.linker.startswith("c"):
        theano.config.linker = "vm"
    return False


def _said_by_compiler():
    """The first line of the error of Theano's compiler for a small module; None if it compiles."""
    from theano.gof import cmodule
    flags = [cmodule.get_gcc_shared_library_arg(), "-fPIC"]
    flags += ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    flags += ["-I" + compilers.include_folder(), "-I" + compilers.include_folder(plat_specific=True)]
    flags += ["-L" + each for each in cmodule.std_lib_dirs()] + ["-l" + each for each in cmodule.std_libs()]
    works, *said = cmodule.GCC_compiler.try_compile_tmp(_PROBE, flags=flags, output=True, comp_args=False)
    if works:
        return None
    lines = [line for text in said if text for line in (
        text.decode("utf-8", "replace") if isinstance(text, bytes) else text).splitlines()]
    lines = [line.strip() for line in lines if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or ["it gave no reason"]
    return telling[0][:200]


def _check_resources(said, location):
    """Raise OSError if a compiler's error is for lack of space, with one of the files, or of memory."""
    if compilers.NO_SPACE in said:
        raise OSError(errno.ENOSPC, compilers.NO_SPACE, compilers.file_without_space(said) or location)
    if compilers.was_killed(said):
        raise OSError(errno.ENOMEM, "the C++ compiler was killed, probably for lack of memory: free some, or compile "
                                    "on a machine with more and copy Theano's cache")


@once_run("theano.gof.cmodule")
def _mend_compiler(module):
    """gof/cmodule.py:2410 prints pages and raises a bare Exception. NotImplementedError has an Op run in Python
    (gof/op.py:955), and FileNotFoundError, of a cache that has been deleted, has it tried once more."""
    compiler, held = module.GCC_compiler, {}  # by thread
    first_try = compiler.compile_str

    def print_(*values, **keywords):
        if threading.get_ident() in held:
            keywords.setdefault("file", held[threading.get_ident()])
        print(*values, **keywords)

    def compile_str(module_name, src_code, location=None, *arguments, **keywords):
        held[threading.get_ident()] = said = io.StringIO()
        try:
            return first_try(module_name, src_code, location, *arguments, **keywords)
        except Exception as error:
            if location is not None and not os.path.isdir(location):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location) from error
            of_compiler = type(error) is Exception or isinstance(error, OSError)
            if of_compiler and not find_usable():
                raise NotImplementedError(why_unusable()) from error
            if type(error) is Exception:
                _check_resources(str(error), location)
            sys.stdout.write(said.getvalue())
            raise
        finally:
            del held[threading.get_ident()]

    module.print = print_
    compiler.compile_str = staticmethod(compile_str)
