"""A matrix of ratings by users and by items."""
from sparse_ae.data.entries import check_indptr
from sparse_ae.data.ratings import entries_stored, rating_counts, rows_of_entries
from sparse_ae.data.side import USERS, Side
from sparse_ae.runtime.processors import cached_property

# With more ratings no second layout is made only to look up rows.
_MOST_TURNED = 2 ** 25


class RatingMatrix:
    """A matrix of ratings by users and by items, each made when first needed; `rows` is the one to read if either does.
    What needs all ratings, which may be on disk, is kept."""

    def __init__(self, matrix, laid_out, rows=None):
        check_indptr(matrix, matrix.shape[0])
        self._made, self.rows, self.biases = {laid_out: matrix}, Side(rows or laid_out), {}

    def by(self, rows):
        """The matrix with users as rows or with items, CSR."""
        if rows not in self._made:
            self._made[rows] = self._made[Side(rows).other].T.tocsr()
        return self._made[rows]

    @property
    def matrix(self):
        """The matrix by `rows`."""
        return self.by(self.rows)

    @property
    def shape(self):
        """The numbers of users and of items."""
        return self.rows.users_items(*self.matrix.shape)

    @cached_property
    def mean(self):
        data = self.matrix.data
        return float(data.sum(dtype="float64") / data.size)

    @cached_property
    def counts(self):
        """The numbers of ratings of each user and of each item: two int arrays."""
        return self.rows.users_items(*rating_counts(self.matrix))

    @cached_property
    def users_rated(self):
        return self.counts[0] > 0

    @cached_property
    def items_rated(self):
        return self.counts[1] > 0

    def are_rated(self, users, items):
        """Whether each of some pairs is among the ratings, (n,)."""
        return entries_stored(self.matrix, *self.rows.rows_columns(users, items))

    def rated_by(self, users):
        """The items that users have rated: positions in `users`, and items, (n_seen,) each."""
        block = self.of_users(users)
        return rows_of_entries(block.indptr), block.indices

    def of_users(self, users):
        """The ratings of some users, CSR, (n, n_items)."""
        if USERS not in self._made and self.matrix.nnz > _MOST_TURNED:
            return self.matrix[:, users].T.tocsr()
        return self.by(USERS)[users]
