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

Most of a rating is said by biases: the mean, the user's offset and the item's. By default the model is trained on what
they leave over, and the two are added; see `residuals`. With ``biases=False`` it is trained on the ratings themselves,
as in the post.

A model with items as rows reconstructs items from the ratings of their users: I-AutoRec, the better one on MovieLens.
With users as rows it reconstructs users from the ratings of their items: U-AutoRec, and the post. S. Sedhain, A. K.
Menon, S. Sanner, L. Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015. Which suits better depends on
the ratings, and often both together do better than either.

Whoever wants lists rather than ratings says ``missing_weight=0.2``: missing entries then count a little, as if they had
been rated low, and the outputs are scores to rank by; see `objectives`.

>>> clicks = [(7, "tea"), (7, "jam"), (8, "tea"), (8, "ale"), (9, "jam")]
>>> recommender = sparse_ae.Recommender(missing_weight=0.2, feedback="counts", n_epochs=2, progress=False)
>>> recommender.fit(clicks, validation=None).recommend(9).items.tolist()
['tea', 'ale']
"""
import numbers
import os

import numpy as np
import scipy.sparse as sp

from sparse_ae.baselines.biases import Biases
from sparse_ae.checks import (
    MOST_RATING,
    check_bool,
    check_choice,
    check_count,
    check_dtype,
    check_finite,
    check_fraction,
    check_on_scale,
    check_path,
    check_rating_scale,
    check_rng,
    check_share,
    check_size_of_ratings,
    error_at,
    is_number,
    state_of,
)
from sparse_ae.data.feedback import as_counts, count_columns, from_counts, total_counts
from sparse_ae.data.ids import Catalogue, distinct, is_single, one_of, positions
from sparse_ae.data.outofcore import StoredRatings, overwriting_told
from sparse_ae.data.ratings import canonical_csr, check_ratings, entries_stored
from sparse_ae.data.splits import split_ratings
from sparse_ae.data.tables import as_columns, as_pairs, as_ratings
from sparse_ae.evaluation.lists import (
    check_relevant,
    judge_lists,
    no_measures,
    parse_measure,
    relevant_from,
    stack_lists,
)
from sparse_ae.evaluation.metrics import ErrorSums
from sparse_ae.model import AutoEncoder
from sparse_ae.recommender import saved
from sparse_ae.recommender.defaults import Choice, is_auto, useful_sides, validation_fraction
from sparse_ae.recommender.estimator import NotFittedError, Settings, from_json, not_fitted, to_json
from sparse_ae.recommender.fitting import (
    FitResult,
    Given,
    Lists,
    OrientedRatings,
    biases_of,
    check_settings,
    fit_ratings,
    fit_residuals,
    most_trainings,
    popularity_of,
    swapped,
)
from sparse_ae.runtime.ranks import ALONE, Ranks
from sparse_ae.scoring.fold_in import ColumnSolver, NewUser, PersonRatings, column_outputs, row_outputs
from sparse_ae.scoring.ranking import RecommendationLists, Recommendations, many_recommendations, recommendations, top_n
from sparse_ae.scoring.scorer import blend
from sparse_ae.training.checkpoint import describe, fingerprint
from sparse_ae.training.residuals import Residuals, missing_rating_of, unit_of_scores
from sparse_ae.training.steps import UPDATES
import lasagne
import theano

__all__ = ["NotFittedError", "RecommendationLists", "Recommendations", "Recommender"]

# Lists are judged at up to so many places, however many items there are: each user's takes room for all of them.
_LONGEST_LISTS = 10 ** 6


class Recommender(Settings):
    """A masked autoencoder over ratings with ids, beside biases.

    Parameters
    ----------
    n_hidden : int or "auto"
        Hidden units. For this and each other "auto" see `defaults`.
    rows : {"auto", "items", "users", "both"}
        What is reconstructed; see the module's docstring. "both" trains a model of each, one after the other, and adds
        up their outputs with the weights that predict validation ratings best; without validation they count alike.
        "auto" is "both" where there is validation and neither side is crowded (see `defaults.useful_sides`); else
        "items" or "users". Of ratings on disk it is what their rows are; with ``biases=False`` it is "items".
    f, g : str or callable
        Output and hidden nonlinearity, as `AutoEncoder` takes them.
    l2 : float, (float, float) or "auto"
        Weight decay of W, the decoder, and V, the encoder: an epoch's cost is ``squared error + l2 (|W|^2 + |V|^2)``.
        Beside biases the squared error is in the unit of `residuals`, a quarter of the rating scale.
    weight_scale : float
        Standard deviation of the normal distribution that W and V are drawn from at first.
    update : str, callable or "auto"
        The optimiser, as `Trainer` takes it.
    learning_rate : float, callable or "auto"
        As `Trainer` takes it.
    batch_size : int, None or "auto"
        Rows in a mini-batch; None for all at once, as "rprop" and "lbfgs" need it.
    n_epochs : int or "auto"
        At most so many; exactly so many without validation.
    patience : int, "auto" or None
        Training ends once the validation RMSE hasn't become better for so many epochs, and the parameters of the best
        epoch are put back. None for neither.
    rating_scale : (float, float), optional
        Lowest and highest rating, to which predictions are clipped; those of the ratings when not given.
    unknown : "mean", "error" or float
        What is predicted where nothing is known: the mean rating, a number (the paper's is 3), or nothing: it is an
        error. That is where the user and the item had no rating in `fit`; with ``biases=False`` where one of them had
        none.
    formulation : {"auto", "scan", "dense", "sparse"}
        As `Trainer` takes it.
    rng : int or numpy.random.RandomState
        Cuts off the validation ratings, draws the first weights, shuffles. The same seed gives the same bytes.
    progress : bool
        Whether to show progress on stderr, and to say there what was chosen and what validation has shown.
    dtype : {"float32", "float64"}
        Of the parameters and the predictions. float64 takes twice the memory, and about twice the time.
    biases : bool
        Whether the model predicts what biases leave over. False is the post's model: ratings in, ratings out.
    guard : bool
        Whether a model counts only if it is clearly better than the biases alone, by two standard errors on the
        validation ratings. Where none is, predictions are the biases'. Without validation there is no telling, and with
        ``biases=False`` no guard. Of lists, see `missing_weight`, the most popular items take the biases' place.
    missing_weight : float
        From 0 to 1, what a missing entry counts in the squared error, as if it had been rated `missing_rating`; an
        observed one counts 1. With 0 the model learns to predict ratings. With more it learns to make lists of what
        people would pick, and what it predicts are scores to rank by, no estimates of ratings; 0.2 is good on films of
        several sets, and it matters little from 0.1 to 0.4.
    missing_rating : float or "auto"
        "auto" is a quarter of the scale below its lowest rating, such as 0 on 1 to 5; for counts, and ratings that are
        all equal, 0.
    validation_measure : str
        By what early stopping and the weights go: "rmse", or a measure of lists in `metrics` and their length, such as
        "ndcg@10" or "recall@20", of all items that validation users have no rating for in training. "auto" is "rmse",
        with a `missing_weight` "ndcg@10".
    feedback : {"ratings", "counts"}
        What the numbers are. Counts, and pairs of user and item alone, say what people did and how often; see
        `data.feedback` for how they become ratings. They need a `missing_weight`: nobody clicks to say no.

    Attributes
    ----------
    users_, items_ : numpy.ndarray of int64 or str, shape (n_users,), (n_items,)
        The known ids, ascending.
    users_rated_, items_rated_ : numpy.ndarray of bool, shape (n_users,), (n_items,)
        Which of them had a rating in `fit`. Some may have none where the ratings came as a matrix with its ids.
    rating_scale_ : (float, float)
    mean_ : float
        Mean of the ratings.
    missing_rating_ : float or None
        What missing entries were taken to be rated; None if they don't count.
    biases_ : baselines.Biases or None
        By places of `users_` and `items_`; None with ``biases=False``. With a `missing_weight` they are
        `missing_rating_` for all, or beside it the popularity of items where no model gives better lists than that.
    models_ : dict of str to AutoEncoder
        By rows, "items" and "users". A model's own "items" are its columns: users, in the model of items.
    model_ : AutoEncoder
        The first of them.
    weights_ : dict of str to float
        What the outputs of each model count in predictions, by rows. 0 where it helps nothing, or has diverged.
    validation_rmse_ : dict of str to float, or None
        On the validation ratings of known users and items, of the "biases" alone, of them with the model of "items" or
        of "users", and with "both"; empty where no validation rating is of a user and an item that were both
        trained on, so that no model has shown what it is worth; None without validation, and with ``biases=False``,
        where `history_` has it.
    validation_lists_ : dict of str to float, or None
        The same of the measure of lists, where `validation_measure` is one; beside a `missing_weight` it has what is
        most "popular" in the place of biases.
    n_hidden_, batch_size_, l2_ : int, int or None, float or (float, float)
        What `model_` was trained with.
    choices_ : dict of str to defaults.Choice
        All that was chosen for each model, by rows.
    history_ : list of dict
        One for each epoch, as `Trainer.history`. Beside biases those of one model come after another's, and the epochs
        on all ratings last; each has its model's ``rows`` too, and whether it is a ``refit``. A training that another
        one with less decay has taken the place of isn't there.
    best_epoch_ : int
        The epoch that the parameters of `model_` are of, or for how many epochs it was trained again on all ratings. 0
        where no epoch was better than the biases alone.

    Notes
    -----
    Settings are stored as they are given, and checked by `fit`. What "auto" stands for, and why, is a table in
    `defaults`; in practice `n_hidden` and `n_epochs` are what trades accuracy for time.

    With ``biases=False`` the defaults were chosen on validation ratings of MovieLens 100K and 1M, which are from 1 to
    5; for ratings on a much wider scale lower `weight_scale` in proportion. What is recommended beyond them, chosen on
    validation ratings too, is Adam at a constant rate for some epochs, then at a falling one, for a fixed number of
    epochs on all ratings: ``fit(ratings, validation=None)`` with
    ``learning_rate=lambda epoch: 0.001 * 0.75 ** max(0, epoch - hold)`` and

    ===================  =======  ==========  ==========  ====  ========
    ratings like         rows     l2          batch_size  hold  n_epochs
    ===================  =======  ==========  ==========  ====  ========
    MovieLens 1M         "items"  (100, 200)  256         22    30
    MovieLens 1M         "users"  (200, 20)   256         12    20
    MovieLens 100K       "items"  50          128         12    20
    ===================  =======  ==========  ==========  ====  ========

    ``examples/autorec_table.py`` has more of them, and shows what each reaches.
    """

    def __init__(self, n_hidden="auto", rows="auto", f="identity", g="sigmoid", l2="auto", weight_scale=0.01,
                 update="auto", learning_rate="auto", batch_size="auto", n_epochs="auto", patience="auto",
                 rating_scale=None, unknown="mean", formulation="auto", rng=0, progress=True, dtype="float32",
                 biases=True, guard=True, missing_weight=0.0, missing_rating="auto", validation_measure="auto",
                 feedback="ratings"):
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
        self.biases = biases
        self.guard = guard
        self.missing_weight = missing_weight
        self.missing_rating = missing_rating
        self.validation_measure = validation_measure
        self.feedback = feedback

    # Training

    def fit(self, ratings, y=None, validation="auto", on_epoch=None, checkpoint=None, checkpoint_every=1, resume=False,
            refit=True, comm=None):
        """Learn from ratings. What was learned before is forgotten, if this ends well.

        Parameters
        ----------
        ratings : table, array of rows, tuple of columns, sparse matrix, Ratings, or StoredRatings
            Users, items and ratings, in any form that `tables.as_ratings` takes; or ratings on disk, of which a
            mini-batch is read at a time, stored with the recommender's `rows`, or with any if that is "auto". With
            ``feedback="counts"`` the numbers are counts, and may be left out; see `data.feedback.as_counts`.
        y : array_like of float, shape (n,), optional
            The ratings, if `ratings` has only users and items, (n, 2): scikit-learn's form.
        validation : "auto", float, or ratings in any of the forms above, or None
            A fraction of the ratings is cut off at random, and training stops early on it; see `defaults` for "auto".
            Held-out ratings of your own do the same; those of users and items that `ratings` lacks are passed over.
            None runs all `n_epochs`. Of ratings on disk none can be cut off: "auto" is None there.
        on_epoch : callable, optional
            Called with each epoch's dict, as `history_` has it, of every training.
        checkpoint : str or path-like, optional
            A file to keep in step with the training, which may be killed at any time. (It is no saved recommender.)
            Beside biases there is one for each training: this one, and with ".2", ".3", ... added to its name those of
            the other rows, of the trainings on all ratings, and of those with less decay.
        checkpoint_every : int
            Epochs from one checkpoint to the next.
        resume : bool
            Whether to go on from `checkpoint`, if there is such a file. A program that was killed is run again as it
            is, and ends as if it had not been killed, bit for bit; see `Trainer.fit`.
        refit : bool
            Beside biases, and if a fraction was cut off for validation: whether to train again on all ratings, for as
            many epochs as were best. It takes twice the time, and is worth 0.001 to 0.015 of RMSE.
        comm : communicator of mpi4py, optional
            Whose ranks share out the model's columns, and call this together, each with the same arguments; see
            `distributed`. Each brings all ratings, or its own part of those on disk, as
            ``open_ratings(store, comm=comm)`` gives it. The recommender's methods are for all ranks to call together,
            too.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For settings and ratings that can't be used, before anything is compiled.
        OSError
            For a checkpoint that exists without `resume`, and one that can't be written.
        trainer.TrainingDiverged
            When the loss or a parameter becomes NaN or infinite, or training errors are wider than the rating scale. Of
            two models one may do so: it is left out, and a line says it.

        Notes
        -----
        Ctrl-C ends the training after the current mini-batch, with what there is then: a model that wasn't begun is
        missing from `models_`, and what was not trained again on all ratings stays as it was.

        Once trained, the model's input, and what counts as seen, is all of `ratings`, with the fraction that was cut
        off for validation. Held-out ratings given as `validation` are never input.
        """
        ranks = Ranks(comm)
        with ranks.agreed():
            rng = check_rng(self.rng)
            alike = {} if ranks.size == 1 else dict(
                {name: describe(value) for name, value in self.get_params().items() if name != "rng"},
                rng=state_of(rng), on_disk=isinstance(ratings, StoredRatings), refit=repr(refit), resume=repr(resume),
                checkpoint=str(checkpoint), checkpoint_every=repr(checkpoint_every),
                validation=repr(validation) if validation is None or isinstance(validation, (str, numbers.Number))
                else "ratings")
        ranks.check_call("fit", **alike)
        with ranks.agreed():
            unknown, missing, counts, measure, sides, matrix, rows, users, items, validation = self._given(
                ratings, y, validation, refit, ranks)
        in_parts = ranks.size > 1 and isinstance(ratings, StoredRatings)
        if in_parts:
            users, items = swapped(rows == "items", *_ids_of_all(ratings, ranks))
        elif ranks.size > 1:
            ranks.check_same({"ratings": fingerprint(matrix), "ids of users": users, "ids of items": items})
        extremes = np.array([matrix.data.min(), matrix.data.max()])
        if in_parts:
            found = np.array(ranks.gathered(extremes))
            extremes = np.array([found[:, 0].min(), found[:, 1].max()])
        with ranks.agreed():
            scale, lowest = _check_scale(self.rating_scale, extremes, missing, counts)
            if isinstance(unknown, float) and not missing:
                check_on_scale(unknown, scale)
        missing_rating = unit = None
        if missing:
            missing_rating = _check_missing_rating(self.missing_rating, scale, lowest)
            unit = unit_of_scores(matrix, missing_rating, ranks if in_parts else ALONE)
        run = {"on_epoch": on_epoch, "checkpoint_every": checkpoint_every, "resume": resume}
        with ranks.agreed():
            if checkpoint is not None:
                check_path(checkpoint, "checkpoint", "the path of a file, or None")
            paths = _paths(checkpoint, most_trainings(len(sides)) if self.biases else 1)
            check_settings(self, scale, unknown, validation is not None, paths, run)
            fraction = _fraction(validation, matrix.nnz, self.biases)
            train, held_out = _held_out(matrix, rows, users, items, fraction=fraction, validation=validation, rng=rng,
                                        as_given=_ratings_of(counts))
        if held_out is not None and ranks.size > 1:
            ranks.check_same({"ratings to train on": fingerprint(train), "validation ratings": fingerprint(held_out)})
        everything = OrientedRatings(matrix, rows, ranks, in_parts)
        given = Given(everything=everything,
                      train=everything if train is matrix else OrientedRatings(train, rows, ranks),
                      held_out=None if held_out is None else OrientedRatings(held_out, rows, ranks), scale=scale,
                      unknown=unknown, missing_rating=missing_rating, unit=unit,
                      lists=measure and Lists(*measure, _relevant(scale, counts)), ranks=ranks)
        with overwriting_told(ratings):
            if self.biases:
                found = fit_residuals(self, given, sides, rng, paths=paths, run=run,
                                      refit=refit and fraction is not None)
            else:
                found = fit_ratings(self, given, rows, rng, dict(run, checkpoint=checkpoint))
        self._set_fitted(found, users, items, scale=scale, unknown=unknown, missing_rating=missing_rating,
                         counts=counts)
        return self

    def _given(self, ratings, y, validation, refit, ranks):
        """What is known from the settings and the ratings, which are checked."""
        unknown = _check_unknown(self.unknown)
        for name, value in (("biases", self.biases), ("guard", self.guard), ("progress", self.progress),
                            ("refit", refit)):
            check_bool(value, name)
        missing = check_share(self.missing_weight, "missing_weight", "; 0 leaves missing entries out") > 0
        counts = _counts(self.feedback, missing)
        measure = parse_measure(self.validation_measure, "validation_measure", self.missing_weight)
        stored = isinstance(ratings, StoredRatings)
        sides = self._sides(ratings.rows if stored else None, validation)
        if stored:
            if ratings.part != (ranks.rank, ranks.size):
                raise ValueError("the stored ratings are part %d of %d and this is rank %d of %d; open them with "
                                 "open_ratings(store, comm=comm), of a store made with parts=%d"
                                 % (ratings.part + (ranks.rank, ranks.size, ranks.size)))
            if counts:
                raise ValueError("feedback is 'counts' and the ratings are on disk, where they stay as they are; pass "
                                 "feedback='ratings', and store what a count is to be worth")
            ratings.check()
            matrix, rows = ratings.matrix, ratings.rows
            users, items = swapped(rows == "items", ratings.row_ids, ratings.col_ids)
            if isinstance(validation, numbers.Number):
                raise ValueError("validation is %r and the ratings are on disk, where none can be cut off; pass "
                                 "held-out ratings, or validation=None" % (validation,))
            validation = None if is_auto(validation) else validation
            if validation is not None and ranks.size > 1:
                raise ValueError("validation is given and the ratings are on disk, in parts of %d ranks; pass "
                                 "validation=None" % ranks.size)
        else:
            matrix, users, items, _ = _ratings_of(counts)(ratings, y)
            if self.rows == "auto" and self.biases:
                sides = useful_sides(sides, matrix)
            # The post's way cuts off ratings in the order of its rows.
            rows = sides[0]
            matrix = matrix if rows == "users" else matrix.T.tocsr()
        return unknown, missing, counts, measure, sides, matrix, rows, users, items, validation

    def _sides(self, stored_rows, validation):
        """Which models to train: a tuple of what their rows are."""
        check_choice(self.rows, "rows", ("auto", "items", "users", "both"))
        if self.rows == "both" and not self.biases:
            raise ValueError("rows is 'both' and biases %r; expected biases=True, beside which both are weighed"
                             % (self.biases,))
        if stored_rows is not None:
            if self.rows not in ("auto", stored_rows):
                raise ValueError("the stored ratings have %s as rows and the recommender rows=%r; expected the same: "
                                 "set rows='auto', or store them with other rows" % (stored_rows, self.rows))
            return (stored_rows,)
        if self.rows == "both" or (self.rows == "auto" and self.biases and validation is not None):
            return "items", "users"
        return ("users" if self.missing_weight else "items",) if self.rows == "auto" else (self.rows,)

    def _set_fitted(self, found, users, items, scale, unknown, missing_rating, counts):
        """Takes what was fitted or read."""
        scorer, first = found.scorer, next(iter(found.choices.values()))
        self.users_, self.items_, self.rating_scale_ = users, items, tuple(map(float, scale))
        self.models_ = {each.rows: each.model for each in scorer.scorers}
        self.weights_ = dict(zip(self.models_, scorer.weights))
        self.model_, self.history_, self.best_epoch_ = scorer.model, found.history, found.best_epoch
        self.biases_, self.validation_rmse_, self.choices_ = found.biases, found.validation_rmse, found.choices
        self.n_hidden_, self.batch_size_, self.l2_ = first.n_hidden, first.batch_size, first.l2
        self._scorer, self._column_solver, self._popular = scorer, None, None
        self.missing_rating_, self.validation_lists_, self._counts = missing_rating, found.validation_lists, counts
        with_mean = self.biases_ is not None and missing_rating is None
        self.mean_ = self.biases_.mean if with_mean else scorer.mean
        self.users_rated_, self.items_rated_ = scorer.users_rated, scorer.items_rated
        self._unknown = unknown  # the setting may be changed before the next fit
        strict = unknown == "error"
        self._users = Catalogue("user", users, scorer.users_rated, strict)
        self._items = Catalogue("item", items, scorer.items_rated, strict)

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
            With a `missing_weight` they are scores: the lower, the less likely it is that the user picks the item, and
            mostly near `missing_rating_`. Don't read them as ratings. In the order asked for, so that they become a
            column of a table: ``table["predicted"] = recommender.predict(table[["user", "item"]])``.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for columns of different lengths, and, with ``unknown="error"``, for pairs of which
            nothing is known.

        Notes
        -----
        Of a user or an item without a rating in `fit` nothing is known, and `unknown` says what is predicted. Beside
        biases that is so only where both are without: where one is, the mean and the other's offset are predicted.
        Among scores, "mean" is `missing_rating_`.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            single, u, i, nothing = self._pairs(users, items)
        ranks.check_call("predict", users=u, items=i)
        known = (u >= 0) & (i >= 0)
        predicted = np.full(len(u), self._for_unknown(), self._scorer.dtype)
        predicted[known] = self._scorer.clip(self._scorer.pairs(u[known], i[known]))
        if self.biases_ is not None:
            half = ~known & ~nothing
            predicted[half] = self._scorer.clip(_half_known(self.biases_, u[half], i[half]))
        return float(predicted[0]) if single else predicted

    def _pairs(self, users, items):
        """Whether `predict` is asked for one pair, the places of all, and of which of them nothing is known."""
        if items is None:
            if isinstance(users, (str, numbers.Number)):
                raise TypeError("predict has the user %r and no items; expected predict(users, items), or a table of "
                                "pairs" % (users,))
            users, items = as_pairs(users)
        single = is_single(users, "users"), is_single(items, "items")
        u, i = self._users.find(users), self._items.find(items)
        if not any(single) and len(u) != len(i):
            raise ValueError("%d users and %d items were given; expected one of each for every prediction, or a single "
                             "one of either" % (len(u), len(i)))
        u, i = np.broadcast_arrays(u, i)
        nothing = (u < 0) & (i < 0) if self.biases_ is not None else (u < 0) | (i < 0)
        self._users.check_known(users, np.where(nothing, u, 0))
        self._items.check_known(items, np.where(nothing, i, 0))
        return all(single), u, i, nothing

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
        Recommendations; for several users RecommendationLists
            The latter is a sequence with one Recommendations for each user, in the order asked for, and has `users`,
            `items` and `scores` itself. Either has `to_frame`, where pandas is there.
            Items are ordered by the model's output *before* it is clipped to the rating scale, lest all favourites tie
            at the top of it, and equal ones by id, ascending. Scores are clipped: they are what `predict` gives.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for a user who isn't among `users_` (see `fold_in`), and, with ``unknown="error"``,
            for an item without a rating in `fit`.

        Notes
        -----
        A user who is among `users_` but had no rating in `fit` (see `users_rated_`) gets the items with the highest
        offsets of `baselines`, which are the smaller the fewer ratings an item has: those rated best by many. With a
        `missing_weight` it is the most popular items.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            check_count(n, "n")
            check_bool(exclude_seen, "exclude_seen")
            places, candidates = self._users.find(users), self._items.candidates(items)
            n = min(n, max(1, len(candidates)))  # no list is longer, nor is room made for one
            listed = self._users.are_listed(users)
            if not listed.all():
                raise ValueError("the user %r had no rating in fit, so nothing can be recommended from it; pass the "
                                 "ratings that there are to fold_in, or leave the user out"
                                 % (one_of(users, int(np.argmin(listed))),))
        ranks.check_call("recommend", users=places, n=int(n), exclude_seen=bool(exclude_seen), items=candidates)
        ids, known, found = self.items_[candidates], places >= 0, []
        for best, scores in self._scorer.best(places[known], n, exclude_seen, candidates):
            found += many_recommendations(ids, best, scores)
        found = iter(found)
        for_others = None if known.all() else self._for_nobody_in_particular(n, candidates)
        found = [next(found) if each else for_others for each in known]
        if is_single(users, "users"):
            return found[0]
        ids, of_users = distinct(users, "users")
        return RecommendationLists(ids[of_users], found)

    def _for_nobody_in_particular(self, n, candidates):
        """The best of the candidates by the items' biases, which are the smaller the fewer ratings there are.

        Where missing entries count, the most popular.
        """
        if self._popular is None:
            scorer = self._scorer
            ranks = scorer.model.ranks
            ratings = OrientedRatings(scorer.ratings, scorer.rows, ranks, ranks.size > 1)
            if self.missing_rating_ is None:
                self._popular = self.biases_ or biases_of(ratings)
            else:
                self._popular = popularity_of(ratings, self.missing_rating_)
        biases = self._popular
        scores = biases.mean + biases.items[candidates]
        best = top_n(scores[np.newaxis], n)[0]
        return recommendations(self.items_[candidates], best, self._scorer.clip(scores[best[best >= 0]]))

    def fold_in(self, ratings):
        """A person whom the model has never seen, from some ratings, without training.

        With ``rows="users"`` the ratings go through the encoder as any user's do: nothing is approximated, yet it
        predicts strangers worse. With ``rows="items"`` the person's own parameters are solved for, by least squares
        with the model's weight decay. See `newuser`, also for how good either is.

        Parameters
        ----------
        ratings : dict of item id to rating, or list of such dicts
            Items that had no rating in `fit` tell nothing and are passed over; with ``unknown="error"`` a ValueError
            names one. So are those whose rating is masked.
            A list is of several people, who are folded in together, which is quicker, and changes nothing.

        Returns
        -------
        NewUser; a list of them for a list, in its order
            With methods `predict` and `recommend`. The recommender stays as it is.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For ratings that are no dict, no numbers, outside the rating scale, or all of unknown items. Of a list the
            message names the entry, counted from 0.
        """
        self._check_fitted()
        several, ranks = isinstance(ratings, (list, tuple)), self.model_.ranks
        with ranks.agreed():
            people = self._people(ratings) if several else [self._person_ratings(ratings)]
        ranks.check_call("fold_in", people=len(people), items=_joined_of(each.places for each in people),
                         ratings=_joined_of(each.ratings for each in people))
        found = self._folded(people)
        return found if several else found[0]

    def _people(self, ratings):
        people = []
        for entry, each in enumerate(ratings):
            try:
                people.append(self._person_ratings(each))
            except (TypeError, ValueError) as error:
                raise error_at("entry %d" % entry, error) from None
        return people

    def _person_ratings(self, ratings):
        """What a dict of ratings tells, checked."""
        low, high = self.rating_scale_
        if not hasattr(ratings, "keys"):
            raise TypeError("ratings are %s; expected a dict of item id to rating, such as {%r: %g}, or a list of such "
                            "dicts" % (type(ratings).__name__, self.items_[0].item(), high))
        ratings = {item: value for item, value in zip(ratings.keys(), ratings.values()) if value is not np.ma.masked}
        items, values = list(ratings.keys()), list(ratings.values())
        for item, value in zip(items, values):
            if not is_number(value):
                raise TypeError("the rating of item %r is %r; expected a finite number" % (item, value))
            if not self._counts and not low <= value <= high:
                raise ValueError("the rating of item %r is %g; expected one within the rating scale, %g to %g"
                                 % (item, value, low, high))
        places, values = self._items.find(items), np.array(values, dtype=np.float64)
        if self._counts:
            values = from_counts(values)
        self._items.check_known(items, places, "passed over")
        if not (places >= 0).any():
            raise ValueError("none of the %d rated items had a rating in fit; expected at least one that had"
                             % len(items))
        order = np.argsort(places)[np.count_nonzero(places < 0):]
        places, values = places[order], values[order]
        if self.biases_ is None or self.missing_rating_ is not None:
            return PersonRatings(places, values)
        # Equation (3) of `baselines`, for this person alone.
        beyond = values - self.biases_.mean - self.biases_.items[places]
        return PersonRatings(places, values, np.sum(beyond) / (len(values) + self.biases_.shrinkage[0]))

    def _folded(self, people):
        """NewUsers of some `newuser.PersonRatings`."""
        scorer, biases, parts = self._scorer, self.biases_, []
        for each, weight in scorer.used():
            if each.rows == "users":
                outputs = row_outputs(each, people, 0.0 if biases is None else biases.mean)
            else:
                if self._column_solver is None:
                    self._column_solver = ColumnSolver(each)
                outputs = column_outputs(each, self._column_solver, people)
            parts.append([(weight, of_one) for of_one in outputs])
        of_people = zip(*parts) if parts else [()] * len(people)
        return [self._new_user(told, list(folded)) for told, folded in zip(people, of_people)]

    def _new_user(self, told, folded):
        """NewUser of what was told, and what each model that has a weight says: a list of (weight, callable)."""
        scorer, biases = self._scorer, self.biases_
        if biases is None:
            unknown = None if self._unknown == "error" else self._for_unknown()
            return NewUser(self._items, told.places, told.ratings, folded[0][1], scorer.clip, unknown,
                           scorer.model.ranks)
        level = biases.mean + told.offset

        def outputs(items):
            beyond = sum(weight * each(items) for weight, each in folded)
            return (level + biases.items[items] + beyond).astype(scorer.dtype)

        unknown = float(scorer.clip(np.array(level)))
        return NewUser(self._items, told.places, told.ratings, outputs, scorer.clip, unknown, scorer.model.ranks)

    def similar_items(self, item, n=10):
        """The items that the model takes to be most like an item.

        Parameters
        ----------
        item : an id
        n : int

        Returns
        -------
        Recommendations
            Scores are cosines, from -1 to 1, of the items' factors less the mean of all items: with items as rows
            their hidden units, with users as rows their rows of the decoder, W. Of two models it is the one with the
            larger weight. Equal ones are ordered by id.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what is no id, or an item that had no rating in `fit`.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            check_count(n, "n")
            if not is_single(item, "item"):
                raise TypeError("item is %r; expected a single id" % (item,))
            place, = self._items.find(item)
            if place < 0:
                raise ValueError("the item %r had no rating in fit; expected one that had, to compare the others with"
                                 % (item,))
            candidates = self._items.candidates()
            n = min(n, len(candidates))
        ranks.check_call("similar_items", item=int(place), n=int(n))
        scorer = max(self._scorer.used() or [(self._scorer.scorers[0], 0.0)], key=lambda pair: pair[1])[0]
        if scorer.rows == "items":
            factors = scorer.hidden(candidates)
        else:
            factors = ranks.columns_of(scorer.model.W_on_host())[candidates]
        factors = factors - factors.mean(axis=0, dtype="float64")
        factors /= np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), np.finfo(float).tiny)
        at = np.searchsorted(candidates, place)
        cosines = np.einsum("ik,k->i", factors, factors[at])
        cosines[at] = -np.inf
        best = top_n(cosines[np.newaxis], n)[0]
        return recommendations(self.items_[candidates], best, cosines[best])

    # Measures

    def score(self, X, y=None):
        """Minus the RMSE over ratings: higher is better, as scikit-learn wants it.

        Parameters
        ----------
        X : ratings in any form that `fit` takes, or pairs of user and item, (n, 2)
        y : array_like of float, shape (n,), optional
            The ratings, if X has only users and items.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            As `predict`, and for ratings that aren't finite numbers.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            users, items, values = self._columns(X, y)
        ranks.check_call("score", ratings=np.asarray(values))
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
            The rating from which a held-out item is relevant; by default three quarters up the scale: 4 on 1 to 5. Of
            counts all are.

        Returns
        -------
        dict
            "rmse", "mae"
                Over all ratings; see `metrics`. With a `missing_weight` they say how far scores are from ratings: far.
            "n_ratings", "n_unknown", "n_trained"
                How many there are; how many are of a user or an item without a rating in `fit`, which are predicted as
                `predict` says and count like the others; and how many are of pairs that were rated in `fit`: they say
                nothing of how well others are predicted.
            "precision", "recall", "ndcg", "hit_rate", "map", "mrr"
                At k, by the formulas of `metrics`. A user's list is what `recommend` gives: the best of all items that
                the user has not rated in `fit`. Relevant are the user's held-out items with a rating of at least
                `relevant`; what nobody knows to be relevant counts as a miss. Users without a relevant item are left
                out, users without a rating in `fit` have k misses. NaN if no user has a relevant item.
            "coverage", "popularity"
                The share of the items with a rating in `fit` that are on at least one of these users' lists, and for
                what share of the users in `fit` an item on these lists was rated, in the mean.
            "n_users"
                How many users these are means over.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            As `predict`, and for ratings that aren't finite numbers.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            if k is not None and check_count(k, "k") > _LONGEST_LISTS:
                raise ValueError("k is %d; expected at most %d" % (k, _LONGEST_LISTS))
            if relevant is not None:
                check_relevant(relevant)
            users, items, values = self._columns(ratings, y)
        ranks.check_call("evaluate", ratings=np.asarray(values), k=repr(k), relevant=repr(relevant))
        sums = ErrorSums().add(values, self.predict(users, items))
        u, i = self._users.find(users), self._items.find(items)
        known = (u >= 0) & (i >= 0)
        measures = {"rmse": sums.rmse(), "mae": sums.mae(), "n_ratings": sums.count,
                    "n_unknown": int(np.count_nonzero((u < 0) | (i < 0))),
                    "n_trained": int(np.count_nonzero(self._scorer.are_rated(u[known], i[known])))}
        if k is None:
            return measures
        wanted = np.asarray(values) >= (_relevant(self.rating_scale_, self._counts) if relevant is None else relevant)
        if not wanted.any():
            return dict(measures, **no_measures())
        who, what = distinct(users)[1][wanted], distinct(items)[1][wanted]
        return dict(measures, **self._judge(who, what, u[wanted], i[wanted], k))

    def _columns(self, ratings, y):
        """Users, items and ratings, as `fit` took them."""
        return (count_columns if self._counts else as_columns)(ratings, y)[:3]

    def _judge(self, who, what, users, items, k):
        """Measures of lists, from relevant pairs: numbered over all ids that came, and as places of known ones."""
        _, first, who = np.unique(who, return_index=True, return_inverse=True)
        n_relevant = np.bincount(np.unique(np.stack([who, what], axis=1), axis=0)[:, 0])
        scorer, candidates, known = self._scorer, self._items.candidates(), np.flatnonzero(users[first] >= 0)
        lists = np.full((len(first), k), -1)
        lists[known] = stack_lists(scorer.best(users[first][known], k, True, candidates), k)
        of_users, of_items = scorer.rating_counts()
        return judge_lists(lists, candidates, who, items, n_relevant,
                           of_items[candidates] / np.count_nonzero(of_users))

    # Files

    def save(self, path, parts=False):
        """Write all of it to a file, or a folder: parameters, ids, ratings, scale, settings, history.

        Parameters
        ----------
        path : str or path-like
            A file of sparse_ae that is there is replaced in one step, once the new one is whole; any other is an error.
        parts : bool
            Whether `path` is to be a folder, in which each rank writes its own columns: for models on several ranks
            that outgrow one machine. What was saved there before is replaced in one step, too.

        Raises
        ------
        NotFittedError
        TypeError
            If `f` or `g` is a function that isn't one of `lasagne.nonlinearities`: reading it would mean running code.
        OSError
            What the disk says.

        Notes
        -----
        On several ranks the first gathers what all have, and writes it: one process can load the file, if it has room.
        With `parts` nothing is gathered; all ranks need to see the folder.

        The file is a NumPy `.npz` without pickle; see `storage`. Of an `update` or a `learning_rate` that is a function
        without a name in Lasagne it keeps a description only: enough to predict, and `fit` refuses it.
        """
        self._check_fitted()
        ranks = self.model_.ranks
        with ranks.agreed():
            path = check_path(path, "path")
            check_bool(parts, "parts")
        ranks.check_call("save", path=path, parts=bool(parts))
        with ranks.agreed():
            if parts and not ranks.rank:
                saved.check_folder(path)
        meta, arrays, own = self._state()
        with ranks.agreed():
            meta = dict(meta, parts=[_named(part, choice=_named(part.pop("choice"))) for part in meta["parts"]],
                        settings=_named(self.get_params()))
        if parts:
            own = {name: np.asarray(parameter.get_value(borrow=True)) for name, parameter in own.items()}
            saved.write_parts(path, meta, arrays, own, self._scorer.ratings, ranks)
            return
        arrays, ratings = self._joined(arrays, own)
        with ranks.agreed():
            if not ranks.rank:
                saved.write(path, meta, arrays, ratings)

    @classmethod
    def load(cls, path, comm=None):
        """Read what `save` has written.

        Parameters
        ----------
        path : str or path-like
            A file; or a folder with parts, which one process joins.
        comm : communicator of mpi4py, optional
            As many ranks as have saved a folder, each of which reads its own part; they share out the model as after
            `fit`.

        Returns
        -------
        Recommender
            Its predictions are the same to the last bit; to rounding, where another number of ranks has saved it. On
            several ranks a recommender of users and items brings all ratings to each.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged, of another kind, of a later version, or of another number of
            ranks; see `saved`. On several ranks, if that is so on one of them.
        """
        ranks = Ranks(comm)
        with ranks.agreed():
            meta, arrays, ratings = saved.read(check_path(path, "path"), ranks)
        ranks.check_same({"save": meta.get("save")})
        with ranks.together():
            return cls._of_state(path, meta, arrays, ratings, ranks)

    @classmethod
    def _of_state(cls, path, meta, arrays, ratings, ranks):
        def refused(error):
            return ValueError("%s holds settings that this sparse_ae can't take (%s); save the recommender anew"
                              % (path, error))

        # Of settings that this version hasn't, or can't take. All ranks have the same, but not the same arrays.
        errors = KeyError, TypeError, ValueError
        try:
            recommender = cls(**_unnamed(meta["settings"]))
            parts = [dict(part, choice=_unnamed(part["choice"])) for part in meta["parts"]]
        except errors as error:
            raise ranks.raised_by_all(refused(error)) from error
        try:
            recommender._set_state(dict(meta, parts=parts), arrays, ratings, ranks)
        except errors as error:
            raise refused(error) from error
        return recommender

    def _state(self):
        """What `fit` left behind: all that isn't an array, the arrays, and the parameters of a rank's own columns."""
        scorer = self._scorer
        parts, arrays, own = [], {"users": self.users_, "items": self.items_}, {}
        for each in scorer.scorers:
            model = each.model
            arrays["%s/mu" % each.rows] = model.mu.get_value(borrow=True)
            own.update(("%s/%s" % (each.rows, p.name), p) for p in model.params if p is not model.mu)
            parts.append({"rows": each.rows, "f": model.f, "g": model.g, "l2": (model.l2_W, model.l2_V),
                          "l2_weighted": model.l2_weighted, "missing_weight": model.missing_weight,
                          "weight": self.weights_[each.rows], "choice": dict(self.choices_[each.rows]._asdict())})
        meta = {"parts": parts, "rating_scale": self.rating_scale_, "unknown": self._unknown, "biases": None,
                "history": self.history_, "best_epoch": self.best_epoch_, "ratings_rows": scorer.rows,
                "validation_rmse": self.validation_rmse_, "validation_lists": self.validation_lists_,
                "missing_rating": self.missing_rating_, "counts": self._counts}
        if self.biases_ is not None:
            meta["biases"] = {"mean": self.biases_.mean, "shrinkage": self.biases_.shrinkage}
            arrays.update(user_biases=self.biases_.users, item_biases=self.biases_.items)
        return meta, arrays, own

    def _joined(self, arrays, own):
        """The arrays and the ratings of all columns; None in their place on all ranks but the first."""
        scorer = self._scorer
        ranks = scorer.model.ranks
        arrays = dict(arrays, **{name: _whole(ranks, parameter) for name, parameter in own.items()})
        return arrays, scorer.ratings if ranks.size == 1 else _whole_ratings(scorer, ranks)

    def _set_state(self, meta, arrays, ratings, ranks=ALONE):
        biases, scale, missing_rating = None, meta["rating_scale"], meta["missing_rating"]
        if meta["biases"] is not None:
            biases = Biases(meta["biases"]["mean"], arrays["user_biases"], arrays["item_biases"],
                            tuple(meta["biases"]["shrinkage"]))
        in_parts = ranks.size > 1
        if in_parts and len(meta["parts"]) > 1:  # the columns of one model are the rows of the other
            shape = ratings.shape[0], _n_columns(meta["ratings_rows"], arrays)
            ratings, in_parts = canonical_csr(*ranks.whole(ratings), shape), False
        unit = None if missing_rating is None else unit_of_scores(ratings, missing_rating, ranks if in_parts else ALONE)
        ratings, scorers, choices = OrientedRatings(ratings, meta["ratings_rows"], ranks, in_parts), [], {}
        given = Given(ratings, ratings, None, scale, meta["unknown"], missing_rating, unit, ranks=ranks)
        for part in meta["parts"]:
            side = part["rows"]
            names = ("W", "V", "mu", "b") + (() if biases is None else ("U",))
            parameters = {name: arrays["%s/%s" % (side, name)] for name in names}
            n_hidden, dtype = parameters["W"].shape[1], parameters["W"].dtype
            if ranks.size > 1:  # arrays would be those of all columns
                parameters = {name: theano.shared(value) for name, value in parameters.items()}
            model = AutoEncoder(_n_columns(side, arrays), n_hidden,
                                scale if biases is None else Residuals.output_scale, part["f"], part["g"],
                                tuple(part["l2"]), dtype=dtype, l2_weighted=part["l2_weighted"],
                                missing_weight=part["missing_weight"],
                                missing_rating=(missing_rating or 0.0) if biases is None else 0.0, comm=ranks,
                                **parameters)
            if ranks.size > 1:
                with ranks.rank_0_first():
                    model.compile_predictions()
            scorers.append(given.scorer(model, ratings, side, biases))
            choices[side] = Choice(**part["choice"])
        scorer = scorers[0] if biases is None else blend(scorers, [part["weight"] for part in meta["parts"]])
        found = FitResult(scorer, meta["history"], meta["best_epoch"], choices, biases=biases,
                          validation_rmse=meta["validation_rmse"], validation_lists=meta["validation_lists"])
        self._set_fitted(found, arrays["users"], arrays["items"], scale=scale, unknown=meta["unknown"],
                         missing_rating=missing_rating, counts=meta["counts"])

    def __getstate__(self):
        # For pickle and copy: compiled functions stay behind, they are made again when needed.
        if self._is_fitted() and self.model_.ranks.size > 1:
            raise TypeError("the columns of this recommender's model are shared out among %d processes, and can't be "
                            "pickled or copied; save it, and load the file" % self.model_.ranks.size)
        if not self._is_fitted():
            return self.get_params(), None
        meta, arrays, own = self._state()
        return self.get_params(), (meta,) + self._joined(arrays, own)

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
        if isinstance(self._unknown, float):
            return self._unknown
        return self.mean_ if self.missing_rating_ is None else self.missing_rating_


def _ids_of_all(stored, ranks):
    """The ids of the rows, and of all columns, of ratings on disk in parts."""
    ranks.check_same({"rows on disk": stored.row_ids})
    return stored.row_ids, ranks.columns_of(stored.col_ids)


def _whole(ranks, parameter):
    """A parameter's value, of all columns; None on all ranks but the first."""
    value = parameter.get_value(borrow=True)
    if ranks.size == 1:
        return value
    if parameter.name in ("W", "b"):
        return ranks.columns_of(value, first_only=True)
    found = ranks.columns_of(value.T, first_only=True)
    return None if found is None else found.T


def _whole_ratings(scorer, ranks):
    """The ratings of all columns, on the first rank; None on the others."""
    found = ranks.whole(scorer.ratings, first_only=True)
    n_columns = len(scorer.by_users(scorer.users_rated, scorer.items_rated)[1])
    return None if found is None else canonical_csr(*found, (scorer.ratings.shape[0], n_columns))


def _joined_of(arrays):
    """Arrays, of which there may be none, as one."""
    return np.concatenate([np.zeros(0), *arrays])


def _n_columns(rows, arrays):
    """How many columns there are with these rows, of all ranks."""
    return len(arrays["items" if rows == "users" else "users"])


def _half_known(biases, users, items):
    """What biases say of pairs of places, one of which is -1, (n,)."""
    return (biases.mean + np.where(users >= 0, biases.users[users], 0.0)
            + np.where(items >= 0, biases.items[items], 0.0))


def _fraction(validation, n_ratings, biases):
    """The fraction to cut off; None where validation is none."""
    if is_auto(validation):
        return validation_fraction(n_ratings if biases else None)
    if not isinstance(validation, numbers.Number):
        return None
    return check_fraction(validation, "validation", ", 'auto', held-out ratings, or None")


def _held_out(everything, rows, users, items, fraction, validation, rng, as_given):
    """The ratings to train on, and those to validate on or None; both laid out as all are."""
    if validation is None:
        return everything, None
    if fraction is not None:
        n_held_out = round(fraction * everything.nnz)
        if not 0 < n_held_out < everything.nnz:
            raise ValueError("validation=%r is %d of %d ratings; expected at least one, and one to train on: "
                             "change the fraction, pass held-out ratings, or validation=None"
                             % (validation, n_held_out, everything.nnz))
        return split_ratings(everything, fraction, rng)[:2]
    try:
        given = as_given(validation)
    except (TypeError, ValueError) as error:
        raise error_at("validation", error) from error
    coo = given.matrix.tocoo()
    try:
        u, i = positions(given.users, users, "users")[coo.row], positions(given.items, items, "items")[coo.col]
    except TypeError as error:
        raise TypeError("validation: %s" % error) from error
    known = (u >= 0) & (i >= 0)
    if not known.any():
        raise ValueError("none of the %d validation ratings is of a user and an item that the ratings have; "
                         "expected some: check the ids" % len(known))
    pairs = swapped(rows == "items", u[known], i[known])
    twice = np.count_nonzero(entries_stored(everything, *pairs))
    if twice:
        raise ValueError("%d of the validation ratings are among the ratings to train on; expected held-out ones, "
                         "or a fraction to cut off" % twice)
    return everything, check_ratings(sp.coo_matrix((coo.data[known], pairs), shape=everything.shape))


def _paths(checkpoint, n):
    """The checkpoints of n trainings: the one given, and others beside it."""
    if checkpoint is None:
        return [None] * n
    return [checkpoint] + ["%s.%d" % (os.fspath(checkpoint), number) for number in range(2, n + 1)]


def _check_unknown(unknown):
    if isinstance(unknown, str) and unknown in ("mean", "error"):
        return unknown
    return check_finite(unknown, "unknown", "'mean', 'error', or the rating to predict for users and items that have "
                                            "none")


def _counts(feedback, missing):
    """Whether feedback is counts."""
    if check_choice(feedback, "feedback", ("ratings", "counts")) == "counts" and not missing:
        raise ValueError("feedback is 'counts' and missing_weight 0; expected a weight above 0, such as 0.2: counts "
                         "say what people chose, and only what they didn't choose stands against it")
    return feedback == "counts"


def _ratings_of(counts):
    """What makes ratings of feedback."""
    return (lambda *feedback: as_counts(total_counts(*feedback))) if counts else as_ratings


def _relevant(scale, counts):
    """The rating from which a held-out item is relevant."""
    return scale[0] if counts else relevant_from(*scale)


def _check_missing_rating(missing_rating, scale, lowest):
    """What missing entries are taken to be rated."""
    if is_auto(missing_rating):
        return 0.0 if lowest is None else missing_rating_of(scale)
    missing_rating = check_finite(missing_rating, "missing_rating", "a number, or 'auto'")
    if abs(missing_rating) > MOST_RATING:
        raise ValueError("missing_rating is %g; expected a number up to %g, somewhat below the ratings"
                         % (missing_rating, MOST_RATING))
    return missing_rating


def _check_scale(rating_scale, values, missing, counts):
    """The rating scale, and its lowest rating; None where that isn't known, of counts and of ratings all equal."""
    least, most = check_size_of_ratings((values.min(), values.max()), "the ratings go from %g to %g")
    if missing and (counts or rating_scale is None and least == most != 0):
        return (min(least, 0.0), max(most, 0.0)), None
    if rating_scale is None:
        if least == most:
            raise ValueError("all ratings are %g, which tells no scale; pass rating_scale=(lowest, highest), or "
                             "missing_weight=0.2 if lists are wanted of who chose what" % least)
        return (least, most), least
    low, high = check_rating_scale(rating_scale)
    if least < np.float32(low) or most > np.float32(high):  # ratings are float32: 0.3 is a little more there
        raise ValueError("rating %g is outside rating_scale=(%g, %g); pass rating_scale=(%g, %g), the lowest and "
                         "highest rating" % (least if least < low else most, low, high, least, most))
    return (low, high), low


def _named(settings, **more):
    """A dict of settings as JSON has them, and of what it has already."""
    return dict({name: to_json(_name_of(name, value)) for name, value in settings.items()}, **more)


def _unnamed(settings):
    """What `_named` was given, but for functions, which remain names."""
    return {name: from_json(value) for name, value in settings.items()}


def _name_of(setting, value):
    """The name by which a function is known where the setting is looked up; what isn't a function, as it is."""
    if setting == "dtype":  # np.float32 is a class, and does for its name
        return check_dtype(value)
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
