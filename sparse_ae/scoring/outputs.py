"""A trained model's hidden units of rows, and outputs of pairs or all columns. Compiled functions are kept with the
model; any thread may call them."""
import functools

import numpy as np

from sparse_ae.ops import csr_dot, sampled_dot
from sparse_ae.ops.ahead import compiled_together
from sparse_ae.ops.compiled import building, compiled
from sparse_ae.ops.nonlinearities import NONLINEARITIES
from sparse_ae.runtime.device import kept_on_host, on_gpu
from sparse_ae.training.batch import Batch
import theano
import theano.tensor as T

# Rows that a stack of layers encodes at a time, always as many: the rounding of a product of matrices depends on their
# number, and of more than 8 rows on a row's place among them, and a row's units must not depend on the other rows.
_TOGETHER = 8


class Outputs:
    """A model's outputs as numbers, for predictions."""

    def __init__(self, model):
        model.check()
        self.model, self.decoder = model, model.decoder()

    def _made(self, name, make):
        """The result of `make`, made once for the model."""
        made = self.model.compiled
        if name not in made:
            with self.model.building():
                made[name] = make()
        return made[name]

    def hidden(self, batch):
        """Hidden units of the rows of a `Batch` of CSR arrays, (n_rows, k); only its indices are checked."""
        read = batch._replace(target=None, indicator=batch.indicator if self.model.channels else None)
        return self._made("hidden", self._make_hidden)(*read.csr_arrays(self.model.dtype))

    def _make_hidden(self):
        model, batch, one_pass = self.model, self._batch(), self.model.one_pass()
        if one_pass is None or on_gpu():
            encode = compiled(batch.present, model.encode(batch), name="hidden")
            return _by_as_many_rows(encode, model) if one_pass is None else encode
        # NumPy needs no compiler, and is as fast.
        g, mu, encoders = NONLINEARITIES[one_pass.g].value, one_pass.mu.variable, one_pass.encoders
        product = _compiled(_product_of_rows, model.dtype)

        def function(data, indices, indptr, *indicator):
            weighted, *more = [product(values, indices, indptr, V.variable.get_value(borrow=True).T)
                               for values, V in zip((data, *indicator), encoders)]
            for each in more:
                weighted += each
            weighted += mu.get_value(borrow=True)
            return g(weighted)

        return function

    def _batch(self):
        data, (indices, indptr) = T.vector("data"), T.ivectors("indices", "indptr")
        return Batch(data, indices, indptr, indicator=T.vector("indicator") if self.model.channels else None)

    def pairs(self, h, cols, indptr):
        """Outputs of rows of h, (n_rows, k), at columns by `indptr`: the same bits whatever the others are."""
        W, b = (each.get_value(borrow=True) for each in (self.decoder.W, self.decoder.b))
        return self.given_pairs(W, b, h, cols, indptr)

    def given_pairs(self, W, b, h, cols, indptr):
        """As `pairs`, for new columns with W (n_columns, k) and b (n_columns,)."""
        dots = _compiled(_dots, self.model.dtype)
        scores = dots(W, h, cols.astype("int32", copy=False), indptr.astype("int32", copy=False))
        scores += b[cols]
        return self.activated(scores)

    def everywhere(self, h, cols=slice(None)):
        """Outputs of all columns, or some, by a product of matrices, (n_rows, n)."""
        scores = h.dot(self.decoder.W.get_value(borrow=True)[cols].T)
        scores += self.decoder.b.get_value(borrow=True)[cols]
        return self.activated(scores)

    def activated(self, scores):
        """Outputs of scores ``W h + b``, an array of any shape."""
        if self.decoder.is_linear:
            return scores
        f, low, span = self.decoder.f, self.decoder.low, self.decoder.span
        # f is kept, so that no other one gets its number.
        _, function = self._made(("f", id(f), low, span), lambda: (f, self._make_f()))
        return function(scores.ravel()).reshape(scores.shape)

    # The rest is done by NumPy: compiling a piece of C takes half a second, the first time.

    def _make_f(self):
        scores = T.vector("scores")
        return compiled([scores], self.decoder.activation(scores), name="f")

    def compiled_together(self):
        """A context in which functions for predictions are compiled together with another one."""
        with self.model.building():
            batch, one_pass = self._batch(), self.model.one_pass()
            hidden = self.model.encode(batch) if one_pass is None else _product_of_rows()[1]
            return compiled_together(_dots()[1], hidden)


@functools.lru_cache(maxsize=None)
def _compiled(graph, dtype):
    """The function of one of the graphs below, for parameters of all models of a dtype."""
    with building(dtype):
        inputs, output = graph()
        return compiled(inputs, output, mode=kept_on_host(theano.compile.get_default_mode()), name=graph.__name__)


def _product_of_rows():
    """The inputs and graph of a product of CSR rows with an encoder's transpose, (n_columns, k)."""
    (data, V_t), (indices, indptr) = (T.vector("data"), T.matrix("V_t")), T.ivectors("indices", "indptr")
    return [data, indices, indptr, V_t], csr_dot(data, indices, indptr, V_t)


def _dots():
    """The inputs and graph of products of rows of h with rows of W, at pairs."""
    (W, h), (cols, indptr) = T.matrices("W", "h"), T.ivectors("cols", "indptr")
    return [W, h, cols, indptr], sampled_dot(cols, indptr, h, W)


def _by_as_many_rows(function, model):
    """A function of any number of rows from one of CSR arrays that is called with `_TOGETHER` rows each time."""
    def hidden(data, indices, indptr, *more):
        n_rows = len(indptr) - 1
        h = np.empty((n_rows, model.n_hidden), model.dtype)
        for start in range(0, n_rows, _TOGETHER):
            ends = indptr[start:start + _TOGETHER + 1]
            part = slice(ends[0], ends[-1])
            ends = np.append(ends, np.full(_TOGETHER + 1 - len(ends), ends[-1], ends.dtype))  # rows without entries
            units = function(data[part], indices[part], ends - ends[0], *[each[part] for each in more])
            h[start:start + _TOGETHER] = units[:n_rows - start]
        return h

    return hidden
