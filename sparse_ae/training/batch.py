"""A mini-batch: the same for arrays, which a step is given, and for the symbolic variables of its graph."""
from typing import Any, NamedTuple

__all__ = ["Batch"]

#: Arrays that a batch may have beside the ratings, at the same entries.
CHANNELS = "target", "indicator"


class Batch(NamedTuple):
    """Rows of ratings, as CSR or as dense rows, and what goes with them.

    Attributes
    ----------
    data : vector, (nnz,); or matrix, (n_rows, n_columns)
        The encoder's input at the stored entries; or dense rows.
    indices, indptr : int vectors, (nnz,) and (n_rows + 1,)
        As in CSR; None for dense rows.
    target : like `data`, or None
        The decoder's targets there; None where they are `data` itself.
    indicator : like `data`, or None
        A second encoder's input: nowhere 0 where there is an entry.
    """

    data: Any
    indices: Any = None
    indptr: Any = None
    target: Any = None
    indicator: Any = None

    @classmethod
    def of(cls, block, target=None, indicator=None):
        """The Batch of a CSR block, (n_rows, n_columns), and of arrays (nnz,) that go with its entries."""
        return cls(block.data, block.indices, block.indptr, target, indicator)

    @property
    def wanted(self):
        """What the decoder is to give: the target, or the ratings themselves."""
        return self.data if self.target is None else self.target

    @property
    def is_dense(self):
        """Whether it has dense rows."""
        return self.indices is None

    @property
    def present(self):
        """Its parts that aren't None, in order: the inputs of a compiled function, or their values."""
        return [each for each in self if each is not None]

    def csr_arrays(self, dtype):
        """The arrays of CSR, as `present`, in the dtypes that the Ops take: `dtype`, and int32."""
        dtypes = dtype, "int32", "int32", dtype, dtype
        return [each.astype(to, copy=False) for each, to in zip(self, dtypes) if each is not None]

    def map(self, function):
        """The Batch with `function` of each of `data`, `target` and `indicator` that is there."""
        return self._replace(**{name: function(getattr(self, name)) for name in ("data",) + CHANNELS
                                if getattr(self, name) is not None})
