"""How text is to be read: arguments of `load_ratings` and `store_ratings`, checked once for all readers."""
import numbers
from typing import Dict, NamedTuple, Optional, Union

from sparse_ae.checks import check_bool, check_choice
from sparse_ae.data.columns import check_missing
from sparse_ae.data.names import PAIRS, RATINGS
from sparse_ae.data.ratings import DUPLICATES

#: What becomes of pairs whose counts add up to 0 or less; those that are kept wait for `Recommender.partial_fit`.
RETURNS = "error", "drop", "keep"


class Options(NamedTuple):
    """Checked arguments of `load_ratings`; `columns` are those that were chosen, by the names of its arguments."""

    pairs: bool = False
    lists: bool = False
    missing: Optional[float] = None
    delimiter: Optional[str] = None
    columns: Dict[str, Union[str, int]] = {}
    returns: str = "error"

    @property
    def needed(self):
        """The columns that a file has to have."""
        return PAIRS if self.pairs else RATINGS

    def in_words(self):
        """The arguments that were given, for a message; "" for none."""
        given = {name: value for name, value in self._asdict().items() if value != self._field_defaults[name]}
        given.update(given.pop("columns", {}))
        return ", ".join(("%s=%g" if isinstance(value, float) else "%s=%.60r") % (name, value)
                         for name, value in given.items())


def check_options(duplicates, pairs, lists, missing, delimiter, returns="error", **columns):
    """The `Options` of arguments of `load_ratings`; ValueError, or TypeError, for others."""
    check_choice(duplicates, "duplicates", DUPLICATES)
    pairs, lists, missing = check_bool(pairs, "pairs"), check_bool(lists, "lists"), check_missing(missing)
    if not (delimiter is None or isinstance(delimiter, str) and (
            delimiter == "::" or len(delimiter) == 1 and delimiter.isascii() and delimiter not in "\r\n\"+-._\0"
            and not delimiter.isalnum())):
        raise ValueError("delimiter is %.60r; expected one character such as ',', ';', '|' or '\\t', '::', or ' ' for "
                         "any blanks" % (delimiter,))
    for name, column in columns.items():
        number = isinstance(column, numbers.Integral) and not isinstance(column, bool) and column >= 0
        if not (column is None or number or isinstance(column, str) and column.strip()):
            raise ValueError("%s is %.60r; expected the name of a column, or its number, counted from 0"
                             % (name, column))
    columns = {name: column for name, column in columns.items() if column is not None}
    if len(set(columns.values())) < len(columns):
        raise ValueError("the chosen columns are %s; expected different ones"
                         % ", ".join("%s=%r" % each for each in columns.items()))
    options = Options(pairs, lists, missing, delimiter, columns, check_choice(returns, "returns", RETURNS))
    others = options._replace(lists=False, delimiter=None).in_words()
    if lists and others:
        raise ValueError("lists=True was given with %s; lists have users and items only: leave it out" % others)
    if returns != "error" and not (options.pairs or duplicates == "sum"):
        raise ValueError("returns=%r was given without pairs=True or duplicates='sum'; only counts have returns: pass "
                         "them (fit --objective clicks, or --duplicates sum), or leave returns out" % returns)
    return options
