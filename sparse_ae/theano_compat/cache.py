"""Patches for Theano's cache of compiled code: what is torn, deleted, compiled again for nothing or shared. A shared
object that ends too early is found before it is loaded: touching a page that isn't there kills the process."""

import contextlib
import errno
import functools
import glob
import importlib
import os
import shutil
import struct
import sys
import zlib

from sparse_ae.theano_compat import failing
from sparse_ae.theano_compat.patches import once_run
from sparse_ae.theano_compat.stand_ins import rewrite, rewritten_once_run

#: Modules of Theano's that compile an extension, if need be, and import it: its name.
EXTENSIONS = {"theano.gof.cutils": "cutils_ext", "theano.gof.lazylinker_c": "lazylinker_ext"}
# Extensions that were compiled in this process: its compiler can.
_MADE = []
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
# What glibc says of a shared object that is damaged, or gone.
_UNLOADABLE = ("invalid ELF header", "file too short", "cannot open shared object")


def is_whole(path):
    """Whether a shared object is ELF, on Linux, and as long as its header says, where that is of 64 bits; elsewhere not
    empty."""
    length = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if not head.startswith(b"\x7fELF"):
            return bool(head) and not sys.platform.startswith("linux") and not b"\x7fELF".startswith(head)
        if len(head) < 64 or head[4] != 2:
            return len(head) == 64
        order = "<" if head[5] == 1 else ">"
        (segments, sections), sizes = struct.unpack_from(order + "QQ", head, 0x20), struct.unpack_from(
            order + "HHHH", head, 0x36)
        if max(segments + sizes[0] * sizes[1], sections + sizes[2] * sizes[3]) > length:
            return False
        file.seek(segments)
        for _ in range(sizes[1]):
            segment = file.read(sizes[0])
            if sum(struct.unpack_from(order + "Q16xQ", segment, 8)) > length:  # where it begins, and how long it is
                return False
    return True


@contextlib.contextmanager
def entry_loaded(path):
    """A context of loading a shared object: FileNotFoundError, and no entry of the cache any more, where that of an
    entry is torn or damaged."""
    is_torn, folder = os.path.exists(path) and not is_whole(path), os.path.dirname(path)
    try:
        if is_torn:
            raise ImportError("it was torn")
        yield
    except ImportError as error:
        is_new = not os.path.exists(os.path.join(folder, "key.pkl"))
        if not is_torn and (is_new or not _cannot_be_loaded(error)):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise FileNotFoundError("%s can't be loaded: %s" % (path, error)) from error


def _cannot_be_loaded(error):
    return isinstance(error, ImportError) and any(words in str(error) for words in _UNLOADABLE)


@contextlib.contextmanager
def cache_writable(folder):
    """A context of writing to the cache: if the disk refuses, the error says whose folder it is, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        way_out, file = "THEANO_FLAGS=base_compiledir=FOLDER", str(error.filename or folder)
        if not file.startswith(folder):  # the compiler's own files
            folder, way_out = os.path.dirname(file), "TMPDIR=FOLDER"
        raise type(error)(error.errno, "%s: Theano can't write compiled code to %s; free some space there or allow "
                                       "writing, or name another folder by %s"
                          % (os.strerror(error.errno), folder, way_out)) from error


def run_extension(name, run, module):
    """Have Python `run` a module that compiles Theano's extension `name` and imports it; a torn one, which
    gof/lazylinker_c.py:72 takes for compiled, is removed first. No OSError: gof/vm.py:683 takes it for no compiler."""
    import theano
    path, folder = list(sys.path), os.path.join(theano.config.compiledir, name)
    for last in (False, True):
        if _is_torn(folder):
            from theano.gof.compilelock import get_lock, release_lock
            get_lock()
            try:
                if _is_torn(folder):  # it isn't being written
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                release_lock()
        missing = not _objects(folder)
        if missing and not _MADE and not failing.find_usable():
            raise ImportError("%s can't be compiled here" % name, name=name)
        try:
            with cache_writable(theano.config.compiledir):
                run(module)
            _MADE.extend([name] if missing else [])
            return
        except Exception as error:
            if not last and _cannot_be_loaded(error):
                shutil.rmtree(folder, ignore_errors=True)
            of_import = isinstance(error, (AssertionError, ImportError, FileNotFoundError))
            if not of_import or _objects(folder):  # nothing was deleted
                if isinstance(error, OSError):
                    raise RuntimeError(str(error)) from error
                raise
            if last:
                raise RuntimeError("Theano's cache of compiled code, %s, was deleted while it was in use; don't delete "
                                   "it while programs start, or name another folder by "
                                   "THEANO_FLAGS=base_compiledir=FOLDER" % folder) from error
            sys.path[:] = path
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]
            importlib.invalidate_caches()
            os.makedirs(theano.config.compiledir, exist_ok=True)


def _objects(folder):
    """The shared objects in a folder, if there is one."""
    return glob.glob(os.path.join(glob.escape(folder), "*.so"))


def _is_torn(folder):
    objects, version = _objects(folder), os.path.join(folder, "__init__.py")
    said = os.path.isfile(version) and os.path.getsize(version) > 0
    return not objects and said or not all(map(is_whole, objects))


@once_run("theano.gof.cmodule")
def _mend_module_cache(module):
    """gof/cmodule.py:540 writes key.pkl over itself, and who reads half of it deletes the entry (832) of another: it is
    written in one step, and where an entry is gone or torn (516, 937) the cache is read afresh, and tried again."""
    cache_class, load = module.ModuleCache, module.dlimport

    @functools.wraps(load)
    def dlimport(fullpath, suffix=None):
        with entry_loaded(fullpath):
            return load(fullpath, suffix)

    def save_pkl(self):
        new = "%s.%d" % (self.key_pkl, os.getpid())
        try:
            with open(new, "wb") as file:
                module.pickle.dump(self, file, protocol=module.pickle.HIGHEST_PROTOCOL)
            os.replace(new, self.key_pkl)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.remove(new)
            if isinstance(error, module.pickle.PicklingError):
                module._logger.warning("Cache leak due to unpickle-able key data %s", self.keys)
            raise

    first_try = cache_class.module_from_key

    @functools.wraps(first_try)
    def module_from_key(self, *args, **kwargs):
        try:
            with cache_writable(self.dirname):
                return first_try(self, *args, **kwargs)
        except (AssertionError, EOFError, FileNotFoundError, ModuleNotFoundError) as error:
            if _raised_by(error) not in (module.__name__, __name__, failing.__name__):
                raise
        module._logger.warning("an entry of the cache of compiled code in %s was broken; compiling once more",
                               self.dirname)
        os.makedirs(self.dirname, exist_ok=True)
        for known in ("module_from_name", "entry_from_key", "module_hash_to_key_data", "similar_keys"):
            setattr(self, known, {})  # __init__ begins with the instance's attributes, if there is one
        self.__init__(self.dirname, self.check_for_broken_eq, do_refresh=False)
        self.refresh(cleanup=False)
        with cache_writable(self.dirname):
            return first_try(self, *args, **kwargs)

    # At line 1008 an entry leaves that has been deleted.
    rewrite(cache_class, "refresh", (".loaded_key_pkl.remove(", ".loaded_key_pkl.discard("))
    module.dlimport = dlimport
    module.KeyData.save_pkl = save_pkl
    cache_class.module_from_key = module_from_key


def _raised_by(error):
    """The name of the module that an error was raised in."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__")


# gof/compilelock.py:38 keeps its lock after an error.
rewritten_once_run("theano.gof.compilelock", "lock_ctx", (
    "    yield\n", "    try:\n        yield\n    except BaseException:\n        release_lock()\n        raise\n"))

# gof/cmodule.py:1473 raises an error, whenever a process ends, if one that was killed has left several shared objects
# in a folder. Like others without a key it is removed when it is a week old. A plain file is left alone.
rewritten_once_run("theano.gof.cmodule", "module_name_from_dir", ("len(names) == 0 and", "len(names) != 1 and"))
rewritten_once_run("theano.gof.cmodule", "ModuleCache.clear_unversioned", (
    "if filename.startswith('tmp'):",
    "if filename.startswith('tmp') and os.path.isdir(os.path.join(self.dirname, filename)):"))

# gof/cc.py:1454 takes an Op's empty __props__ for a missing version: each process compiles such an Op again, as
# AdvancedSubtensor1 and Alloc, and many an Op that users write.
rewritten_once_run("theano.gof.cc", "CLinker.cmodule_key_", (
    "hasattr(node.op, '__props__')", "getattr(node.op, '__props__', ())"))


@once_run("theano.gof.op")
def _mend_version_of_c_files(module):
    """gof/op.py:1425 takes hash() of an Op's C code for its version, which Python 3.3 made another in each process:
    each compiled DimShuffle, for one, anew, and the cache grew."""
    module.crc32 = zlib.crc32
    rewrite(module.COp, "c_code_cache_version",
            ("hash(tuple(self.func_codes))", "crc32(''.join(self.func_codes).encode())"))
