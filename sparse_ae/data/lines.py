"""Lines of text files, packed or not, in UTF-8 or Latin-1: read a block at a time, and counted."""
import codecs
import contextlib
import datetime
import gzip
import re
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sparse_ae.files.unpacking import check_regular, check_size, unpack_limit
from sparse_ae.runtime.progress import STDERR

#: In this order: a tab-separated field may have a comma, and any other a blank. None means any blanks.
DELIMITERS = (("::", "'::'"), ("\t", "tabs"), (",", "commas"), (";", "semicolons"), (None, "blanks"))

#: Advice for lines of different lengths.
AS_LISTS = "if each line is a user and the user's items, pass lists=True (--lists)"

#: Advice for lines without a rating.
AS_PAIRS = "if these are pairs of user and item without ratings, pass pairs=True (fit --objective clicks)"

_OF_MATLAB = (
    "{path} is a file of MATLAB, which isn't read. In Python, read its variable X by SciPy: "
    "sparse_ae.as_ratings(scipy.io.loadmat('{path}')['X']); or, of version 7.3, by h5py: "
    "sparse_ae.as_ratings(scipy.sparse.csc_matrix(tuple(h5py.File('{path}')['X'][name][()] for name in "
    "('data', 'ir', 'jc')))). For a command, write the matrix to a file: scipy.sparse.save_npz('ratings.npz', matrix)")

# Small enough for the temporary arrays of a block to stay in the processor's cache.
_BYTES_PER_BLOCK = 2 ** 20

#: The longest line, which has to be held as a whole; and bytes at the top of a file that tell its layout.
LONGEST_LINE, _HEAD = 2 ** 24, 2 ** 16

# Reading that is done by then shows no progress.
_SECONDS_WITHOUT_PROGRESS = 3

# By hand: until Python 3.11 `datetime.fromisoformat` reads no Z, and only fractions of 3 or 6 digits.
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt ]([01]\d|2[0-3])(?::([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?)?"
                   r"(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?)?", re.ASCII)
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def check_file(path):
    """OSError or ValueError for a path that leads to no file, to one without a byte, or to one of MATLAB."""
    if path.is_dir():
        raise IsADirectoryError("%s is a folder; expected a file of ratings: name one of the files in it" % path)
    if not path.exists():
        raise FileNotFoundError("there is no file %s; check the path (relative to %s)" % (path, Path.cwd()))
    check_regular(path)
    if path.stat().st_size == 0:
        raise ValueError("%s is empty; expected ratings" % path)
    if path.suffix.lower() == ".mat":
        raise ValueError(_OF_MATLAB.format(path=path))


@contextlib.contextmanager
def opened(path):
    """The bytes of a file as a binary stream, unpacked if its name ends in .gz; ValueError for a damaged or huge one.
    """
    try:
        with (_Unpacked(path) if path.name.lower().endswith(".gz") else open(str(path), "rb")) as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError("%s is truncated or damaged (%s); fetch or write it again" % (path, error)) from error


class _Unpacked(gzip.GzipFile):
    """The unpacked bytes of a file of gzip, up to the limit."""

    def __init__(self, path):
        super().__init__(str(path), "rb")
        self._path, self._limit = path, unpack_limit(path)

    def read(self, size=-1):
        return self._checked(super().read(size))

    def readline(self, size=-1):
        return self._checked(super().readline(size))

    def _checked(self, part):
        if self.tell() > self._limit:
            check_size(self._path, self.tell(), "its content")
        return part


def first_lines(path):
    """The number of blank lines at the top of a text file, and lines after them; ValueError for no text."""
    with opened(path) as stream:
        head = stream.read(_HEAD)
        head += b"" if head.endswith(b"\n") else stream.readline(LONGEST_LINE)
    if b"\0" in head:
        raise ValueError("%s isn't text; expected lines of ratings (load_ratings reads SciPy .npz and MatrixMarket "
                         ".mtx too): convert it, unpack an archive (sparse_ae.jester(path) and movielens(name, path) "
                         "read theirs as they are), or save text as UTF-8" % path)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError:  # Windows' letters are those of Latin-1 and some more, in names of columns too
        text = head.decode("cp1252", errors="replace")
    lines = text.split("\n")
    n_blank = next((k for k, line in enumerate(lines) if line.strip()), None)
    if n_blank is None:
        raise ValueError("%s has only blank lines; expected ratings" % path)
    return n_blank, lines[n_blank:]


def blocks_of(path, first, progress=False):
    """Yield a text file's `Lines` from a line on, and each block of them that isn't blank; `progress` shows a bar on a
    terminal, if reading takes some seconds."""
    # Even a disabled bar takes a lock that all forks of a process share.
    shown = contextlib.nullcontext() if not progress else tqdm(
        total=path.stat().st_size, desc="reading %s" % path.name, unit="B", unit_scale=True, leave=False, disable=None,
        delay=_SECONDS_WITHOUT_PROGRESS, file=STDERR)
    with opened(path) as stream, shown as bar:
        lines = Lines(path, stream, first, bar)
        for text in iter(lines.read_block, b""):
            if text[0] in b"\r\n\t " and not text.strip(b"\r\n\t "):  # millions of blank lines would take long
                lines.number += text.count(b"\n")
            else:
                yield lines, text


class Lines:
    """The lines of a file, in blocks or one by one; `number` is the next line's, and the caller counts the lines of a
    block."""

    def __init__(self, path, stream, first, bar=None):
        self.path, self.number, self._stream, self._bar, self._encoding = path, 1, stream, bar, None
        if stream.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
        while self.number < first:
            self._read_line()
            self.number += 1

    def read_block(self):
        """The bytes of whole lines, about as many as are worth parsing together; none at the end of the file."""
        block = self._stream.read(_BYTES_PER_BLOCK)
        if self._bar is not None:  # of a packed file, the bytes on disk
            self._bar.update(getattr(self._stream, "fileobj", self._stream).tell() - self._bar.n)
        return block if block.endswith(b"\n") else block + self._read_line(block)

    def one_by_one(self, text):
        """The lines of a text, counted, each with its line end; then those that follow in the file."""
        while text:
            nul = "\0" in text
            for line in text.split("\n")[:-1] if text.endswith("\n") else text.split("\n"):
                if nul and "\0" in line:
                    raise ValueError("%s, line %d: there is a NUL byte in it; expected text: write the file again"
                                     % (self.path, self.number))
                self.number += 1
                yield line + "\n"
            text = self.decode(self._read_line())

    def _read_line(self, before=b""):
        line = self._stream.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise ValueError("%s: a line near line %d has more than %d MB; expected shorter lines"
                             % (self.path, self.number - 1 + before.count(b"\n"), LONGEST_LINE >> 20))
        return line

    def decode(self, text):
        """The text of some bytes of the file."""
        if text.isascii():
            return text.decode("ascii")
        if self._encoding is None:  # UTF-8 if all of the file is, else Latin-1, which anything is
            self._encoding, decoder = "utf-8", codecs.getincrementaldecoder("utf-8")()
            try:
                with opened(self.path) as stream:
                    for part in iter(lambda: stream.read(_BYTES_PER_BLOCK), b""):
                        decoder.decode(part)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                self._encoding = "latin-1"
        return text.decode(self._encoding)


def as_floats(fields):
    """Fields of text as numbers, float64, (n,); ValueError if one is none."""
    if "_" in "".join(fields):  # float() allows it between digits; no file means that
        raise ValueError
    return np.array(list(map(float, fields)))


def as_times(fields):
    """Fields as float64, (n,): numbers, or dates of ISO 8601 as seconds since 1970 (UTC); ValueError for others."""
    try:
        return as_floats(fields)
    except ValueError:
        return np.array([_time(field.strip()) for field in fields])


def _time(field):
    found = _DATE.fullmatch(field)
    if found is None:
        return as_floats([field])[0]
    date, hour, minute, second, sign, hours_ahead, minutes_ahead = found.groups("0")
    days = datetime.date.fromisoformat(date).toordinal() - _EPOCH  # ValueError for the 30th of February
    minutes = 60 * (int(hour) - int(sign + hours_ahead)) + int(minute) - int(sign + minutes_ahead)
    return 86400 * days + 60 * minutes + float(second)


def whole(times):
    """Times as int64, if all are whole numbers that float64 can represent; else unchanged."""
    fit = times.dtype == np.float64 and np.all((times == np.rint(times)) & (np.abs(times) <= 2 ** 53))
    return times.astype(np.int64) if fit else times
