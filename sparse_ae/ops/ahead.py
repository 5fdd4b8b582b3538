"""C code compiled ahead: that of all of a graph's Ops at once, and while Theano is still at work on the graph.

Theano has the compiler make a module for one Op, waits for it, and goes on to the next. `compile_ahead` has the
compiler begin with what will be asked for, as many modules at a time as there are cores. Theano takes them when it
comes to those Ops, and files them in its cache as if they had been compiled just then.

Ours are the Ops that take longest, and the only ones for which this can be done by means that Theano offers: an Op may
have a compiler of its own.
"""
import atexit
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor

import theano
from theano import gof
from theano.gof.cc import CLinker, get_module_cache
from theano.gof.cmodule import GCC_compiler, dlimport, get_lib_extension

__all__ = ["AheadCompiler", "compile_ahead", "sources"]

_BEGUN = {}  # source code -> a future, of the folder that its library is in
_THREADS = []  # the executor, once there is one


class AheadCompiler(GCC_compiler):
    """Theano's compiler, of which `compile_str` takes what `compile_ahead` has begun."""

    @staticmethod
    def compile_str(module_name, src_code, location=None, **keywords):
        begun = _BEGUN.pop(src_code, None)
        try:
            folder = begun.result() if begun else None
        except Exception:  # once more, for Theano to say what is wrong; and Ctrl-C stops compilers too
            folder = None
        if folder is None:
            return GCC_compiler.compile_str(module_name, src_code, location, **keywords)
        for name in os.listdir(folder):
            shutil.move(os.path.join(folder, name), os.path.join(location, name))
        os.rmdir(folder)
        open(os.path.join(location, "__init__.py"), "w").close()
        return dlimport(os.path.join(location, "%s.%s" % (module_name, get_lib_extension())))


def compile_ahead(*variables):
    """Has the compiler begin with the Ops that compute the variables, but for those that are in Theano's cache."""
    graph = gof.FunctionGraph(gof.graph.inputs(variables), list(variables))
    # As Theano will: an Op's code is another where two of its inputs are one.
    gof.MergeOptimizer().optimize(graph)
    _begin_all(graph)


def _begin_all(graph):
    if not theano.config.cxx:
        return
    linkers = {source: linker for source, linker in sources(graph)
               if source not in _BEGUN and linker.cmodule_key() not in get_module_cache().entry_from_key}
    for source in sorted(linkers, key=len, reverse=True):  # the longest first
        _BEGUN[source] = _begin(source, linkers[source])


def sources(graph):
    """The source code of each Op of a FunctionGraph that can be begun with, and Theano's linker, which knows the rest.
    """
    for node in graph.apply_nodes:
        if hasattr(node.op, "c_compiler") and node.op.c_compiler() is AheadCompiler:
            if getattr(node.op, "updated", None) and not node.op.inplace:  # it will be its twin that works in place
                node = node.op.in_place().make_node(*node.inputs)
            linker = CLinker().accept(gof.FunctionGraph(node.inputs, node.outputs))
            yield linker.get_dynamic_module().code(), linker


def _begin(source, linker):
    if not _THREADS:
        # One more than there are cores: what is begun first may be what is asked for last.
        _THREADS.append(ThreadPoolExecutor(_usable_cores() + 1))
    return _THREADS[0].submit(
        _compile, linker.get_dynamic_module().code_hash, source, include_dirs=linker.header_dirs(),
        lib_dirs=linker.lib_dirs(), libs=linker.libraries(), preargs=linker.compile_args())


def _compile(module_name, source, **keywords):
    folder = tempfile.mkdtemp(prefix="sparse_ae_")
    try:
        GCC_compiler.compile_str(module_name, source, folder, py_module=False, **keywords)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@atexit.register
def _remove():
    """What nobody has asked for."""
    for begun in _BEGUN.values():
        if not begun.exception():
            shutil.rmtree(begun.result(), ignore_errors=True)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # A child has none of the threads, and the folders are its parent's.
    os.register_at_fork(after_in_child=lambda: (_BEGUN.clear(), _THREADS.clear()))


class CompileAhead(gof.Optimizer):
    """Changes nothing: begins with the Ops of a graph that is ready, before Theano's linker goes through them."""

    def apply(self, fgraph):
        _begin_all(fgraph)


# The last of all that is done to a graph.
theano.compile.optdb.register("sparse_ae_compile_ahead", CompileAhead(), 1000, "fast_run")
