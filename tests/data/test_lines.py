"""Lines of text, the same ones however they are asked for, how far reading has come; and numbers out of bytes."""
import gzip
import io

import numpy as np
import pytest

from sparse_ae.data import lines
from sparse_ae.data.lines import as_times, first_lines, lines_of
from sparse_ae.data.load import load_ratings
from sparse_ae.data.stores import store_ratings
from sparse_ae.data.text import parse_numbers

CONTENT = "".join("%d,%d,%d\n" % (k, k % 3, k % 5) for k in range(30))


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.mark.parametrize("size, encoding, packed", [
    (1, "utf-8", False), (5, "utf-8-sig", True), (5, "latin-1", False), (2 ** 20, "latin-1", True)])
def test_blocks_and_lines(tmp_path, monkeypatch, size, encoding, packed):
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", size)
    wanted = ["one", "", "\xe9\r", "four", "\xa7 and the last"]
    content = "\n".join(wanted).encode(encoding)
    path = written(tmp_path, "text.gz" if packed else "text", gzip.compress(content) if packed else content)
    for first in (1, 3):
        with lines_of(path, first) as found:
            blocks = [found.decode(block) for block in iter(found.read_block, b"")]
        assert "".join(blocks) == "\n".join(wanted[first - 1:])
        assert all(block.endswith("\n") for block in blocks[:-1])
        with lines_of(path, first) as found:
            one_by_one = found.one_by_one(found.decode(found.read_block()))
            assert [(found.number, line) for line in one_by_one] == [
                (number + 1, line + "\n") for number, line in enumerate(wanted[first - 1:], first)]


def test_first_lines(tmp_path):
    assert first_lines(written(tmp_path, "a", "\ufeff \n\n1\r\n2")) == (2, ["1\r", "2"])
    long = "1," * 50000
    assert first_lines(written(tmp_path, "b", long + "\n2")) == (0, [long, ""])


def test_a_line_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 64)
    monkeypatch.setattr(lines, "LONGEST_LINE", 640)
    path = written(tmp_path, "ratings", "1,2,3\n2,2,3\n3,%s,3\n" % ("x" * 1000))
    for read in (load_ratings, lambda path: store_ratings(path, tmp_path / "store")):
        with pytest.raises(ValueError, match="ratings: a line near line 2 has more than 0 MB"):
            read(path)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.csv.gz"])
def test_progress_is_shown_on_a_terminal_where_reading_takes_long(tmp_path, monkeypatch, name):
    content = CONTENT.encode()
    path = written(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)
    monkeypatch.setattr(lines, "_BYTES_PER_BLOCK", 16)

    def shown(read, stream=None, **settings):
        terminal = stream or Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        read(path, **settings)
        return terminal.getvalue()

    assert shown(load_ratings) == ""
    monkeypatch.setattr(lines, "_SECONDS_WITHOUT_PROGRESS", 0)
    assert "reading " + name in shown(load_ratings)
    assert "reading " + name in shown(lambda path: store_ratings(path, tmp_path / "store"))
    assert shown(load_ratings, progress=False) == "" and shown(load_ratings, io.StringIO()) == ""


@pytest.mark.parametrize("date, seconds", [
    ("1970-01-01T01", 3600), ("1970-01-01 01:02:03", 3723), ("1970-01-01t00:00:00z", 0), ("1970-01-01T23:59Z", 86340),
    ("1970-01-01T00:00:00.5Z", 0.5), ("1970-01-01T00:00:07.123456789+00:00", 7.123456789),
    ("1969-12-31T23:59:59.25", -0.75), ("1970-01-01T05:30:00+0530", 0), ("1970-01-01T05+05", 0),
    ("1970-01-01T00:00:00-00:30", 1800), ("1970-01-01T00:00:01.5-12:00", 43201.5), ("2000-02-29", 951782400)])
def test_every_python_reads_the_same_dates(date, seconds):
    assert as_times([date, " 5 "]).tolist() == [seconds, 5]


@pytest.mark.parametrize("date", [
    "1970-02-30", "1970-1-1", "19700101T00", "1970-W01-4", "1970-01-01T", "1970-01-01T24:00", "1970-01-01T00:00:00.",
    "1970-01-01T00:60", "1970-01-01Z", "1970-01-01+01:00", "1970-01-01T00:00+24:00", "1970-01-01T00:00+1",
    "1970-01-01T00:00 UTC", "0000-01-01", "\u0661970-01-01"])
def test_what_is_no_date_is_none_on_any_python(date):
    with pytest.raises(ValueError):
        as_times([date])


# Numbers: those that float gives, or none


def parsed(fields, plain=False):
    letters = np.frombuffer(",".join(fields + [""]).encode("ascii"), np.uint8)
    stops = np.flatnonzero(letters == ord(","))
    return parse_numbers(letters, np.concatenate([[0], stops[:-1] + 1]), stops, plain)


def test_numbers_are_those_of_python():
    rng = np.random.RandomState(0)
    fields = ["%.*f" % (rng.randint(1, 9), number) for number in 10 ** 4 * rng.randn(2000)]
    fields += ["0.5123456789", "4000000000"]  # more than 32 bits
    fields += ["0", "-0", "-0.0", "5.", ".5", "-.5", "007.50", "0.1", "123456789012345", "0.12345678901234", "-9.99"]
    for some in (fields, fields[-11:], ["4", "3"], ["-1", "12"], ["3.5", "4.0"]):
        assert parsed(some).tobytes() == np.array(list(map(float, some))).tobytes()  # of -0 too
    whole = ["0", "7", "123456789012345", "4000000000", "10"]
    assert parsed(whole, True).dtype == np.int64 and parsed(whole, True).tolist() == list(map(int, whole))


def test_what_is_no_plain_number_is_left_to_others():
    no_numbers = ["", "-", ".", "-.", "1.2.3", "1-", "--1", "1e3", "+1", " 1", "1 ", "1_0", "nan", "x",
                  "1234567890123456", "12345678901234567", "1/2", "1:2"]
    for plain, fields in ((False, no_numbers), (True, no_numbers + ["-5", "2.", "07", "00"])):
        for each in fields:
            assert parsed([each, "3"], plain) is None and parsed(["3", "1", each], plain) is None
