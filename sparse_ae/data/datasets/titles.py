"""Titles of items, from files of MovieLens."""
import csv
from pathlib import Path

from sparse_ae.checks import brief
from sparse_ae.data.attributes import named_for_ids
from sparse_ae.data.datasets.package_index import title_rows
from sparse_ae.data.names import listed
from sparse_ae.data.readers.lines import ending
from sparse_ae.data.readers.sources import check_file
from sparse_ae.data.readers.table import read_table


def titles_beside(ratings, neighbours):
    """The name of the titles file that goes with a ratings file, or None."""
    if ending(Path(ratings)) in (".npz", ".mtx"):
        return None  # its items are positions; titles go by id
    known = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
    if ratings.endswith(".inter"):
        wanted = [ratings[:-len("inter")] + "item"]
    else:
        wanted = [known[ratings]] if ratings in known else list(known.values())
    return next((titles for titles in wanted if titles in neighbours), None)


def read_titles(file, items):
    """Raw item id to title, with ids of the type that `items` has."""
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # 100k and 1m; 10m has the layout of 1m, in utf-8
    # Not splitlines(), which breaks lines at characters that latin-1 titles may hold.
    lines = text.replace("\r\n", "\n").split("\n")
    if file.suffix == ".item" and file.name != "u.item":
        rows = title_rows(lines)
    elif file.name == "movies.csv":
        try:
            rows = list(csv.reader(lines))[1:]
        except csv.Error as error:
            raise ValueError("%s: %s. Correct it, or remove the file to load the ratings without titles."
                             % (file, error)) from error
    else:
        rows = [line.split("|" if file.name == "u.item" else "::") for line in lines]
    id_type = int if items.dtype.kind in "iu" else str
    titles = {}
    for row in rows:
        if row in ([], [""]):
            continue
        try:
            titles[id_type(row[0])] = row[1].strip()
        except (ValueError, IndexError):
            raise ValueError("%s: expected an item id (%s, as in the ratings) and a title in each line, got %s. "
                             "Correct the line, or remove the file to load the ratings without titles."
                             % (file, id_type.__name__, brief(repr(row)))) from None
    return titles


def load_titles(path, items):
    """The titles by items' ids as str, from a file of MovieLens, or one with names of columns at its top."""
    path = Path(path)
    if path.name in ("u.item", "movies.dat"):
        check_file(path)
        return {str(item): title for item, title in read_titles(path, items).items()}
    columns = read_table(path)[0]
    ids = columns.pop((named_for_ids(list(columns), "item_titles") or list(columns))[0])
    named = [name for word in ("title", "name") for name in columns if word in name.lower()]
    if not named and len(columns) != 1:
        raise ValueError("%s has the columns %s beside the ids; expected one with title or name in its name"
                         % (path, listed(columns)))
    return {str(item).strip(): title for item, title in zip(ids, columns[(named or list(columns))[0]])}
