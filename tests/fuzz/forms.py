"""Text files of every form whose truth is known: ``python tests/fuzz/forms.py FIRST_SEED LAST_SEED``.

Each seed is a small file of ratings, pairs or lists, with some delimiter, header, line ends, quotes, blanks
within names, decimal commas. `load_ratings` reads what was written, or refuses it; where it refuses, the delimiter and
the columns are given, and it reads it, unless that can't help. Anything else ends this process with the seed on stderr.
"""
import gzip
from pathlib import Path
from typing import NamedTuple

from driver import drive
from matrices import triples

from sparse_ae import load_ratings

NAMES = ["Ann Lee", "Bob", "O'Hara, Jo", "Zo\u00eb", "x;y", "Eve 2", "tab\there", "7th", "A.B."]
TITLES = ["Toy Story 1995", "Heat", "Salt, fine", "a;b;c", "Up 5", "M*A*S*H", "10,000 BC", "21 3"]
HEADERS = {"user": ["user", "userId", "customer_id", "User-ID"], "item": ["item", "movieId", "sku", "product"],
           "rating": ["rating", "score", "stars"], "timestamp": ["timestamp", "time"], "part": ["part"]}


def ids(rng, names, numbers):
    """Some distinct ids: numbers, or names."""
    if numbers:
        return ["%d" % each for each in rng.choice(2000, rng.randint(3, 7), replace=False)]
    return [names[k] for k in rng.permutation(len(names))[:rng.randint(3, 7)]]


def written(field, delimiter, rng, quotes):
    """A field as it stands in a file; None if it can't."""
    needs = delimiter in field or "\n" in field or '"' in field or delimiter == " " and not field.isalnum()
    if quotes and delimiter not in ("::", " ") and (needs or rng.rand() < 0.2):
        return '"%s"' % field.replace('"', '""')
    return None if needs or delimiter == " " and any(letter.isspace() for letter in field) else field


def decimal(number, comma):
    text = "%g" % number
    return text.replace(".", ",") if comma else text


def made(rng):
    """The records of a file, what they say, and how to ask: (form, rows, truth, given, columns, comma)."""
    form = rng.choice(["ratings", "ratings", "pairs", "lists"])
    comma = bool(form == "ratings" and rng.rand() < 0.3)
    users, items = ids(rng, NAMES, rng.rand() < 0.5), ids(rng, TITLES, rng.rand() < 0.5)
    pairs = [(user, item) for user in users for item in items]
    pairs = [pairs[k] for k in sorted(rng.permutation(len(pairs))[:rng.randint(2, 12)])]
    if form == "lists":
        chosen = {user: [item for each, item in pairs if each == user] for user, _ in pairs}
        rows = [[user] + chosen[user] for user in chosen]
        return form, rows, {pair: 1.0 for pair in pairs}, {"lists": True}, None, False
    if form == "pairs":
        rows = [list(pair) for pair in pairs]
        return form, rows, {pair: 1.0 for pair in pairs}, {"pairs": True}, ["user", "item"], False
    values = rng.choice([1, 2, 3.5, 4.5, 5], len(pairs))
    rows = [[user, item, decimal(value, comma)] for (user, item), value in zip(pairs, values)]
    columns = ["user", "item", "rating"]
    if rng.rand() < 0.3:
        columns.append("timestamp")
        rows = [row + ["%d" % (10 ** 9 + k)] for k, row in enumerate(rows)]
    return form, rows, dict(zip(pairs, values.astype(float).tolist())), {}, columns, comma


class Form(NamedTuple):
    """A text file of known truth: its path and text, (user, item): rating, and how `load_ratings` is asked."""

    form: str
    path: Path
    text: str
    truth: dict
    given: dict  # has to be given
    told: dict  # where two readings fit: the delimiter and the columns
    is_hard: bool  # decimal commas, or \r alone at the ends of lines: no argument helps


def write_form(rng, folder):
    """Write a file; None if its fields can't stand in one."""
    form, rows, truth, given, columns, comma = made(rng)
    delimiter = str(rng.choice(["\t", ",", ";", "::", " "]))
    quotes, header = rng.rand() < 0.5, columns is not None and rng.rand() < 0.5
    told = dict({column: k for k, column in enumerate(columns or ())}, delimiter=delimiter)
    if header:
        names, places = [str(rng.choice(HEADERS[column])) for column in columns], list(columns)
        if rng.rand() < 0.3:
            rows, names = [row + [str(rng.choice(["train", "test"]))] for row in rows], names + ["part"]
            order = rng.permutation(len(names))
            rows, names = [[row[k] for k in order] for row in rows], [names[k] for k in order]
            places = [(columns + ["part"])[k] for k in order]
        told.update({column: places.index(column) for column in columns})
        rows = [names] + rows
    fields = [[written(field, delimiter, rng, quotes and not (header and k == 0)) for field in row]
              for k, row in enumerate(rows)]
    if any(field is None for row in fields for field in row):
        return None
    end = str(rng.choice(["\n", "\r\n", "\r"], p=[0.6, 0.3, 0.1]))
    around = " " if rng.rand() < 0.1 and delimiter in (",", ";") else ""
    text = "\n" * rng.randint(2) + end.join((delimiter + around).join(row) for row in fields) + end * rng.randint(2)
    encoding = str(rng.choice(["utf-8", "utf-8-sig", "latin-1"], p=[0.8, 0.1, 0.1]))  # these fields are Latin-1
    packed = rng.rand() < 0.1
    path = folder / ("file.gz" if packed else "file")
    path.write_bytes(gzip.compress(text.encode(encoding)) if packed else text.encode(encoding))
    return Form(form, path, text, truth, given, told, comma or end == "\r")


def case(rng, folder):
    """Write a file, read it, and compare: "read", "refused", or "read when told" how."""
    form = write_form(rng, folder)
    if form is None:
        return None
    for more, outcome in (({}, "read"), (form.told, "read when told")):
        try:
            found = load_ratings(form.path, progress=False, **form.given, **more)
        except ValueError as error:
            said = str(error)
            assert str(form.path) in said, "no file in %s" % said
            continue
        got = {(str(user), str(item)): value for user, item, value in triples(found)}
        assert got == form.truth, "%r\n was read as %r\n and is %r" % (form.text, got, form.truth)
        return form.form, outcome
    assert form.is_hard, "%r\n is refused: %s" % (form.text, said)
    return form.form, "refused"


if __name__ == "__main__":
    drive(case, "read", "read when told", "refused")
