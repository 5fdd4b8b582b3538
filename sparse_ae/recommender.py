"""Ratings in, predictions and recommendations out, in the ids that came in: what most people will import.

`Recommender` puts (user, item, rating) into the masked autoencoder of `model.AutoEncoder`, trains it with
`trainer.Trainer`, and speaks of users and items by their own ids. It follows scikit-learn's conventions, without
needing scikit-learn: its search and cross-validation take it, with pairs of user and item as X and ratings as y.

>>> import sparse_ae
>>> ratings = ([7, 7, 8, 8, 9], ["tea", "jam", "tea", "ale", "jam"], [5, 4, 5, 1, 2])  # users, items, ratings
>>> recommender = sparse_ae.Recommender(n_hidden=4, n_epochs=2, progress=False).fit(ratings, validation=None)
>>> recommender.predict([9, 7], ["tea", "ale"]).shape
(2,)
>>> recommender.recommend(8).items
array(['jam'], dtype='<U3')

With ``rows="items"`` the model reconstructs items from the ratings of their users: I-AutoRec, the better model on
MovieLens. With ``rows="users"`` it reconstructs users from the ratings of their items: U-AutoRec, and the post. S.
Sedhain, A. K. Menon, S. Sanner, L. Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015.
"""
import numbers

from sparse_ae import theano_compat  # noqa: F401  (before theano)
import lasagne
import numpy as np
import scipy.sparse as sp

from sparse_ae import saved
from sparse_ae.checks import check_count, check_number, check_rng, is_number
from sparse_ae.data.ids import Catalogue, distinct, one_of, positions
from sparse_ae.data.outofcore import StoredRatings
from sparse_ae.data.splits import split_ratings
from sparse_ae.data.tables import as_columns, as_pairs, as_ratings
from sparse_ae.metrics import ErrorSums, ndcg_at_k, precision_at_k, recall_at_k
from sparse_ae.model import AutoEncoder
from sparse_ae.newuser import ColumnSolver, NewUser, column_outputs, row_outputs
from sparse_ae.ranking import Recommendations, recommendations, top_n
from sparse_ae.scoring import Scorer
from sparse_ae.settings import NotFittedError, Settings, from_json, not_fitted, to_json
from sparse_ae.steps import UPDATES
from sparse_ae.trainer import Trainer, TrainingDiverged

__all__ = ["NotFittedError", "Recommendations", "Recommender"]

# Updates without a better validation RMSE that patience="auto" bears at least.
_UPDATES_OF_PATIENCE = 200


class Recommender(Settings):
    """A masked autoencoder over ratings with ids.

    Parameters
    ----------
    n_hidden : int
        Hidden units.
    rows : {"items", "users"}
        What is reconstructed; see the module's docstring.
    f, g : str or callable
        Output and hidden nonlinearity, as `AutoEncoder` takes them.
    l2 : float or (float, float)
        Weight decay of W, the decoder, and V, the encoder: an epoch's cost is ``squared error + l2 (|W|^2 + |V|^2)``.
    weight_scale : float
        Standard deviation of the normal distribution that W and V are drawn from at first.
    update : str or callable
        The optimiser, as `Trainer` takes it.
    learning_rate : float or callable
        As `Trainer` takes it.
    batch_size : int or None
        Rows in a mini-batch; None for all at once, as "rprop" and "lbfgs" need it.
    n_epochs : int
        At most so many; exactly so many without validation.
    patience : int, "auto" or None
        Training ends once the validation RMSE hasn't become better for so many epochs, and the parameters of the best
        epoch are put back. None for neither. "auto" is 10 epochs, and at least 200 updates: the error often rises over
        the first few, and stands still, before it falls.
    rating_scale : (float, float), optional
        Lowest and highest rating, to which predictions are clipped; those of the ratings when not given.
    unknown : "mean", "error" or float
        What is predicted for a user or an item that had no rating in `fit`: the mean rating, a number (the paper's is
        3), or nothing: it is an error.
    formulation : {"auto", "scan", "dense", "sparse"}
        As `Trainer` takes it.
    rng : int or numpy.random.RandomState
        Cuts off the validation ratings, draws the first weights, shuffles. The same seed gives the same bytes.
    progress : bool
        Whether to show progress on stderr.
    dtype : {"float32", "float64"}
        Of the parameters and the predictions. float64 takes twice the memory, and about twice the time.

    Attributes
    ----------
    users_, items_ : numpy.ndarray of int64 or str, shape (n_users,), (n_items,)
        The known ids, ascending.
    rating_scale_ : (float, float)
    mean_ : float
        Mean of the ratings.
    model_ : AutoEncoder
        Its "items" are the columns: users, with ``rows="items"``.
    history_ : list of dict
        One for each epoch, as `Trainer.history`.
    best_epoch_ : int
        The epoch that the parameters are of.

    Notes
    -----
    Settings are stored as they are given, and checked by `fit`. The defaults were chosen on validation ratings of
    MovieLens 100K and 1M, which are from 1 to 5. For ratings on a much wider scale lower `weight_scale` in proportion.

    What is recommended beyond the defaults, chosen on validation ratings too, is Adam at a constant rate for some
    epochs, then at a falling one, for a fixed number of epochs on all ratings: ``fit(ratings, validation=None)`` with
    ``learning_rate=lambda epoch: 0.001 * 0.75 ** max(0, epoch - hold)`` and

    ===================  =======  ==========  ==========  ====  ========
    ratings like         rows     l2          batch_size  hold  n_epochs
    ===================  =======  ==========  ==========  ====  ========
    MovieLens 1M         "items"  (100, 200)  256         22    30
    MovieLens 1M         "users"  (200, 20)   256         12    20
    MovieLens 100K       "items"  50          128         12    20
    ===================  =======  ==========  ==========  ====  ========

    Fewer hidden units want less weight decay and more, larger steps; a linear `g` wants more weight decay and smaller
    steps. ``examples/autorec_table.py`` has settings for these, and shows what each of them reaches.
    """

    def __init__(self, n_hidden=500, rows="items", f="identity", g="sigmoid", l2=50.0, weight_scale=0.01,
                 update="adam", learning_rate=0.001, batch_size=256, n_epochs=300, patience="auto", rating_scale=None,
                 unknown="mean", formulation="auto", rng=0, progress=True, dtype="float32"):
        self.n_hidden = n_hidden
        self.rows = rows
        self.f = f
        self.g = g
        self.l2 = l2
        self.weight_scale = weight_scale
        self.update = update
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.patience = patience
        self.rating_scale = rating_scale
        self.unknown = unknown
        self.formulation = formulation
        self.rng = rng
        self.progress = progress
        self.dtype = dtype

    # Training

    def fit(self, ratings, y=None, validation=0.1, on_epoch=None, checkpoint=None, checkpoint_every=1, resume=False):
        """Learn from ratings. What was learned before is forgotten, if this ends well.

        Parameters
        ----------
        ratings : table, array of rows, tuple of columns, sparse matrix, Ratings, or StoredRatings
            Users, items and ratings, in any form that `tables.as_ratings` takes; or ratings on disk, stored with the
            recommender's `rows`, of which a mini-batch is read at a time.
        y : array_like of float, shape (n,), optional
            The ratings, if `ratings` has only users and items, (n, 2): scikit-learn's form.
        validation : float, or ratings in any of the forms above, or None
            A fraction of the ratings is cut off at random, and training stops early on it. Held-out ratings of your own
            do the same; those of users and items that `ratings` lacks are passed over. None runs all `n_epochs`.
        on_epoch : callable, optional
            Called with each epoch's dict.
        checkpoint : str or path-like, optional
            A file to keep in step with the training, which may be killed at any time. (It is no saved recommender.)
        checkpoint_every : int
            Epochs from one checkpoint to the next.
        resume : bool
            Whether to go on from `checkpoint`, if there is such a file. A program that was killed is run again as it
            is, and ends as if it had not been killed, bit for bit; see `Trainer.fit`.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For settings and ratings that can't be used, before anything is compiled.
        trainer.TrainingDiverged
            When the loss or a parameter becomes NaN or infinite, or training errors are wider than the rating scale.

        Notes
        -----
        Once trained, the model's input, and what counts as seen, is all of `ratings`, with the fraction that was cut
        off for validation: on MovieLens that lowers the test RMSE by 0.001 to 0.007. Held-out ratings given as
        `validation` are never input.

        To train on all ratings for as long as was best on validation:
        ``recommender.set_params(n_epochs=recommender.best_epoch_).fit(ratings, validation=None)``.
        """
        if self.rows not in ("items", "users"):
            raise ValueError("rows is %r; expected 'items' or 'users'" % (self.rows,))
        unknown = _check_unknown(self.unknown)
        rng = check_rng(self.rng)
        if isinstance(ratings, StoredRatings):
            everything, users, items = self._stored(ratings, validation)
        else:
            matrix, users, items, _ = as_ratings(ratings, y)
            everything = matrix if self.rows == "users" else matrix.T.tocsr()
        scale = _check_scale(self.rating_scale, everything.data)
        train, held_out = self._held_out(everything, users, items, validation, rng)

        model = self._model(train, scale, rng)
        trainer = Trainer(model, self.update, self.learning_rate, self.batch_size, self.formulation, "epoch", rng,
                          self.progress, unknown=unknown if isinstance(unknown, float) else None)
        history = trainer.fit(train, self.n_epochs, validation=held_out, on_epoch=on_epoch,
                              patience=self._epochs_of_patience(train, held_out), checkpoint=checkpoint,
                              checkpoint_every=checkpoint_every, resume=resume)
        best_epoch = history[-1]["restored"] or len(history)
        error = history[best_epoch - 1]["train_rmse"]
        if error > scale[1] - scale[0]:  # any constant on the scale is better
            raise TrainingDiverged("the training RMSE is %g in epoch %d, on a scale from %g to %g; lower "
                                   "learning_rate=%r or weight_scale=%r"
                                   % (error, best_epoch, *scale, self.learning_rate, self.weight_scale))
        self._take(model, everything, users, items, scale, unknown, history, best_epoch, self.rows)
        return self

    def _epochs_of_patience(self, train, held_out):
        if held_out is None:
            return None
        if self.patience != "auto":
            return self.patience
        n_rows = np.count_nonzero(np.diff(train.indptr))
        per_epoch = 1 if self.batch_size is None else -(-n_rows // self.batch_size)
        return max(10, -(-_UPDATES_OF_PATIENCE // per_epoch))

    def _stored(self, ratings, validation):
        if ratings.rows != self.rows:
            raise ValueError("the stored ratings have %s as rows and the recommender rows=%r; store them with rows=%r, "
                             "or set the recommender's" % (ratings.rows, self.rows, self.rows))
        if isinstance(validation, numbers.Number):
            raise ValueError("validation is %r and the ratings are on disk, where none can be cut off; pass held-out "
                             "ratings, or validation=None" % (validation,))
        ids = ratings.row_ids, ratings.col_ids
        return (ratings.matrix,) + (ids if self.rows == "users" else ids[::-1])

    def _held_out(self, everything, users, items, validation, rng):
        """The ratings to train on, and those to validate on or None; both by the model's rows."""
        if validation is None:
            return everything, None
        if isinstance(validation, numbers.Number):
            if isinstance(validation, bool) or not isinstance(validation, numbers.Real) or not 0 < validation < 1:
                raise ValueError("validation is %r; expected a fraction between 0 and 1, held-out ratings, or None"
                                 % (validation,))
            n_held_out = round(validation * everything.nnz)
            if not 0 < n_held_out < everything.nnz:
                raise ValueError("validation=%r is %d of %d ratings; expected at least one, and one to train on: "
                                 "change the fraction, pass held-out ratings, or validation=None"
                                 % (validation, n_held_out, everything.nnz))
            return split_ratings(everything, validation, rng)[:2]
        given = as_ratings(validation)
        coo = given.matrix.tocoo()
        u, i = positions(given.users, users, "users")[coo.row], positions(given.items, items, "items")[coo.col]
        known = (u >= 0) & (i >= 0)
        if not known.any():
            raise ValueError("none of the %d validation ratings is of a user and an item that the ratings have; "
                             "expected some: check the ids" % len(known))
        rows, cols = (u[known], i[known]) if self.rows == "users" else (i[known], u[known])
        twice = np.count_nonzero(everything[rows, cols])  # but for ratings of 0, which can't be told from missing ones
        if twice:
            raise ValueError("%d of the validation ratings are among the ratings to train on; expected held-out ones, "
                             "or a fraction to cut off" % twice)
        return everything, sp.csr_matrix((coo.data[known], (rows, cols)), shape=everything.shape)

    def _model(self, train, scale, rng):
        check_number(self.weight_scale, "weight_scale", alternative=", such as 0.01")
        normal = lasagne.init.Normal(self.weight_scale)
        model = AutoEncoder(train.shape[1], self.n_hidden, scale, self.f, self.g, self.l2, W=normal, V=normal, rng=rng,
                            dtype=self.dtype)
        # Outputs start at the mean rating: what is learned is how each differs from it.
        start = model.score_of(float(train.data.mean(dtype="float64")))
        model.b.set_value(np.full(model.n_items, start, model.dtype))
        return model

    def _take(self, model, ratings, users, items, scale, unknown, history, best_epoch, rows):
        """Takes what was fitted or read; `ratings` have the model's rows."""
        self.users_, self.items_, self.rating_scale_ = users, items, tuple(map(float, scale))
        self.model_, self.history_, self.best_epoch_ = model, history, best_epoch
        self._scorer, self._column_solver = Scorer(model, ratings, rows), None
        self.mean_ = self._scorer.mean
        self._unknown = unknown  # the setting may be changed before the next fit
        strict = unknown == "error"
        self._users = Catalogue("user", users, self._scorer.users_rated, strict)
        self._items = Catalogue("item", items, self._scorer.items_rated, strict)

    # Predictions

    def predict(self, users, items=None):
        """Predicted ratings of pairs of users and items.

        Parameters
        ----------
        users, items : ids, or array_like of ids, shape (n,)
            One of the two may be a single id, which then goes with all of the other. Without `items`, `users` is a
            table or an array of pairs, (n, 2): the X of scikit-learn.

        Returns
        -------
        numpy.ndarray, shape (n,); a float for two single ids
            In the ratings' unit, clipped to `rating_scale_`. Pairs that were rated in `fit` are predicted like others.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for columns of different lengths, and, with ``unknown="error"``, for a user or an
            item without a rating in `fit`.
        """
        self._check_fitted()
        if items is None:
            if isinstance(users, (str, numbers.Number)):
                raise TypeError("predict has the user %r and no items; expected predict(users, items), or a table of "
                                "pairs" % (users,))
            users, items = as_pairs(users)
        single = np.ndim(users) == 0, np.ndim(items) == 0
        u, i = self._users.find(users), self._items.find(items)
        if not any(single) and len(u) != len(i):
            raise ValueError("%d users and %d items were given; expected one of each for every prediction, or a single "
                             "one of either" % (len(u), len(i)))
        u, i = np.broadcast_arrays(u, i)
        self._users.check_known(users, u)
        self._items.check_known(items, i)
        known = (u >= 0) & (i >= 0)
        predicted = np.full(len(u), self._for_unknown(), self.model_.dtype)
        predicted[known] = self.model_.clip(self._scorer.pairs(u[known], i[known]))
        return float(predicted[0]) if all(single) else predicted

    def recommend(self, users, n=10, exclude_seen=True, items=None):
        """The items with the highest predicted ratings.

        Parameters
        ----------
        users : an id, or array_like of ids, shape (n_users,)
        n : int
            How many items; there are fewer where no more can be recommended.
        exclude_seen : bool
            Whether to leave out what the user rated in `fit`.
        items : array_like of ids, optional
            Recommend from these only. Items that had no rating in `fit` are never recommended: nothing is known of
            them.

        Returns
        -------
        Recommendations; a list of them for several users
            Items are ordered by the model's output *before* it is clipped to the rating scale, lest all favourites tie
            at the top of it, and equal ones by id, ascending. Scores are clipped: they are what `predict` gives.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for a user without a rating in `fit` (see `fold_in`), and, with ``unknown="error"``,
            for such an item.
        """
        self._check_fitted()
        places = self._users.find(users)
        if (places < 0).any():
            raise ValueError("the user %r had no rating in fit, so nothing can be recommended from it; pass the "
                             "ratings that there are to fold_in, or leave the user out"
                             % (one_of(users, int(np.argmax(places < 0))),))
        candidates = self._items.candidates(items)
        ids, found = self.items_[candidates], []
        for best, scores in self._scorer.best(places, check_count(n, "n"), exclude_seen, candidates):
            found += [recommendations(ids, *of_one_user) for of_one_user in zip(best, scores)]
        return found[0] if np.ndim(users) == 0 else found

    def fold_in(self, ratings):
        """A person whom the model has never seen, from some ratings, without training.

        With ``rows="users"`` the ratings go through the encoder as any user's do: nothing is approximated, yet it
        predicts strangers worse. With ``rows="items"`` the person's own parameters are solved for, by least squares
        with the model's weight decay. See `newuser`, also for how good either is.

        Parameters
        ----------
        ratings : dict of item id to rating
            Items that had no rating in `fit` tell nothing and are passed over; with ``unknown="error"`` they are one.

        Returns
        -------
        NewUser
            With methods `predict` and `recommend`. The recommender stays as it is.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For ratings that are no dict, no numbers, outside the rating scale, or all of unknown items.
        """
        self._check_fitted()
        low, high = self.rating_scale_
        if not hasattr(ratings, "keys"):
            raise TypeError("ratings are %s; expected a dict of item id to rating, such as {%r: %g}"
                            % (type(ratings).__name__, self.items_[0].item(), high))
        items, values = list(ratings.keys()), list(ratings.values())
        for item, value in zip(items, values):
            if not is_number(value):
                raise TypeError("the rating of item %r is %r; expected a finite number" % (item, value))
            if not low <= value <= high:
                raise ValueError("the rating of item %r is %g; expected one within the rating scale, %g to %g"
                                 % (item, value, low, high))
        places, values = self._items.find(items), np.array(values, dtype=np.float64)
        self._items.check_known(items, places, "passed over")
        if not (places >= 0).any():
            raise ValueError("none of the %d rated items had a rating in fit; expected at least one that had"
                             % len(items))
        order = np.argsort(places)[np.count_nonzero(places < 0):]
        places, values = places[order], values[order]
        if self._scorer.rows == "users":
            outputs = row_outputs(self.model_, places, values)
        else:
            if self._column_solver is None:
                self._column_solver = ColumnSolver(self.model_, self._users.rated)
            outputs = column_outputs(self._scorer, self._column_solver, places, values)
        return NewUser(self._items, places, values, outputs, self.model_.clip, self._for_unknown())

    def similar_items(self, item, n=10):
        """The items that the model takes to be most like an item.

        Parameters
        ----------
        item : an id
        n : int

        Returns
        -------
        Recommendations
            Scores are cosines, from -1 to 1, of the items' factors less the mean of all items: with ``rows="items"``
            their hidden units, with ``rows="users"`` their rows of the decoder, W. Equal ones are ordered by id.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what is no id, or an item that had no rating in `fit`.
        """
        self._check_fitted()
        if np.ndim(item) != 0:
            raise TypeError("item is %r; expected a single id" % (item,))
        place, = self._items.find(item)
        if place < 0:
            raise ValueError("the item %r had no rating in fit; expected one that had, to compare the others with"
                             % (item,))
        candidates = self._items.candidates()
        if self._scorer.rows == "items":
            factors = self._scorer.hidden(candidates)
        else:
            factors = self.model_.W.get_value(borrow=True)[candidates]
        factors = factors - factors.mean(axis=0, dtype="float64")
        factors /= np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), np.finfo(float).tiny)
        at = np.searchsorted(candidates, place)
        cosines = np.einsum("ik,k->i", factors, factors[at])
        cosines[at] = -np.inf
        best = top_n(cosines[np.newaxis], n)[0]
        return recommendations(self.items_[candidates], best, cosines[best])

    # Measures

    def score(self, X, y=None):
        """Minus the RMSE over ratings in any form that `fit` takes: higher is better, as scikit-learn wants it."""
        self._check_fitted()
        users, items, values = as_columns(X, y)[:3]
        return -ErrorSums().add(values, self.predict(users, items)).rmse()

    def evaluate(self, ratings, y=None, k=10, relevant=None):
        """How well held-out ratings are predicted, and how well items are ranked.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.
        k : int or None
            Length of the lists that are judged; None leaves ranking out, which takes most of the time.
        relevant : float, optional
            The rating from which a held-out item is relevant; by default three quarters up the scale: 4 on 1 to 5.

        Returns
        -------
        dict
            "rmse", "mae"
                Over all ratings; see `metrics`.
            "n_ratings", "n_unknown"
                How many there are; and how many are of a user or an item without a rating in `fit`. They are predicted
                as `unknown` says and count like the others.
            "precision", "recall", "ndcg"
                At k, by the formulas of `metrics`. A user's list is what `recommend` gives: the best of all items that
                the user has not rated in `fit`. Relevant are the user's held-out items with a rating of at least
                `relevant`; what nobody knows to be relevant counts as a miss. Users without a relevant item are left
                out, users without a rating in `fit` have k misses. NaN if no user has a relevant item.
            "n_users"
                How many users these three are means over.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            As `predict`, and for ratings that aren't finite numbers.
        """
        self._check_fitted()
        if k is not None:
            k = check_count(k, "k")
        users, items, values = as_columns(ratings, y)[:3]
        sums = ErrorSums().add(values, self.predict(users, items))
        u, i = self._users.find(users), self._items.find(items)
        measures = {"rmse": sums.rmse(), "mae": sums.mae(), "n_ratings": sums.count,
                    "n_unknown": int(np.count_nonzero((u < 0) | (i < 0)))}
        if k is None:
            return measures
        low, high = self.rating_scale_
        wanted = np.asarray(values) >= (low + 0.75 * (high - low) if relevant is None else relevant)
        if not wanted.any():
            return dict(measures, precision=np.nan, recall=np.nan, ndcg=np.nan, n_users=0)
        who, what = distinct(users)[1][wanted], distinct(items)[1][wanted]
        hits, n_relevant = self._hits(who, what, u[wanted], i[wanted], k)
        return dict(measures, precision=precision_at_k(hits, n_relevant), recall=recall_at_k(hits, n_relevant),
                    ndcg=ndcg_at_k(hits, n_relevant), n_users=len(hits))

    def _hits(self, who, what, users, items, k):
        """What `metrics` takes, from relevant pairs: numbered over all ids that came, and as places of known ones."""
        _, first, who = np.unique(who, return_index=True, return_inverse=True)
        n_relevant = np.bincount(np.unique(np.stack([who, what], axis=1), axis=0)[:, 0])
        hits = np.zeros((len(first), k), dtype=bool)
        relevant = (who * len(self.items_) + items)[items >= 0]
        candidates, known = self._items.candidates(), np.flatnonzero(users[first] >= 0)
        done = 0
        for best, _ in self._scorer.best(users[first][known], k, True, candidates):
            block = known[done:done + len(best)]
            done += len(best)
            pairs = block[:, np.newaxis] * len(self.items_) + candidates[best]
            hits[block] = np.isin(pairs, relevant) & (best >= 0)
        return hits, n_relevant

    # Files

    def save(self, path):
        """Write all of it to one file: parameters, ids, ratings, scale, settings, history.

        Parameters
        ----------
        path : str or path-like
            A file of sparse_ae that is there is replaced in one step, once the new one is whole; any other is an error.

        Raises
        ------
        NotFittedError
        TypeError
            If `f` or `g` is a function that isn't one of `lasagne.nonlinearities`: reading it would mean running code.
        OSError
            What the disk says.

        Notes
        -----
        The file is a NumPy `.npz` without pickle; see `storage`. Of an `update` or a `learning_rate` that is a function
        without a name in Lasagne it keeps a description only: enough to predict, and `fit` refuses it.
        """
        self._check_fitted()
        meta, arrays = self._state()
        settings = {name: to_json(_name_of(name, value)) for name, value in self.get_params().items()}
        saved.write(path, dict(meta, settings=settings, f=_name_of("f", meta["f"]), g=_name_of("g", meta["g"])), arrays)

    @classmethod
    def load(cls, path):
        """Read what `save` has written.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        Recommender
            Its predictions are the same to the last bit.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged, of another kind, or of a later version; see `saved`.
        """
        meta, arrays, ratings = saved.read(path)
        try:
            recommender = cls(**{name: from_json(value) for name, value in meta["settings"].items()})
            recommender._set_state(meta, arrays, ratings)
        except (KeyError, TypeError, ValueError) as error:  # of settings that this version hasn't, or can't take
            raise ValueError("%s holds settings that this sparse_ae can't take (%s); save the recommender anew"
                             % (path, error)) from error
        return recommender

    def _state(self):
        """What `fit` left behind: all that isn't an array, and the arrays."""
        ratings, model = self._scorer.ratings, self.model_
        arrays = {p.name: p.get_value(borrow=True) for p in model.params}
        arrays.update(users=self.users_, items=self.items_, data=ratings.data, indices=ratings.indices,
                      indptr=ratings.indptr)
        meta = {"rows": self._scorer.rows, "rating_scale": self.rating_scale_, "unknown": self._unknown,
                "history": self.history_, "best_epoch": self.best_epoch_, "f": model.f, "g": model.g,
                "l2": (model.l2_W, model.l2_V)}
        return meta, arrays

    def _set_state(self, meta, arrays, ratings):
        n_columns, n_hidden = arrays["W"].shape
        parameters = {name: arrays[name] for name in ("W", "V", "mu", "b")}
        model = AutoEncoder(n_columns, n_hidden, meta["rating_scale"], meta["f"], meta["g"], tuple(meta["l2"]),
                            dtype=arrays["W"].dtype, **parameters)
        self._take(model, ratings, arrays["users"], arrays["items"], meta["rating_scale"], meta["unknown"],
                   meta["history"], meta["best_epoch"], meta["rows"])

    def __getstate__(self):
        # For pickle and copy: compiled functions stay behind, they are made again when needed.
        return self.get_params(), self._state() + (self._scorer.ratings,) if self._is_fitted() else None

    def __setstate__(self, state):
        settings, fitted = state
        vars(self).update(settings)
        if fitted is not None:
            self._set_state(*fitted)

    # The machinery

    def _is_fitted(self):
        return hasattr(self, "model_")

    def _check_fitted(self):
        if not self._is_fitted():
            raise not_fitted("this Recommender is not fitted yet; call fit with ratings first, or load a saved one")

    def _for_unknown(self):
        """What is predicted where nothing is known."""
        return self._unknown if isinstance(self._unknown, float) else self.mean_


def _check_unknown(unknown):
    if isinstance(unknown, str) and unknown in ("mean", "error"):
        return unknown
    if not is_number(unknown):
        raise ValueError("unknown is %r; expected 'mean', 'error', or the rating to predict for users and items that "
                         "have none" % (unknown,))
    return float(unknown)


def _check_scale(rating_scale, values):
    if rating_scale is not None:
        return rating_scale  # AutoEncoder looks at it
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ValueError("all ratings are %g, which tells no scale; pass rating_scale=(lowest, highest)" % low)
    return low, high


def _name_of(setting, value):
    """The name by which a function is known where the setting is looked up; what isn't a function, as it is."""
    if not callable(value):
        return value
    if setting == "update":
        return next((name for name, function in UPDATES.items() if function is value), repr(value))
    if setting == "learning_rate":
        return repr(value)
    name = getattr(value, "__name__", "")
    if getattr(lasagne.nonlinearities, name, None) is value:
        return name
    raise TypeError("%s is %r, which no file can hold without code to run when it is read; expected a function of "
                    "lasagne.nonlinearities, or its name" % (setting, value))
