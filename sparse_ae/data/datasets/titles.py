"""Titles of items, from files of MovieLens, Jester and tables."""
import html
import re
from pathlib import Path

from sparse_ae.checks import brief
from sparse_ae.data.attributes import named_for_ids
from sparse_ae.data.names import listed
from sparse_ae.data.readers import read_table
from sparse_ae.data.readers.lines import ending, text_of
from sparse_ae.data.readers.sources import check_file


def titles_beside(ratings, neighbours):
    """The name of the titles file that goes with a ratings file, or None."""
    if ending(Path(ratings)) in (".npz", ".mtx"):
        return None  # its items are positions; titles go by id
    known = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv",
             "jester_ratings.dat": "jester_items.dat"}
    if ratings.endswith(".inter"):
        wanted = [ratings[:-len("inter")] + "item"]
    else:
        wanted = [known[ratings]] if ratings in known else list(known.values())
    return next((titles for titles in wanted if titles in neighbours), None)


def read_titles(file, items):
    """Raw item id to title, with ids of the type that `items` has."""
    id_type, titles = int if items.dtype.kind in "iu" else str, load_titles(file)
    try:
        return {id_type(item): title for item, title in titles.items()}
    except ValueError as error:
        raise ValueError("%s: expected an item id (int, as in the ratings) in each line: %s. Correct the line, or "
                         "remove the file to load the ratings without titles." % (file, brief(str(error)))) from None


def load_titles(path):
    """The titles by items' ids as str, from a file of MovieLens or Jester, or one with names of columns at its top."""
    path = Path(path)
    if path.name in ("u.item", "movies.dat", "jester_items.dat"):
        return _of_lines(path)
    columns = read_table(path)[0]
    ids = columns.pop((named_for_ids(list(columns), "item_titles") or list(columns))[0])
    named = [name for word in ("title", "name") for name in columns if word in name.lower()]
    if not named and len(columns) != 1:
        raise ValueError("%s has the columns %s beside the ids; expected one with title or name in its name"
                         % (path, listed(columns)))
    titles = [title.strip() if isinstance(title, str) else title for title in columns[(named or list(columns))[0]]]
    if path.suffix == ".item":  # RecBole's, which has years in a column of their own, and this word in both
        years = columns.get("release_year:token", [""] * len(ids))
        titles = ["unknown" if title == "unkonwn" else "%s (%s)" % (title, year) if year else title
                  for title, year in zip(titles, years)]
    return {str(item).strip(): title for item, title in zip(ids, titles)}


def _of_lines(file):
    """As `load_titles`, of lines of an id, a title and more; or with "7:" before the text of joke 7, in HTML."""
    check_file(file)
    text, delimiter = text_of(file).replace("\r\n", "\n"), "|" if file.name == "u.item" else "::"
    if file.name == "jester_items.dat":
        jokes = re.split(r"^([0-9]+):\s*$", text, flags=re.MULTILINE)  # text before the first, id, text, ...
        rows = [[jokes[0]]] if jokes[0].strip() else []
        rows += [[number, " ".join(html.unescape(re.sub("<[^>]*>", " ", joke)).split())]
                 for number, joke in zip(jokes[1::2], jokes[2::2])]
    else:  # not splitlines(), which breaks lines at characters that latin-1 titles may hold
        rows = [line.split(delimiter) for line in text.split("\n") if line]
    for row in rows:
        if len(row) < 2:
            raise ValueError("%s: expected an item id and a title in each line, got %s. Correct the line, or remove "
                             "the file to load the ratings without titles." % (file, brief(repr(row))))
    return {row[0].strip(): row[1].strip() for row in rows}
