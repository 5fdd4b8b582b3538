"""Lines of text files, packed or not, in UTF-8 or Latin-1: read a block at a time, and counted."""
import codecs
import contextlib
import csv
import importlib
import io
import re
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from sparse_ae.files.unpacking import check_size, limit_of, one_error
from sparse_ae.runtime.progress import is_terminal

#: In this order: a tab-separated field may have a comma, and any other a blank. None means any blanks.
DELIMITERS = {"::": "'::'", "\t": "tabs", ",": "commas", ";": "semicolons", None: "blanks"}

#: Advice for lines of different lengths.
AS_LISTS = "if each line is a user and the user's items, pass lists=True (--lists)"

#: Advice for lines without a rating.
AS_PAIRS = "if these are pairs of user and item without ratings, pass pairs=True (fit --objective clicks)"

#: A question about an error on a last line without an end.
CUT_OFF = "; is the file still being written, or cut off?"

#: Endings of files of JSON; and of packed files, with the modules that unpack them.
JSON = ".json", ".jsonl", ".ndjson"
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}

# Small enough for the temporary arrays of a block to stay in the processor's cache.
_BYTES_PER_BLOCK = 2 ** 20

#: The longest line, which has to be held as a whole; and bytes at the top of a file that tell its layout.
LONGEST_LINE, _HEAD = 2 ** 24, 2 ** 16

# Reading that is done by then shows no progress.
_SECONDS_WITHOUT_PROGRESS = 3

# A field between blanks: in quotes, or not.
_BETWEEN_BLANKS = re.compile(r'("(?:[^"]|"")*"(?!\S))|(\S+)')


def ending(path):
    """The ending of a path's name, in small letters, before that of a way of packing: .csv of ratings.CSV.gz."""
    return Path(unpacked_name(path.name.lower())).suffix


def unpacked_name(name):
    """A file's name without the ending of a way of packing."""
    return Path(name).stem if Path(name).suffix.lower() in PACKED else name


@contextlib.contextmanager
def opened(path):
    """The bytes of a file as a binary stream, unpacked if its name says so; ValueError for a damaged or huge one."""
    with open(str(path), "rb") as file:
        yield io.BufferedReader(_Unpacked(path, file), _HEAD) if path.suffix.lower() in PACKED else file


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a file, up to the limit."""

    def __init__(self, path, file):
        self.packed, self._path, self._limit, self._size = file, path, limit_of(path.stat().st_size), 0
        self._stream = importlib.import_module(PACKED[path.suffix.lower()]).open(file)

    def readable(self):
        return True

    def readinto(self, buffer):
        with one_error(self._path, "a sound file: fetch or write it again"):
            size = self._stream.readinto(buffer)
        self._size += size
        if self._size > self._limit:  # at each read: no look at the disk
            check_size(self._path, self._size, "its content")
        return size


def text_of(path):
    """All of a file's text, in UTF-8 or Latin-1."""
    with opened(path) as stream:
        content = stream.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def first_lines(path):
    """The number, from 1, of a text file's first line that isn't blank, and lines from there."""
    with opened(path) as stream:
        head = stream.read(_HEAD)
        head += b"" if head.endswith(b"\n") else stream.readline(LONGEST_LINE)
    if b"\0" in head:
        raise ValueError("%s isn't text; expected lines of ratings (load_ratings reads SciPy .npz and MatrixMarket "
                         ".mtx too): convert it, unpack an archive, or save text as UTF-8" % path)
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError:  # Windows' letters are those of Latin-1 and some more, in names of columns too
        text = head[len(codecs.BOM_UTF8) * head.startswith(codecs.BOM_UTF8):].decode("cp1252", errors="replace")
    lines = text.split("\n")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        raise ValueError("%s is a page of HTML or XML; expected lines of ratings: look into it, it may be a server's "
                         "error, and download the file again" % path)
    n_blank = next((k for k, line in enumerate(lines) if line.strip()), None)
    if n_blank is None:
        raise ValueError("%s has only blank lines; expected ratings" % path)
    return n_blank + 1, lines[n_blank:]


def blocks_of(path, first, progress=False):
    """Yield a text file's `Lines` from a line on, and each block of them that isn't blank; with a bar, perhaps."""
    # Even a disabled bar takes a lock that all forks of a process share.
    shown = contextlib.nullcontext() if not (progress and is_terminal(sys.stderr)) else tqdm(
        total=path.stat().st_size, desc="reading %s" % path.name, unit="B", unit_scale=True, leave=False,
        delay=_SECONDS_WITHOUT_PROGRESS)
    with opened(path) as stream, shown as bar:
        lines = Lines(path, stream, first, bar)
        for text in iter(lines.read_block, b""):
            if text[0] in b"\r\n\t " and not text.strip(b"\r\n\t "):  # millions of blank lines would take long
                lines.number += text.count(b"\n")
            else:
                yield lines, text


class Lines:
    """Lines of a file, in blocks or one by one; `number` is the next one's, and the caller counts those of a block."""

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
            self._bar.update(getattr(getattr(self._stream, "raw", None), "packed", self._stream).tell() - self._bar.n)
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


def records_of(lines, delimiter):
    """An iterator over the fields of each record of some lines; csv.Error for one that can't be read."""
    if delimiter in ("::", None):
        return map(partial(_cut, delimiter), lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _cut(delimiter, line):
    line = line.rstrip("\r\n")
    if "\r" in line:  # which would count as a blank
        raise csv.Error("there is a CR within the line")
    if delimiter is None and '"' in line:  # as R's write.table writes texts; between :: quotes mean nothing
        fields = _BETWEEN_BLANKS.findall(line)
        if any(field.startswith('"') for _, field in fields):
            raise csv.Error("a quote isn't closed before a blank")
        return [quoted[1:-1].replace('""', '"') or field for quoted, field in fields]
    return line.split(delimiter)


def list_of(fields):
    """The ids of a line of a list: without blanks around them, and without what isn't there at the end."""
    fields = [field.strip() for field in fields]
    while fields and not fields[-1]:
        fields.pop()
    return fields
