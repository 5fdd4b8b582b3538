"""Compilation of all C code of a graph at once, in several processes: docs/develop/compiling.md."""
import contextlib
import functools
import multiprocessing
import os
import re
import signal
import subprocess
import tempfile
from collections import OrderedDict
from pathlib import Path

from sparse_ae.runtime.processors import processors
import theano
from theano import gof
from theano.gof import cmodule
from theano.gof.cc import CLinker, get_module_cache

#: Options with which the compiler makes the same code, but reads standard headers in three quarters of the time, and
#: writes no debugging information. Theano's Ops and ours are C++14 or older.
QUICK = ["-std=gnu++14", "-g0"]

_MADE = {}  # source code -> its compiled library, as bytes
_WITH_NEXT = []  # nodes of other graphs, to compile with the next one


def _using_made(compile_str):
    """Theano's `GCC_compiler.compile_str`, which uses the library in `_MADE` if there is one."""
    @functools.wraps(compile_str)
    def compile_or_use(module_name, src_code, location=None, *arguments, **keywords):
        library = _MADE.pop(src_code, None)
        if library is None:
            return compile_str(module_name, src_code, location, *arguments, **keywords)
        path = Path(location, "%s.%s" % (module_name, cmodule.get_lib_extension()))
        for name, content in ((path, library), ("mod.cpp", src_code.encode()), ("__init__.py", b"")):
            Path(location, name).write_bytes(content)
        return cmodule.dlimport(str(path))

    return compile_or_use


# An Op may name its own compiler, but then Theano's Ops would have to be marked, and the mark would stay: in other
# functions of the process, in pickles of graphs, and in the keys of Theano's cache.
cmodule.GCC_compiler.compile_str = staticmethod(_using_made(cmodule.GCC_compiler.compile_str))


@contextlib.contextmanager
def compiled_together(*variables):
    """A context in which a function is compiled together with the Ops of this package in another graph."""
    _WITH_NEXT[:] = [node for node in gof.graph.list_of_nodes(gof.graph.inputs(variables), variables)
                     if hasattr(node.op, "headers")]
    try:
        yield
    finally:
        del _WITH_NEXT[:]


@gof.optimizer
def compile_ahead(fgraph):
    """Compile all C code of a graph, after all rewrites: outside processes of multiprocessing."""
    if runs_in_c() and os.name == "posix" and multiprocessing.current_process().name == "MainProcess":
        with contextlib.suppress(OSError):  # a full disk, no more processes: Theano reports it if it lasts
            _make(_groups(_missing(fgraph.toposort() + _WITH_NEXT)))


def runs_in_c():
    """Tell whether functions run in C by default: there is a compiler, and Theano's linker asks for it."""
    linker = theano.compile.mode.get_default_mode().linker
    return bool(theano.config.cxx) and (isinstance(linker, gof.OpWiseCLinker)
                                        or getattr(linker, "c_thunks", False) is not False)


def _missing(nodes):
    """Map each source code that isn't in Theano's cache to the linker that Theano will use."""
    cache, found = get_module_cache(), OrderedDict()
    for node in nodes:
        try:
            node.op.prepare_node(node, storage_map=None, compute_map=None, impl="c")
            linker = CLinker().accept(gof.FunctionGraph(node.inputs, node.outputs))
            key = linker.cmodule_key()
            if hasattr(node.op, "c_compiler") or not key or not key[0] or key in cache.entry_from_key:
                continue
            source = linker.get_dynamic_module().code()
        except Exception:  # without C code: Theano finds that out too, and runs it in Python
            continue
        # Ops with different settings can have the same code.
        if source not in _MADE and cmodule.get_module_hash(source, key) not in cache.module_hash_to_key_data:
            found[source] = linker
    return found


def _groups(found):
    """Pairs of the compiler's options and a list of sources, the longest first. Each list has one set of options; a
    source that can't be joined is alone."""
    kinds = OrderedDict()
    for source in sorted(found, key=len, reverse=True):
        options = _options(found[source])
        kind = repr(options) if _can_be_joined(source, found[source]) else source
        kinds.setdefault(kind, (options, []))[1].append(source)
    n = processors()
    return [(options, sources[i::n]) for options, sources in kinds.values() for i in range(min(n, len(sources)))]


def _is_of(packages, linker):
    return all(type(node.op).__module__.split(".")[0] in packages for node in linker.fgraph.apply_nodes)


def _can_be_joined(source, linker):
    # A C name is one name in all namespaces.
    return _is_of(("theano", "sparse_ae"), linker) and 'extern "C"' not in source


def _joined(sources):
    """One source of several modules: headers first, then each module in a namespace, and its macros undefined."""
    if len(sources) == 1:
        return sources[0]
    headers, modules = OrderedDict(), []
    for i, source in enumerate(sources):
        before = re.match(r"(?:#include .*\n)*", source).group()
        body = source[len(before):]
        headers.update((line.strip(), None) for line in before.splitlines())
        # Headers that a module includes further down can be conditional.
        headers.update(("#if __has_include(%s)\n#include %s\n#endif" % (name, name), None)
                       for name in re.findall(r"^[ \t]*#[ \t]*include[ \t]*(<.*>)", body, re.MULTILINE))
        modules += ["namespace module_%d {" % i, body, "}"]
        modules += ["#undef " + name for name in re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", body, re.MULTILINE)]
    return "\n".join(list(headers) + modules) + "\n"


def _options(linker):
    """The compiler's options before and after a module's file, as `GCC_compiler.compile_str` gives them."""
    before = list(QUICK) if _is_of(("theano",), linker) else []  # first, so that the user's gcc.cxxflags prevail
    before += [x for x in linker.compile_args() if not (theano.config.cmodule.remove_gxx_opt and x.startswith("-O"))]
    before += ["-I" + x for x in linker.header_dirs() + cmodule.std_include_dirs() if x]
    before += ["-L" + x for x in linker.lib_dirs() + cmodule.std_lib_dirs() if x]
    return before, ["-l" + x for x in linker.libraries() + cmodule.std_libs()]


def _make(groups):
    """Compile a library for each group, silently: Theano reports what fails."""
    with tempfile.TemporaryDirectory(dir=theano.config.compiledir) as folder:
        begun = []
        for i, ((before, after), sources) in enumerate(groups):
            path = os.path.join(folder, "%d.cpp" % i)
            Path(path).write_text(_joined(sources))
            command = [theano.config.cxx, cmodule.get_gcc_shared_library_arg(), "-g"] + before + [
                "-fvisibility=hidden", "-o", path + ".library", path] + after
            # In a session of its own, since Linux divides a busy machine among sessions. A library has another suffix
            # than a module's: Theano refuses a folder with two of those, and a killed process leaves them.
            begun.append((sources, path + ".library", subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True)))
        try:
            for sources, path, process in begun:
                if not process.wait():
                    _MADE.update(dict.fromkeys(sources, Path(path).read_bytes()))
        except KeyboardInterrupt:
            for _, _, process in begun:
                with contextlib.suppress(OSError):  # it has ended
                    os.killpg(process.pid, signal.SIGTERM)
            raise
