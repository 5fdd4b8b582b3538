"""C code compiled ahead: that of several Ops at once, and while Theano is still at work on the graph.

Theano has the compiler make a module for one Op, waits for it, and goes on to the next. `compile_ahead` starts the
compiler for all of a graph's Ops that it will be asked for. When Theano comes to one of them it takes what has been
made, and files it in its cache as if it had been compiled just then. Theano compiles as ever what wasn't made, for
whatever reason.

An Op may have a compiler of its own: by this means, which Theano offers, ours are taken from what was begun. They are
those that take longest, and are known before Theano has rewritten the graph. Once it has, in functions of
`mode.fast_mode` and `mode.ahead_mode`, all other pieces of C are begun too, one after another on as many processors as
there are; their Ops are told of the compiler.

Two thirds of the time that a piece of Theano's takes to compile is for the standard headers. Where there are more
pieces than processors, several are therefore made one text, each in a namespace of its own; see `_joined`. The library
that is made of it has the modules of all, and each gets a copy.
"""
import atexit
import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter, OrderedDict

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
_WAITING = []  # groups, source code -> Theano's linker: what is begun as soon as a processor is free
_is_first = [True]  # as the innermost `for_first_process` says


class AheadCompiler(cmodule.GCC_compiler):
    """Theano's compiler, of which `compile_str` takes what `compile_ahead` has begun."""

    @staticmethod
    def compile_str(module_name, src_code, location=None, **keywords):
        for group in [group for group in _WAITING if src_code in group]:  # sooner than its turn has come
            _WAITING.remove(group)
            _begin(group)
        _begin_what_waits()
        if src_code in _BEGUN:
            process, folder = _BEGUN[src_code]
            made = _status(process) == 0
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
        return cmodule.GCC_compiler.compile_str(module_name, src_code, location, **keywords)


@contextlib.contextmanager
def for_first_process(is_first):
    """Enter a context in which nothing is compiled ahead but by the first of the processes that build the same."""
    _is_first.append(is_first)
    try:
        yield
    finally:
        _is_first.pop()


def compile_ahead(*variables):
    """Start the compiler for our Ops that the variables are computed by, but for those that are in Theano's cache.

    Parameters
    ----------
    variables : Theano variables
        Of a graph that is about to be compiled in Theano's default mode. Of functions of other modes, and in other
        processes than the first, which would all do the same at once, nothing comes of it.
    """
    if not is_worthwhile():
        return
    graph = gof.FunctionGraph(gof.graph.inputs(variables), list(variables))
    # As Theano will: an Op's code is another where two of its inputs are one.
    gof.MergeOptimizer().optimize(graph)
    found, cache = {}, get_module_cache()
    for linker in linkers(graph):
        key = linker.cmodule_key()
        if key in cache.entry_from_key:  # as in every process but the first: no code is written then
            continue
        source = source_of(linker)
        # Ops of other settings can have the same code.
        if source not in _BEGUN and cmodule.get_module_hash(source, key) not in cache.module_hash_to_key_data:
            found[source] = linker
    for group in _groups(found, max(1, processors() - 1)):  # Theano keeps one busy
        _begin(group)
    _let_the_longest_go_first()


class CompileAhead(gof.Optimizer):
    """Begins with all pieces of C that a graph is compiled to. It comes after all rewrites, and changes nothing."""

    def apply(self, fgraph):
        if not is_worthwhile():
            return
        # Ours first: they take longest.
        cache, found = get_module_cache(), OrderedDict()
        order = sorted(fgraph.toposort(), key=lambda node: not _is_ours(node.op))
        for node in order:
            if hasattr(type(node.op), "c_compiler") and not _is_ours(node.op):
                continue
            try:
                node.op.prepare_node(node, storage_map=None, compute_map=None, impl="c")
                linker = CLinker().accept(gof.FunctionGraph(node.inputs, node.outputs))
                key = linker.cmodule_key()
                if not key or not key[0] or key in cache.entry_from_key:
                    continue
                source = source_of(linker)
            except Exception:  # it has no C: Theano will find that out, too, and run it in Python
                continue
            if cmodule.get_module_hash(source, key) in cache.module_hash_to_key_data:
                continue
            if not _is_ours(node.op):
                node.op.c_compiler = _ahead_compiler
            if source not in _BEGUN and not any(source in group for group in _WAITING):
                found[source] = linker
        _WAITING.extend(_groups(found, 2 * processors()))
        _begin_what_waits()


def _is_ours(op):
    return hasattr(type(op), "c_compiler") and op.c_compiler() is AheadCompiler


def _ahead_compiler():
    return AheadCompiler


def is_worthwhile():
    """Tell whether C code is begun ahead: by a function in C, on the CPU, in the first of several processes."""
    linker = theano.compile.mode.get_default_mode().linker
    in_c = isinstance(linker, gof.OpWiseCLinker) or getattr(linker, "c_thunks", False) is not False
    return (_is_first[-1] and bool(theano.config.cxx) and in_c and not on_gpu() and os.name == "posix"
            and multiprocessing.current_process().name == "MainProcess")


def linkers(graph):
    """For each of our Ops in a graph Theano's linker, which knows what its compilation takes.

    Parameters
    ----------
    graph : theano.gof.FunctionGraph

    Yields
    ------
    theano.gof.cc.CLinker
    """
    for node in graph.apply_nodes:
        if _is_ours(node.op):
            if getattr(node.op, "updated", None) and not node.op.inplace:  # it will be its twin that works in place
                node = node.op.in_place().make_node(*node.inputs)
            yield CLinker().accept(gof.FunctionGraph(node.inputs, node.outputs))


def source_of(linker):
    """Give the source code that Theano has the compiler make a module of."""
    return linker.get_dynamic_module().code()


def _begin_what_waits():
    """Keep as many compilers running as there are processors for."""
    running = len({process for process, _ in _BEGUN.values() if process.poll() is None})
    while _WAITING and running <= processors():
        _begin(_WAITING.pop(0))
        running += 1


def _status(process):
    """Wait for a compiler's status. When another one ends in the meantime, the next begins."""
    while True:
        try:
            return process.wait(0.05)
        except subprocess.TimeoutExpired:
            _begin_what_waits()


def _groups(found, most):
    """Share sources out among some `most` compilations: those alone that can't be joined, all others with their like.

    Parameters
    ----------
    found : dict
        Linkers by source code.
    most : int

    Returns
    -------
    list of dict
        The longest sources first.
    """
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
    # A name of C is one in all namespaces.
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
        # Of those within, some stand under conditions.
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
    """Start the compiler for a group, without its words: should it fail, Theano will say so."""
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


def _let_the_longest_go_first():
    """Let the one that takes longest, which all wait for, go first: the others stand back.

    Not altogether: beside programs that keep all processors busy they have to get on, too.
    """
    lengths = Counter()
    for source, (process, _) in _BEGUN.items():
        if process.poll() is None:
            lengths[process] += len(source)
    lower = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    for process, _ in lengths.most_common()[1:]:
        with contextlib.suppress(OSError):  # one has just ended, or it isn't for this process to say
            os.setpriority(os.PRIO_PGRP, process.pid, lower)


def _library(module_name):
    return "%s.%s" % (module_name, cmodule.get_lib_extension())


@atexit.register
def _end():
    """End what nobody has asked for."""
    _WAITING.clear()
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
    # The processes are the parent's.
    os.register_at_fork(after_in_child=_BEGUN.clear)
    os.register_at_fork(after_in_child=_WAITING.clear)
