"""A look for the C++ compiler and Python's headers that Theano needs, and words for where they are missing."""

import os
import re
import shutil
import sysconfig
import tempfile

#: Said where there is no compiler.
NO_COMPILER = (
    "no C++ compiler was found: everything runs in Python, tens to hundreds of times slower. To install one: "
    "apt install g++ python3-dev (Debian, Ubuntu), dnf install gcc-c++ python3-devel (Fedora), "
    "xcode-select --install (macOS)")
#: Said where Python's headers are missing, with their `folder`.
NO_HEADERS = (
    "Python.h was not found in {folder}: there is a C++ compiler, but everything runs in Python, tens to hundreds of "
    "times slower. To install it: apt install python3-dev (Debian, Ubuntu), dnf install python3-devel (Fedora), or the "
    "package with this Python's headers")
#: The message for a compiler, `cxx`, that compiles no module, with its output `said`, and the `way_out`.
NO_USE = (
    "{cxx} can't compile a module for Python ({said}): everything runs in Python, tens to hundreds of times slower. To "
    "fix it: {way_out}")
#: What compilers say of a full disk.
NO_SPACE = "No space left on device"


def any_compiler():
    """One of the C++ compilers that Theano looks for, by its path; None where none is installed."""
    return next(filter(None, map(shutil.which, ("g++", "clang++"))), None)


def none_found():
    """The message where Theano has found no compiler: there is none, or it fails."""
    cxx = any_compiler()
    return NO_COMPILER if cxx is None else NO_USE.format(
        cxx=cxx, said="%s -v fails" % os.path.basename(cxx), way_out=way_out(""))


def way_out(said):
    """What to do about a compiler that has said this of a small module."""
    if NO_SPACE in said:
        folder = os.path.dirname(file_without_space(said) or os.path.join(tempfile.gettempdir(), ""))
        return "free some space in %s, or name another folder by TMPDIR=FOLDER" % folder
    if was_killed(said):
        return "free some memory"
    return ("apt install g++ python3-dev (Debian, Ubuntu), dnf install gcc-c++ python3-devel (Fedora), or name another "
            "compiler by THEANO_FLAGS=cxx=COMPILER")


def file_without_space(said):
    """The file that a compiler says it couldn't write for lack of space; None without a name."""
    found = re.search(r"(/[^:'\"]*)['\"]?: " + NO_SPACE, said)
    return found and found.group(1)


def was_killed(said):
    """Whether an error is of a compiler that was killed, or had no memory."""
    return any(words in said for words in ("Killed", "status=-9", "out of memory", "virtual memory exhausted"))


def include_folder(plat_specific=False):
    """The folder in which this Python's headers belong; ``distutils.sysconfig.get_python_inc``, gone in Python 3.12."""
    folders = [sysconfig.get_path("platinclude" if plat_specific else "include"),
               sysconfig.get_config_var("CONFINCLUDEPY" if plat_specific else "INCLUDEPY")]
    there = [folder for folder in folders if folder and os.path.isfile(os.path.join(folder, "Python.h"))]
    return (there or folders)[0]


def python_headers():
    """The folder in which this Python's headers belong, and whether Python.h is there or in an include path."""
    folders = [include_folder(), include_folder(plat_specific=True)]
    of_users = [folder for name in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH")
                for folder in os.environ.get(name, "").split(os.pathsep) if folder]
    found = any(os.path.isfile(os.path.join(folder, "Python.h")) for folder in folders + of_users)
    return folders[0], found
