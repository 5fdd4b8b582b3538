"""The masked autoencoder of the 2016 post "Sparse Autoencoder in theano", and the post's own scan graph.

For a row r of ratings, observed at the positions O,

    output = f(W g(V r + mu) + b)                                                   (1)
    loss   = sum over rows and O of (output - r)^2 + l2 (|W|^2 + |V|^2)              (2)

============  =================  =====================================================
`W`           (n_items, k)       decoder
`V`           (k, n_items)       encoder
`mu`          (k,)               bias of the hidden units
`b`           (n_items,)         bias of the outputs
`rating`      (n_rows, n_items)  a mini-batch of dense rows, 0 where there is no rating
============  =================  =====================================================

A model may have a second encoder, U (k, n_items): hidden units are then ``g(V r + U s + mu)``, where s, at the same
entries as r, says that there is a rating; see `residuals`.

The names are the post's: `W`, `V`, `mu`, `b`, `step`, `scan_res`, `loss`, `updates_sgd` (here: of any update),
`ae_batch`. With users as rows this is U-AutoRec, with items as rows I-AutoRec: S. Sedhain, A. K. Menon, S. Sanner,
L. Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015. "Item" stands for a column throughout.

Where it departs from the post's listing: W and b are sized by items, not users; a bounded f is stretched over the
rating scale, so that a sigmoid can reach it (the listing's unscaled sigmoid for ratings from 1 to 5 is reachable
through `ae_batch` only: `check` refuses ratings that f can't reach); V starts Glorot-uniform, since uniform [0, 1)
saturates tanh at once (ask for it with `lasagne.init.Uniform((0, 1))`).
"""
from collections import OrderedDict

import numpy as np

from sparse_ae.checks import (
    MOST,
    check_bool,
    check_count,
    check_dtype,
    check_finite,
    check_on_scale,
    check_rating_scale,
    check_rng,
    check_share,
    is_number,
)
from sparse_ae.data.ratings import canonical_csr, check_ratings
from sparse_ae.ops import SumOverRanks, blas, csr_arrays, csr_dot, item_major, made_item_major, sampled_dot
from sparse_ae.ops.ahead import compile_ahead
from sparse_ae.ops.compiled import building, compiled
from sparse_ae.ops.gpu.hostcopy import HostCopy
from sparse_ae.ops.nonlinearities import find
from sparse_ae.runtime.device import is_on_host, kept_on_host, on_gpu
from sparse_ae.runtime.ranks import OwnDraws, Ranks
from sparse_ae.scoring.scorer import Scorer
import lasagne
import theano
import theano.tensor as T
from lasagne import init, nonlinearities

__all__ = ["AutoEncoder"]

_MOST = 2 ** 31 - 1  # items or hidden units: the Ops' indices are int32


class AutoEncoder:
    """The masked autoencoder: its parameters, its cost, its predictions.

    Parameters
    ----------
    n_items : int
        Columns of the rating matrix.
    n_hidden : int
        Hidden units, the post's k.
    rating_scale : (float, float), optional
        Lowest and highest rating. Predictions are clipped to it, and a bounded `f` is stretched over it: with sigmoid,
        ``output = low + (high - low) sigmoid(...)``. Without it outputs are f's own values.
    f, g : str or callable
        Output and hidden nonlinearity: a name from `lasagne.nonlinearities`, or any function of a Theano tensor. `f`
        must act element by element. The post has sigmoid and tanh, the AutoRec paper "identity" and "sigmoid".
    l2 : float or (float, float)
        Weight decay of W and V, ``l2 (|W|^2 + |V|^2)``; a pair weighs the two separately. Whether the cost of each
        mini-batch has all of it, as in the post, is for the trainer to say.
    U : like V, optional
        The second encoder; by default there is none. Its weight decay is V's.
    l2_weighted : bool
        Whether the decay counts each rating's pull: ``l2 sum over items j of n_j (|W_j|^2 + |V_j|^2)`` with the item's
        number n_j of ratings, in a mini-batch those of the batch. As in the weighted-lambda regularisation of Y. Zhou
        et al., Large-scale Parallel Collaborative Filtering for the Netflix Prize, AAIM 2008.
    missing_weight : float
        From 0 to 1, what a missing entry counts in the squared error, as if it had been rated `missing_rating`; an
        observed one counts 1. With 0, the post, only observed entries do. With more, outputs are scores to rank by, no
        estimates of ratings; see `objectives`.
    missing_rating : float
        With a `missing_weight`, what missing entries are taken to be rated.
    W, V, mu, b : lasagne.init.Initializer, callable, array or Theano shared variable
        Initial values, of shapes (n_items, k), (k, n_items), (k,), (n_items,).
    rng : numpy.random.RandomState or int
        Where the initialisers draw from.
    dtype : {"float32", "float64"}
        Of the parameters, and of all that is computed with them, whatever Theano's floatX is. The post's is float32.
    comm : communicator of mpi4py, optional
        Whose ranks share out the columns; see `distributed`. Each has its own columns' parameters, of the values that
        one process would have drawn; arrays are given whole, shared variables are a rank's own. Whatever encodes is
        then for all ranks to call together.

    Attributes
    ----------
    n_items, n_all_items : int
        Columns of this process, and of all ranks together; the same without `comm`.
    ranks : distributed.Ranks
    W, V, mu, b : Theano shared variables
        `V.get_value()` is (k, n_items); its memory is item by item, so that an item's column is contiguous.
    U : Theano shared variable or None
    W_on_host : HostCopy
        Gives W's values, for what isn't computed where W is.
    params : list
        The four, in this order, then U if there is one.
    encoders : list
        V, then U if there is one.
    f, g : callable
        Functions of a Theano tensor.
    l2_W, l2_V : float

    Raises
    ------
    ValueError, TypeError
        For sizes, scales, names or arrays that can't be used.
    """

    def __init__(self, n_items, n_hidden, rating_scale=None, f="sigmoid", g="tanh", l2=0.1, W=init.GlorotUniform(),
                 V=init.GlorotUniform(), mu=init.Constant(0.0), b=init.Constant(0.0), rng=0, dtype="float32",
                 U=None, l2_weighted=False, missing_weight=0.0, missing_rating=0.0, comm=None):
        self.n_all_items = check_count(n_items, "n_items", most=_MOST)
        self.n_hidden = check_count(n_hidden, "n_hidden", most=_MOST)
        self.ranks = comm if isinstance(comm, Ranks) else Ranks(comm)
        self.n_items = self.ranks.n_own(self.n_all_items)
        self.dtype = check_dtype(dtype)
        self.f, self.g = _nonlinearity(f, "f", self.dtype), _nonlinearity(g, "g", self.dtype)
        if self.f is nonlinearities.softmax:
            raise ValueError("f is softmax, which mixes the items of a row; f must act element by element, such as "
                             "'sigmoid' or 'linear'")
        self.rating_scale = None if rating_scale is None else check_rating_scale(rating_scale)
        self.l2_W, self.l2_V = _decays(l2)
        self.l2_weighted = check_bool(l2_weighted, "l2_weighted")
        self.missing_weight = check_share(missing_weight, "missing_weight", "; 0 leaves missing entries out")
        self.missing_rating = check_finite(missing_rating, "missing_rating",
                                           "a number, what missing entries are taken to be rated")

        rng, k, n = check_rng(rng), self.n_hidden, self.n_all_items
        with self.building():
            lasagne_rng = lasagne.random.get_rng()
            lasagne.random.set_rng(rng)  # Lasagne's initialisers take theirs from here only
            try:
                self.W, self.V, self.mu, self.b = self.params = [
                    self._parameter(spec, shape, name, axis) for spec, shape, name, axis in
                    [(W, (n, k), "W", 0), (V, (k, n), "V", 1), (mu, (k,), "mu", None), (b, (n,), "b", 0)]]
                self.U = None if U is None else self._parameter(U, (k, n), "U", 1)
            finally:
                lasagne.random.set_rng(lasagne_rng)
        self.W_on_host = HostCopy(self.W)
        self.encoders = [self.V] + ([] if self.U is None else [self.U])
        self.params += self.encoders[1:]
        for encoder in self.encoders:
            item_major(encoder)
        self._compiled = {}

    def __getstate__(self):
        # For pickle and copy: compiled functions work on this model's variables. They are made again when needed.
        return dict(vars(self), _compiled={})

    def _parameter(self, spec, shape, name, axis):
        if axis is None or self.ranks.size == 1:
            return _parameter(spec, shape, name, self.dtype)
        return _own_parameter(spec, shape, name, self.dtype, self.ranks, axis)

    def building(self):
        """A context for building graphs of this model: Theano's floatX is its dtype within, and other threads wait."""
        return building(self.dtype)

    # The graph

    def hidden_activation(self, weighted, after=None):
        """g(V r + mu), from ``V r`` of shape (..., k); over ranks, it is computed `after` what else they add up."""
        if self.ranks.size == 1:
            return self.g(weighted + self.mu)
        return self.g(SumOverRanks(self.ranks)(weighted, self.mu, after))

    def output_activation(self, scores):
        """f over the rating scale, from ``W h + b`` of any shape."""
        low, span = self.output_map()
        output = self.f(scores)
        if (low, span) == (0.0, 1.0):
            return output
        return np.asarray(low, output.dtype) + np.asarray(span, output.dtype) * output

    def output_map(self):
        """(low, span): the output is ``low + span f(...)``. (0, 1) where f is unbounded or no scale was given."""
        if self.rating_scale is None or self.nonlinearity is None or not self.nonlinearity.is_bounded:
            return 0.0, 1.0
        (low, high), (f_low, f_high) = self.rating_scale, self.nonlinearity.range
        span = (high - low) / (f_high - f_low)
        return low - span * f_low, span

    @property
    def nonlinearity(self):
        """f as a `Nonlinearity`; None for one that isn't in their table."""
        return find(self.f)

    def score_of(self, output):
        """The score ``W h + b`` whose output is `output`; of a bounded f, short of its ends, where it has no slope."""
        low, span = self.output_map()
        value = (output - low) / span
        if self.nonlinearity is None:
            return value
        if self.nonlinearity.is_bounded:
            f_low, f_high = self.nonlinearity.range
            margin = 0.01 * (f_high - f_low)
            value = min(max(value, f_low + margin), f_high - margin)
        return self.nonlinearity.inverse(value)

    def weighted(self, data, indices, indptr, seen=None):
        """What goes into the hidden units of a CSR block but for mu, (n_rows, k), as a graph of its arrays."""
        products = self._products(data, indices, indptr, seen)
        return products[0] if seen is None else products[0] + products[1]

    def _products(self, data, indices, indptr, seen=None):
        """Each encoder's share of it."""
        return [csr_dot(values, indices, indptr, encoder.T) for values, encoder in zip((data, seen), self.encoders)]

    def step(self, rat, W, V, mu, b):
        """The post's `step`: one dense row (n_items,) in, its outputs at the observed items out, 0 elsewhere."""
        res = T.zeros_like(rat)
        rat_nz, hidden_activation = self._row_encoded(rat, V, mu)
        output_activation = self.output_activation(T.dot(W[rat_nz, :], hidden_activation) + b[rat_nz])
        return T.set_subtensor(res[rat_nz], output_activation)

    def step_of_two(self, rat, seen, W, V, mu, b, U):
        """`step` with the second encoder: observed is where something is seen."""
        nz, hidden_activation = self._row_encoded(rat, V, mu, seen, U)
        output_activation = self.output_activation(T.dot(W[nz, :], hidden_activation) + b[nz])
        return T.set_subtensor(T.zeros_like(rat)[nz], output_activation)

    def step_everywhere(self, rat, W, V, mu, b):
        """`step` with outputs at all items: those that are missing count too."""
        return self.output_activation(T.dot(W, self._row_encoded(rat, V, mu)[1]) + b)

    def step_of_two_everywhere(self, rat, seen, W, V, mu, b, U):
        """`step_of_two` with outputs at all items."""
        return self.output_activation(T.dot(W, self._row_encoded(rat, V, mu, seen, U)[1]) + b)

    def _row_encoded(self, rat, V, mu, seen=None, U=None):
        """Of one dense row the positions of the observed items, and its hidden units."""
        nz = T.neq(rat if seen is None else seen, 0).nonzero()[0]
        weighted = T.dot(V[:, nz], rat[nz])
        if seen is not None:
            weighted += T.dot(U[:, nz], seen[nz])
        return nz, self.g(weighted + mu)

    def scan(self, rating, seen=None, everywhere=False):
        """The post's `scan_res`, (n_rows, n_items): `step` over the rows of a dense mini-batch.

        0 where there is no rating, unless outputs are wanted `everywhere`.
        """
        if seen is None:
            step, sequences = self.step_everywhere if everywhere else self.step, [rating]
        else:
            step, sequences = self.step_of_two_everywhere if everywhere else self.step_of_two, [rating, seen]
        scan_res, _ = theano.scan(fn=step, outputs_info=None, sequences=sequences, non_sequences=self.params)
        return scan_res

    def loss(self, squared_error, decay_share=1, counts=None):
        """Equation (2), from its first sum.

        Parameters
        ----------
        squared_error : scalar
        decay_share : float or Theano scalar
            The part of the weight decay that falls to this mini-batch. With `l2_weighted` it is not used.
        counts : vector, (n_items,), optional
            With `l2_weighted`, how many ratings of this mini-batch each item has.
        """
        if self.l2_weighted:
            return squared_error + (self.l2_W * T.dot(counts, T.sum(self.W ** 2, axis=1))
                                    + self.l2_V * sum(T.dot(counts, T.sum(V ** 2, axis=0)) for V in self.encoders))
        return squared_error + decay_share * (self.l2_W * T.sum(self.W ** 2)
                                              + self.l2_V * sum(T.sum(V ** 2) for V in self.encoders))

    def ae_batch(self, inputs, squared_error, update=lasagne.updates.sgd, learning_rate=0.001, decay_share=1,
                 counts=None):
        """The post's `ae_batch`: a compiled function that takes a mini-batch and updates the parameters.

        Parameters
        ----------
        inputs : list of Theano variables
            The mini-batch: ``[rating]`` for the scan graph.
        squared_error : scalar
            The data term of the loss as a graph of `inputs` and `params`.
        update : callable
            Of the signature of `lasagne.updates.sgd`.
        learning_rate, decay_share : float or Theano scalar
            `decay_share` as in `loss`; the post's is 1.
        counts : vector, (n_items,), optional
            As in `loss`, for a model with `l2_weighted`.

        Returns
        -------
        theano.function
            Returns the loss and its data term, both before the update.

        Examples
        --------
        The post, line by line:

        >>> import theano.tensor as T
        >>> from sparse_ae import AutoEncoder
        >>> model = AutoEncoder(n_items=4, n_hidden=2, rating_scale=(1, 5), rng=0)
        >>> rating = T.matrix("rating")
        >>> scan_res = model.scan(rating)
        >>> ae_batch = model.ae_batch([rating], T.sum((scan_res - rating) ** 2), learning_rate=0.01)
        >>> loss, squared_error = ae_batch([[5, 0, 3, 0], [0, 1, 0, 4]])
        """
        with self.building():
            loss = self.loss(squared_error, decay_share, counts)
        return self.compiled_update(inputs, loss, squared_error, update, learning_rate)

    def compiled_update(self, inputs, loss, squared_error, update, learning_rate):
        """`ae_batch` for any loss, a graph of `inputs` and `params`; returns it and the squared error."""
        with self.building():
            updates = update(loss, self.params, learning_rate)
            shapes = {x: np.shape(x.get_value(borrow=True, return_internal_type=True)) for x in updates}
            for variable, shape in shapes.items():
                # What an update keeps for V gets V's memory order: Theano is slow where orders mix.
                if variable not in self.params and shape == (self.n_hidden, self.n_items):
                    item_major(variable)
            # Inputs of a wider dtype than the parameters' make wider updates.
            updates = OrderedDict((variable, T.cast(new, variable.dtype)) for variable, new in updates.items())
            updates.update((variable, made_item_major(new)) for variable, new in updates.items()
                           if shapes[variable] == (self.n_hidden, self.n_items))
            self.compile_ahead(loss, *updates.values())
            return theano.function(inputs, [loss, squared_error], updates=updates, name="ae_batch", mode=blas.mode())

    # Predictions

    def check(self, ratings):
        """`ratings` as canonical CSR, (n_rows, n_items) float32, after checking that this model can take them.

        Raises
        ------
        ValueError
            For another number of columns, ratings outside the scale, and what `data.check_ratings` refuses.
        """
        ratings = self.check_part(ratings)
        if ratings.shape[1] != self.n_items:
            raise ValueError("ratings have %d columns; the model has n_items=%d. Rows are what is reconstructed, "
                             "columns are items: transpose the matrix if it is the other way round%s"
                             % (ratings.shape[1], self.n_items, "" if self.ranks.size == 1 else
                                "; of %d columns rank %d of %d has these: pass model.ranks.part(ratings)"
                                % (self.n_all_items, self.ranks.rank, self.ranks.size)))
        if not ratings.nnz:
            return ratings
        low, high = self.rating_scale or (self.nonlinearity.range if self.nonlinearity else (-np.inf, np.inf))
        least, most = ratings.data.min(), ratings.data.max()
        if least < low or most > high:
            first = ratings.data[np.argmax((ratings.data < low) | (ratings.data > high))]
            scale = ("rating_scale=(%g, %g)" if self.rating_scale else "what f can reach, %g to %g") % (low, high)
            raise ValueError("rating %g is outside %s; pass rating_scale=(%g, %g), the lowest and highest rating"
                             % (first, scale, least, most))
        return ratings

    def check_unknown(self, unknown):
        """ValueError for what is to be predicted where nothing is known, if it is no rating; None is the mean's."""
        if unknown is None:
            return
        check_finite(unknown, "unknown", "a number, or None for the mean rating")
        if not self.missing_weight:
            check_on_scale(unknown, self.rating_scale)

    def _check_one_encoder(self):
        if self.U is not None:
            raise ValueError("the model has a second encoder, U, which sees residuals; expected a model without: "
                             "scoring.Scorer(model, ratings, residuals=...) predicts with it")

    def check_part(self, ratings):
        """As `data.check_ratings`; a rank's columns, of which it may be the only one to have any, can be empty."""
        if self.ranks.size > 1 and getattr(ratings, "nnz", None) == 0:
            return canonical_csr(np.zeros(0, np.float32), np.zeros(0, int), np.zeros(ratings.shape[0] + 1, int),
                                 ratings.shape)
        return check_ratings(ratings)

    def hidden(self, ratings, seen=None):
        """Hidden units of each row of a CSR block, (n_rows, k). The block isn't checked, but for its indices.

        `seen`, (nnz,), is the second encoder's input, of a model that has one.
        """
        extra = () if self.U is None else (seen.astype(self.dtype, copy=False),)
        return self._hidden_function()(*csr_arrays(ratings, self.dtype) + extra)

    def _hidden_function(self):
        if "hidden" not in self._compiled:
            with self.building():
                inputs = self._hidden_inputs()
                g = find(self.g)  # NumPy and SciPy compute it as fast as C that has to be compiled first
                if g is None or on_gpu():
                    function = compiled(inputs, self.hidden_activation(self.weighted(*inputs)), name="hidden")
                else:
                    products = compiled(inputs, self._products(*inputs), name="hidden")

                    def function(*arrays):
                        weighted, *more = products(*arrays)
                        for each in more:
                            weighted += each
                        weighted = self.ranks.sum(weighted)
                        weighted += self.mu.get_value(borrow=True)
                        return weighted if g.is_linear else g.ufunc(weighted)

                self._compiled["hidden"] = function
        return self._compiled["hidden"]

    def _hidden_inputs(self):
        data, (indices, indptr) = T.vector("data"), T.ivectors("indices", "indptr")
        return [data, indices, indptr] + ([] if self.U is None else [T.vector("seen")])

    def decode(self, h, cols, indptr, W=None, b=None):
        """Outputs, not clipped, of pairs: row r of h with the columns ``cols[indptr[r]:indptr[r + 1]]``.

        Each output is computed by itself: it is the same, to the last bit, whatever other pairs are asked for. A
        product of matrices is quicker, and would break ties differently each time.

        Parameters
        ----------
        h : array, (n_rows, k)
            Or what `sent` or `sent_rows` gave.
        cols : int array, (n_pairs,)
        indptr : int array, (n_rows + 1,)
        W, b : arrays, (n_columns, k) and (n_columns,), optional
            Those of columns that the model doesn't know; the model's own when not given. This is computed on the host,
            where they are, as `h` must be then.

        Returns
        -------
        array of `dtype`, (n_pairs,)
        """
        decode, f = self._decode_functions()
        arguments = h, cols.astype("int32", copy=False), indptr.astype("int32", copy=False)
        if W is not None:
            scores = self._decode_given_function()(W, *arguments)
            scores += b[cols]
        else:
            scores = decode(*arguments)
            if is_on_host(self.b):
                scores += self.b.get_value(borrow=True)[cols]
        return scores if f is None else f(scores)

    def sent(self, h):
        """Hidden units, (n_rows, k), where `decode` takes them from: on a GPU it needn't be sent them at each call."""
        return h if is_on_host(self.W) else self._h().type.filter(h)

    def sent_rows(self, h, rows):
        """Some rows of what `sent` gave, where they are."""
        if is_on_host(self.W):
            return h[rows]
        if "sent_rows" not in self._compiled:
            with self.building():
                data, (indices, indptr), sent = T.vector("data"), T.ivectors("indices", "indptr"), self._h()
                # By a matrix of ones and zeros: Theano's own look-up has OpenCL compile a program at every call.
                found = csr_dot(data, indices, indptr, sent).transfer(sent.type.context_name)
                self._compiled["sent_rows"] = compiled([data, indices, indptr, sent], found, name="sent_rows")
        return self._compiled["sent_rows"](np.ones(len(rows), self.dtype), rows.astype("int32", copy=False),
                                           np.arange(len(rows) + 1, dtype="int32"), h)

    def _h(self):
        """Hidden units as an input that is where W is."""
        return self.W.type.clone(broadcastable=(False, False))("h")

    def _decode_functions(self):
        """The scores of pairs, on the CPU but for b, and f of scores; None for f where it leaves them as they are.

        Only what NumPy can't do is compiled: each piece of C takes half a second, the first time.
        """
        if "decode" not in self._compiled:
            with self.building():
                h, (cols, indptr), scores = self._h(), T.ivectors("cols", "indptr"), T.vector("scores")
                found = sampled_dot(cols, indptr, h, self.W)
                if not is_on_host(self.b):  # looked up by the same Op, for its check of the indices
                    found += sampled_dot(cols, indptr, T.ones_like(h[:, :1]), self.b.dimshuffle(0, "x"))
                decode = compiled([h, cols, indptr], found, name="decode")
                f = None
                if self.f is not nonlinearities.linear:
                    f = compiled([scores], self.output_activation(scores), name="f")
                self._compiled["decode"] = decode, f
        return self._compiled["decode"]

    def _decode_given_function(self):
        """The scores of pairs with any W but for b, on the host: the model's own may be elsewhere, and isn't needed."""
        if "decode_given" not in self._compiled:
            with self.building():
                (W, h), (cols, indptr) = T.matrices("W", "h"), T.ivectors("cols", "indptr")
                mode = kept_on_host(theano.compile.get_default_mode())
                self._compiled["decode_given"] = compiled([W, h, cols, indptr], sampled_dot(cols, indptr, h, W),
                                                          mode=mode, name="decode_given")
        return self._compiled["decode_given"]

    def compile_ahead(self, *variables):
        """`ops.ahead.compile_ahead`, but on rank 0 alone: what it compiles the others find in the cache."""
        if not self.ranks.rank:
            compile_ahead(*variables)

    def begin_compiling_predictions(self):
        """Has the compiler begin with what predictions will need; what they don't ask for is thrown away."""
        with self.building():
            h, (cols, indptr) = T.matrix("h"), T.ivectors("cols", "indptr")
            self.compile_ahead(sampled_dot(cols, indptr, h, self.W), *self._products(*self._hidden_inputs()))

    def compile_predictions(self):
        """Compile now what predictions need, and would otherwise compile when they are first asked for."""
        self._hidden_function()
        self._decode_functions()
        self._decode_given_function()

    def predict_pairs(self, ratings, rows, cols, unknown=None, block_size=1024):
        """Predicted ratings of asked-for (row, column) pairs; nothing else is decoded.

        Parameters
        ----------
        ratings : sparse matrix, (n_rows, n_items)
            The input: training ratings. Ratings to be predicted must not be among them.
        rows, cols : int arrays, (n_pairs,)
        unknown : float, optional
            Prediction where the row or the column has no rating in `ratings`; their mean when not given.
        block_size : int
            Rows encoded at a time.

        Returns
        -------
        array of `dtype`, (n_pairs,)
            In the ratings' unit, clipped to `rating_scale`.

        Raises
        ------
        ValueError, IndexError
            For ratings of a wrong shape and for pairs outside it; for a bad setting; and for a model with U, of which
            `scoring.Scorer` knows what the second encoder sees.
        """
        self._check_one_encoder()
        self.check_unknown(unknown)
        check_count(block_size, "block_size")
        ratings = self.check(ratings)
        rows, cols = _positions(rows, ratings.shape[0], "rows"), _positions(cols, ratings.shape[1], "cols")
        if len(rows) != len(cols):
            raise ValueError("rows has %d entries, cols %d; a pair needs both" % (len(rows), len(cols)))
        scorer = Scorer(self, ratings)
        return scorer.predict(rows, cols, scorer.mean if unknown is None else unknown, block_size)

    def predict_blocks(self, ratings, block_size=256):
        """Predicted ratings of all items, a block of rows at a time.

        Parameters
        ----------
        ratings : sparse matrix, (n_rows, n_items)
        block_size : int
            Rows in a block; a block takes ``block_size * n_items`` numbers of memory.

        Yields
        ------
        rows : slice
        predicted : array of `dtype`, (rows in the block, n_items)
            Clipped to `rating_scale`. Columns without a rating in `ratings` are decoded like the others.

        Raises
        ------
        ValueError
            As `predict_pairs`, when the first block is asked for.
        """
        self._check_one_encoder()
        check_count(block_size, "block_size")
        ratings = self.check(ratings)
        if "all" not in self._compiled:
            with self.building():
                h = T.matrix("h")
                output = self.output_activation(T.dot(h, self.W.T) + self.b)
                self._compiled["all"] = compiled([h], output, name="predict_blocks")
        for start in range(0, ratings.shape[0], block_size):
            rows = slice(start, min(start + block_size, ratings.shape[0]))
            yield rows, self.clip(self._compiled["all"](self.hidden(ratings[rows])))

    def clip(self, predicted):
        """`predicted` brought into `rating_scale`, in place; as it is without one, and where missing entries count."""
        if self.rating_scale is None or self.missing_weight:
            return predicted
        return np.clip(predicted, *self.rating_scale, out=predicted)


def _nonlinearity(spec, name, dtype):
    function = getattr(nonlinearities, spec, None) if isinstance(spec, str) and spec.islower() else spec
    if not callable(function):
        raise ValueError("%s is %r; expected a name from lasagne.nonlinearities, such as 'sigmoid', 'tanh', 'linear' "
                         "or 'rectify', or a function of a Theano tensor" % (name, spec))
    if getattr(nonlinearities, getattr(function, "__name__", ""), None) is not function:
        _check_own(function, name, dtype)
    return function


def _check_own(function, name, dtype):
    """Try a user's own nonlinearity."""
    with building(dtype):
        x = T.matrix()
        try:
            y = function(x)
        except Exception as error:
            raise ValueError("%s is %r, which can't be called with a Theano tensor (%s: %s); expected a function such "
                             "as lasagne.nonlinearities.sigmoid" % (name, function, type(error).__name__, error)
                             ) from error
        if not isinstance(y, theano.Variable) or getattr(y, "ndim", None) != 2 or x not in theano.gof.graph.inputs([y]):
            raise ValueError("%s is %r, which makes %r of a Theano matrix; expected a matrix of the same shape that "
                             "depends on it" % (name, function, y))


def _decays(l2):
    pair = l2 if isinstance(l2, (tuple, list)) else (l2, l2)
    if len(pair) != 2 or not all(is_number(x) and x >= 0 for x in pair):
        raise ValueError("l2 is %r; expected a number that is not negative, or a pair of them for W and V" % (l2,))
    if max(pair) > MOST:
        raise ValueError("l2 is %r; expected far less: nothing would be left of W or V" % (l2,))
    return float(pair[0]), float(pair[1])


def _parameter(spec, shape, name, dtype):
    if isinstance(spec, (np.ndarray, theano.compile.SharedVariable)):
        value = spec if isinstance(spec, np.ndarray) else spec.get_value(borrow=True)
        if value.shape != shape:
            raise ValueError("%s has shape %r; expected %r" % (name, value.shape, shape))
        if isinstance(spec, np.ndarray):
            if spec.dtype.kind not in "biuf":
                raise TypeError("%s is an array of %s; expected real numbers" % (name, spec.dtype))
            spec = spec.astype(dtype)
        elif spec.dtype != dtype:
            raise TypeError("%s is a shared variable of dtype %s and the model's is %s; expected the same: pass "
                            "dtype=%r" % (name, spec.dtype, dtype, spec.dtype))
    elif not callable(spec):
        raise TypeError("%s is %r; expected an initialiser from lasagne.init, a function of a shape, an array or a "
                        "Theano shared variable" % (name, spec))
    try:
        parameter = lasagne.utils.create_param(spec, shape, name=name)
    except MemoryError as error:
        raise MemoryError("there is no memory for %s, %s numbers; lower n_hidden"
                          % (name, " x ".join(map(str, shape)))) from error
    except Exception as error:  # Lasagne's, of a function that makes something else; and the function's own
        raise ValueError("%s is %r, which makes nothing of the shape %r (%s: %s)"
                         % (name, spec, shape, type(error).__name__, error)) from error
    parameter.name = name
    return parameter


# What draws each number by itself, in order.
_DRAWN_ONE_BY_ONE = init.Normal, init.Uniform, init.Glorot, init.He


def _own_parameter(spec, shape, name, dtype, ranks, axis):
    """As `_parameter`, for a rank's own columns, of which there may be none; `spec` is of all, or a shared variable."""
    own = list(shape)
    own[axis] = ranks.n_own(shape[axis])
    if isinstance(spec, theano.compile.SharedVariable):
        return _parameter(spec, tuple(own), name, dtype)
    rng = lasagne.random.get_rng()
    if isinstance(spec, _DRAWN_ONE_BY_ONE) and len(shape) == 2:
        lasagne.random.set_rng(OwnDraws(rng, ranks, axis))
        try:
            value = np.asarray(spec(shape), dtype)
        finally:
            lasagne.random.set_rng(rng)
    else:
        value = _parameter(spec, shape, name, dtype).get_value(borrow=True)
        value = value[ranks.own].copy() if axis == 0 else value[:, ranks.own].copy()
    assert value.shape == tuple(own), name
    return theano.shared(value, name=name)


def _positions(values, stop, name):
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError("%s is a %d-d array of %s; expected a vector of integers" % (name, values.ndim, values.dtype))
    if len(values) and (values.min() < 0 or values.max() >= stop):
        wrong = values[(values < 0) | (values >= stop)][0]
        raise IndexError("%s holds %d; the ratings have positions 0 ... %d" % (name, wrong, stop - 1))
    return values.astype(np.intp, copy=False)
