"""Where files of ratings come from: paths, open files and zip archives. All are files on disk while they are read."""
import contextlib
import os
import tempfile
import zipfile
from functools import partial
from pathlib import Path, PurePosixPath

from sparse_ae.checks import check_path
from sparse_ae.data.names import column_names, listed
from sparse_ae.data.readers.lines import PACKED, ending, unpacked_name
from sparse_ae.files.unpacking import check_archive, check_regular, one_error
from sparse_ae.runtime.progress import showing

# Endings of files of ratings, and names of files beside them in published archives.
_ENDINGS = (".csv", ".tsv", ".dat", ".data", ".inter", ".npz", ".mtx", ".parquet", ".feather", ".json", ".jsonl")
_NO_RATINGS = ("movies.dat", "users.dat", "tags.dat", "movies.csv", "users.csv", "tags.csv", "links.csv",
               "genome-scores.csv", "genome-tags.csv", "jester_items.dat")

_OF_MATLAB = (
    "{path} is a file of MATLAB, which isn't read. In Python, read its variable X by SciPy: "
    "sparse_ae.as_ratings(scipy.io.loadmat('{path}')['X']); or, of version 7.3, by h5py: "
    "sparse_ae.as_ratings(scipy.sparse.csc_matrix(tuple(h5py.File('{path}')['X'][name][()] for name in "
    "('data', 'ir', 'jc')))). For a command, write the matrix to a file: scipy.sparse.save_npz('ratings.npz', matrix)")


def check_file(path):
    """OSError or ValueError for a path that leads to no file, to one without a byte, or to one of MATLAB."""
    if path.is_dir():
        raise IsADirectoryError("%s is a folder; expected a file of ratings: name one of the files in it" % path)
    if not path.exists():
        raise FileNotFoundError("there is no file %s; check the path (relative to %s)" % (path, Path.cwd()))
    check_regular(path)
    if path.stat().st_size == 0:
        raise ValueError("%s is empty; expected ratings" % path)
    if path.suffix.lower() in (".xls", ".xlsx", ".ods"):
        raise ValueError("%s is a spreadsheet, which isn't read; save it as CSV, or in Python pass the table of "
                         "pandas.read_excel(%r)" % (path, str(path)))
    if path.suffix.lower() == ".mat":
        raise ValueError(_OF_MATLAB.format(path=path))


@contextlib.contextmanager
def on_disk(source, name="path"):
    """The path of a file of ratings, of the one in a zip archive, or of a copy of an open file."""
    if callable(getattr(source, "read", None)):
        content = source.read()
        if not isinstance(content, (bytes, bytearray, str)):
            raise TypeError("%s is %.60r, whose read() returns %.60r; expected the path of a file, or an open file"
                            % (name, source, content))
        file_name = Path(str(getattr(source, "name", ""))).name or "ratings"
        if isinstance(content, str) or type(source).__module__ in PACKED.values():
            file_name = unpacked_name(file_name)
        with _folder(file_name, "") as folder:
            Path(folder, file_name).write_bytes(content.encode() if isinstance(content, str) else content)
            with on_disk(Path(folder, file_name)) as path:
                yield path
        return
    if column_names(source) is not None:
        raise TypeError("%s is a table, %s; expected the path of a file, or an open file: pass the table to fit, or to "
                        "as_ratings" % (name, type(source).__name__))
    path = Path(check_path(source, name, "the path of a file, or an open file"))
    check_file(path)
    if path.suffix.lower() == ".zip":
        with unpacked(path, lambda names: [choose_table(names, path)]) as (found,):
            yield found
    else:
        yield path


@contextlib.contextmanager
def unpacked(path, choose, home="from its source"):
    """The paths of some members of a zip archive, as `choose` picks them from all names (None stays None)."""
    with _folder(path, str(path) + os.sep) as folder:
        explained = partial(one_error, path, "a sound zip archive: download it again %s" % home)
        with explained():
            archive = zipfile.ZipFile(str(path))
        with archive:
            chosen = choose(archive.namelist())
            check_archive(path, archive, chosen)
            with explained():
                files = [member and Path(archive.extract(member, folder)) for member in chosen]
        yield files


@contextlib.contextmanager
def _folder(path, shown):
    """A temporary folder, which is `shown` in errors and on stderr: the user has what was copied to it."""
    with tempfile.TemporaryDirectory(prefix="sparse_ae-") as folder, showing(folder + os.sep, shown):
        try:
            yield folder
        except (TypeError, ValueError, FileNotFoundError, ImportError) as error:
            kinds = (kind for kind in (TypeError, FileNotFoundError, ImportError) if isinstance(error, kind))
            raise next(kinds, ValueError)(str(error).replace(folder + os.sep, shown)) from error


def choose_table(entries, where, wanted="ratings.csv", folder="", label="a data set"):
    """The file of ratings among '/'-separated names: of the `wanted` name, else of a known ending; in a folder whose
    name begins so, else the highest one. Errors for none, and for several."""
    entries = [PurePosixPath(entry) for entry in entries if not entry.endswith("/")]
    entries = [entry for entry in entries if not any(part.startswith((".", "__MACOSX")) for part in entry.parts)]
    found = ([entry for entry in entries if entry.name == wanted]
             or [entry for entry in entries if ending(entry) in _ENDINGS and entry.name not in _NO_RATINGS]
             or [entry for entry in entries if ending(entry) == ".txt"])
    if not found:
        raise FileNotFoundError("%s holds no ratings file: expected %s, or one file ending in %s. It holds: %s."
                                % (where, wanted, ", ".join(_ENDINGS), listed(sorted(map(str, entries))) or "nothing"))
    depths = [(not entry.parent.name.lower().startswith(folder), len(entry.parts)) for entry in found]
    best = [entry for entry, depth in zip(found, depths) if depth == min(depths)]
    if len(best) > 1:
        raise ValueError("%s holds several files that may be the ratings of %s: %s. Pass one of them as path (unpack "
                         "an archive first)." % (where, label, listed(sorted(map(str, best)))))
    return str(best[0])
