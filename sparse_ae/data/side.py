"""The side of the ratings that a matrix has as its rows, users or items, and the way between the two."""


class Side(str):
    """Check the word for the rows, "users" or "items"; the columns are the others. ValueError for another word.

    >>> Side("items").users_items("rows", "columns")
    ('columns', 'rows')
    """

    __slots__ = ()

    def __new__(cls, word):
        if word not in ("users", "items"):
            raise ValueError("the rows are %r; expected 'users' or 'items'" % (word,))
        return super().__new__(cls, word)

    @property
    def other(self):
        """The side that is the columns."""
        return ITEMS if self == "users" else USERS

    def users_items(self, rows, columns):
        """Reorder a pair for rows and columns to a pair for users and items."""
        return (rows, columns) if self == "users" else (columns, rows)

    # Its own inverse.
    rows_columns = users_items

    def turned(self, matrix):
        """Lay out a matrix or a grid of users by items with these rows, or one of these rows as users by items."""
        return matrix if self == "users" else matrix.T


#: Users as the rows, and items as the rows.
USERS, ITEMS = Side("users"), Side("items")
