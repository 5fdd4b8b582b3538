"""A compiler that fails: reported in one line, and then everything runs in Python.

Theano asks whether there is a g++, not whether it can make anything; the import then ends in its errors, and 71 lines
of a traceback. Here it is tried once, before the first thing of all is compiled in a new cache, and again when a
compilation has failed: the error may be that of the code.
"""

import errno
import io
import logging
import os
import subprocess
import sys
import tempfile
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
    said = _said_by(theano.config.cxx)
    if said is None:
        return True
    reason = compilers.NO_HEADERS.format(folder=compilers.python_headers()[0]) if "Python.h" in said else (
        compilers.NO_USE.format(cxx=theano.config.cxx, said=said))
    _reasons[:] = [reason]
    logging.getLogger("theano.configdefaults").warning(reason)
    theano.config.cxx = ""
    if theano.config.linker.startswith("c"):
        theano.config.linker = "vm"
    return False


def _said_by(cxx):
    """The first line of a compiler's error for a small module; None if it compiles."""
    from theano.gof import cmodule
    folders = [compilers.include_folder(), compilers.include_folder(plat_specific=True)]
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "mod.cpp")
        with open(source, "w") as file:
            file.write(_PROBE)
        command = [cxx, cmodule.get_gcc_shared_library_arg(), "-fPIC"]
        command += ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
        command += ["-I" + folder for folder in folders if folder]
        command += ["-o", os.path.join(work, "mod.so"), source] + ["-L" + each for each in cmodule.std_lib_dirs()]
        command += ["-l" + each for each in cmodule.std_libs()]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  universal_newlines=True, errors="replace")
        except OSError as error:
            return str(error)
        if done.returncode == 0:
            return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or ["status %d" % done.returncode]
    return telling[0][:200]


@once_run("theano.gof.cmodule")
def _mend_compiler(module):
    """gof/cmodule.py:2410 raises a bare Exception of pages, once more of them are printed, for whatever went wrong.

    Where the compiler is what is wrong, NotImplementedError is what has an Op run in Python (gof/op.py:955); where the
    folder of the cache has been deleted, FileNotFoundError is what has it tried once more.
    """
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
            sys.stdout.write(said.getvalue())
            raise
        finally:
            del held[threading.get_ident()]

    module.print = print_
    compiler.compile_str = staticmethod(compile_str)
