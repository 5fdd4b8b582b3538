"""C code compiled ahead: that of several Ops at once, and while Theano is still at work on the graph.

Theano has the compiler make a module for one Op, waits for it, and goes on to the next. `compile_ahead` starts the
compiler for our Ops of a graph, which take longest and are known before Theano rewrites it; `CompileAhead`, the last
rewrite, starts it for all other pieces of C. When Theano comes to one of them it takes the module that has been made,
and files it in its cache. It compiles as ever a piece that wasn't begun, for whatever reason.

Two thirds of the time that a piece of Theano's takes to compile is for the standard headers. Where there are more
pieces than processors, several are therefore made one text, each in a namespace of its own; see `_joined`. The library
that is made of it has the modules of all, and each gets a copy.
"""
import atexit
import contextlib
import functools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import OrderedDict

from sparse_ae.runtime.device import on_gpu
from sparse_ae.runtime.processors import processors
import theano
from theano import gof
from theano.gof import cmodule
from theano.gof.cc import CLinker, get_module_cache

#: Options by which the compiler reads standard headers in three quarters of the time, and writes nothing for a
#: debugger. The code that it makes is the same. Theano's Ops, and ours, are in the C++ of 2011, or before.
QUICK = ["-std=gnu++11", "-g0"]

_BEGUN = {}  # source code -> the compiler's process, the folder that it works in


def _taking_what_is_begun(compile_str):
    """Theano's `GCC_compiler.compile_str`, but that it takes a module which has been begun."""
    @functools.wraps(compile_str)
    def taking(module_name, src_code, location=None, *arguments, **keywords):
        if src_code in _BEGUN:
            process, folder = _BEGUN[src_code]
            made = process.wait() == 0
            del _BEGUN[src_code]
            library = os.path.join(location, _library(module_name))
            try:
                if made:
                    shutil.copyfile(os.path.join(folder, _library("mod")), library)
            finally:
                if all(folder != other for _, other in _BEGUN.values()):
                    shutil.rmtree(folder, ignore_errors=True)
            if made:
                with open(os.path.join(location, "mod.cpp"), "w") as file:
                    file.write(src_code)
                open(os.path.join(location, "__init__.py"), "w").close()
                return cmodule.dlimport(library)
        return compile_str(module_name, src_code, location, *arguments, **keywords)

    return taking


# An Op may name a compiler of its own, but Theano's Ops would have to be marked for it, and a mark stays for good: in
# the process's other functions, in pickles of graphs, and in the keys of Theano's cache.
cmodule.GCC_compiler.compile_str = staticmethod(_taking_what_is_begun(cmodule.GCC_compiler.compile_str))


def compile_ahead(*variables):
    """Start the compiler for our Ops of a graph that is about to be compiled, but for those in Theano's cache."""
    if is_worthwhile():
        graph = gof.FunctionGraph(gof.graph.inputs(variables), list(variables))
        # As Theano will: an Op's code is another where two of its inputs are one.
        gof.MergeOptimizer().optimize(graph)
        _begin_all(ours(graph), max(1, processors() - 1))  # Theano keeps one busy


class CompileAhead(gof.Optimizer):
    """Begins with all pieces of C that a graph is compiled to. It comes after all rewrites, and changes nothing."""

    def apply(self, fgraph):
        if is_worthwhile():
            _begin_all(fgraph.toposort(), processors())


def is_worthwhile():
    """Tell whether C code is begun ahead: by a function in C, on the CPU, in no process of multiprocessing's."""
    linker = theano.compile.mode.get_default_mode().linker
    in_c = isinstance(linker, gof.OpWiseCLinker) or getattr(linker, "c_thunks", False) is not False
    return (bool(theano.config.cxx) and in_c and not on_gpu() and os.name == "posix"
            and multiprocessing.current_process().name == "MainProcess")


def ours(graph):
    """The nodes of our Ops in a `FunctionGraph`, in-place twins where Theano will use them."""
    for node in graph.apply_nodes:
        if hasattr(node.op, "headers"):
            has_twin = getattr(node.op, "updated", None) and not node.op.inplace
            yield node.op.in_place().make_node(*node.inputs) if has_twin else node


def linker_of(node):
    """Theano's linker for a node, as Theano makes it."""
    node.op.prepare_node(node, storage_map=None, compute_map=None, impl="c")
    return CLinker().accept(gof.FunctionGraph(node.inputs, node.outputs))


def source_of(linker):
    """Give the source code that Theano has the compiler make a module of."""
    return linker.get_dynamic_module().code()


def _begin_all(nodes, most):
    """Start at most `most` compilers for code that isn't being compiled and isn't in Theano's cache."""
    cache, found = get_module_cache(), OrderedDict()
    for node in nodes:
        try:
            linker = linker_of(node)
            key = linker.cmodule_key()
            if hasattr(node.op, "c_compiler") or not key or not key[0] or key in cache.entry_from_key:
                continue
            source = source_of(linker)
        except Exception:  # without C code: Theano will find that out, too, and run it in Python
            continue
        # Ops of other settings can have the same code.
        if source not in _BEGUN and cmodule.get_module_hash(source, key) not in cache.module_hash_to_key_data:
            found[source] = linker
    for group in _groups(found, most):
        _begin(group)


def _groups(found, most):
    """Divide linkers by source code among at most `most` dicts: those that can't be joined by themselves, the longest
    first."""
    kinds = OrderedDict()
    for source in sorted(found, key=len, reverse=True):
        alone = not _can_be_joined(source, found[source])
        kinds.setdefault(source if alone else repr(_options(found[source])), []).append(source)
    groups = []
    for sources in kinds.values():
        n = min(len(sources), -(-most * len(sources) // len(found)))
        groups += [OrderedDict((source, found[source]) for source in sources[i::n]) for i in range(n)]
    return groups


def _is_of(packages, linker):
    return all(type(node.op).__module__.split(".")[0] in packages for node in linker.fgraph.apply_nodes)


def _can_be_joined(source, linker):
    # A C name is the same in all namespaces.
    return _is_of(("theano", "sparse_ae"), linker) and 'extern "C"' not in source


def _joined(sources):
    """One text of several modules: headers first, each module in a namespace, its macros undefined after it."""
    if len(sources) == 1:
        return sources[0]
    headers, modules = OrderedDict(), []
    for i, source in enumerate(sources):
        before = re.match(r"(?:#include .*\n)*", source).group()
        body = source[len(before):]
        headers.update((line.strip(), None) for line in before.splitlines())
        # Some of those within are conditional.
        headers.update(("#if __has_include(%s)\n#include %s\n#endif" % (name, name), None)
                       for name in re.findall(r"^[ \t]*#[ \t]*include[ \t]*(<.*>)", body, re.MULTILINE))
        modules += ["namespace module_%d {" % i, body, "}"]
        modules += ["#undef " + name for name in re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", body, re.MULTILINE)]
    return "\n".join(list(headers) + modules) + "\n"


def _options(linker):
    """The compiler's options for a module, as `GCC_compiler.compile_str` gives them: before its file, and after it."""
    before = list(QUICK) if _is_of(("theano",), linker) else []  # first: the user's, gcc.cxxflags, prevail
    before += [x for x in linker.compile_args() if not (theano.config.cmodule.remove_gxx_opt and x.startswith("-O"))]
    before += ["-I" + x for x in linker.header_dirs() + cmodule.std_include_dirs() if x]
    before += ["-L" + x for x in linker.lib_dirs() + cmodule.std_lib_dirs() if x]
    return before, ["-l" + x for x in linker.libraries() + cmodule.std_libs()]


def _begin(group):
    """Start the compiler for a group, silently: if it fails, Theano reports it."""
    folder = None
    try:
        folder = tempfile.mkdtemp(dir=theano.config.compiledir)
        path = os.path.join(folder, "mod.cpp")
        with open(path, "w") as file:
            file.write(_joined(list(group)))
        before, after = _options(next(iter(group.values())))
        command = [theano.config.cxx, cmodule.get_gcc_shared_library_arg(), "-g"] + before + [
            "-fvisibility=hidden", "-o", os.path.join(folder, _library("mod")), path] + after
        # In a session of its own: Ctrl-C is for this process.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
    except OSError:  # a full disk, no more processes: Theano will meet it too, or not any more
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        return
    _BEGUN.update((source, (process, folder)) for source in group)


def _library(module_name):
    return "%s.%s" % (module_name, cmodule.get_lib_extension())


@atexit.register
def _end():
    """End compilations that weren't asked for."""
    while _BEGUN:
        process, folder = _BEGUN.popitem()[1]  # of several sources, perhaps
        if process.poll() is None:
            # All of its session: what is killed itself leaves the part that works for it, and files in the system's
            # folder for temporary ones.
            with contextlib.suppress(OSError):  # it has just ended
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_BEGUN.clear)  # the processes are the parent's
