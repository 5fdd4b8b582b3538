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
they leave over, and the two are added; see `targets`. With ``biases=False`` it is trained on the ratings themselves,
as in the post.

A model with items as rows reconstructs items from the ratings of their users: I-AutoRec, the better one on MovieLens.
With users as rows it reconstructs users from the ratings of their items: U-AutoRec, and the post. S. Sedhain, A. K.
Menon, S. Sanner, L. Xie, AutoRec: Autoencoders Meet Collaborative Filtering, WWW 2015. Which suits better depends on
the ratings, and often both together do better than either.

For lists rather than ratings set ``objective="lists"``: missing entries then count a little, as if they had
been rated low, and the outputs are scores to rank by; see `training.objectives`. "clicks" does it of counts, and of
pairs alone.

>>> clicks = [(7, "tea"), (7, "jam"), (8, "tea"), (8, "ale"), (9, "jam")]
>>> recommender = sparse_ae.Recommender(objective="clicks", n_epochs=2, progress=False)
>>> recommender.fit(clicks, validation=None).recommend(9).items.tolist()
['tea', 'ale']
"""
import numbers
import os

import numpy as np

from sparse_ae.checks import check_bool, check_path, check_rng, state_of as state_of_rng
from sparse_ae.data.stores import StoredRatings, overwriting_told
from sparse_ae.ranks.ranks import Ranks
from sparse_ae.recommender import saving
from sparse_ae.recommender.defaults import is_worth_a_refit
from sparse_ae.recommender.fitted import Answers, fitted_by
from sparse_ae.recommender.lists import check_blend, fit_blend
from sparse_ae.recommender.problem import FitInputs
from sparse_ae.recommender.ratings import check_settings, fit_ratings, most_trainings
from sparse_ae.recommender.saving import fitted_of, named_meta, state_of, unnamed, unnamed_meta, whole
from sparse_ae.recommender.settings import NotFittedError, RecommenderSettings, Shallow, in_words
from sparse_ae.scoring.ranking import RecommendationLists, Recommendations
from sparse_ae.training.checkpoint import describe
from sparse_ae.training.objectives import check_objective

__all__ = ["NotFittedError", "RecommendationLists", "Recommendations", "Recommender", "Shallow"]


class Recommender(RecommenderSettings, Answers):
    """A masked autoencoder over ratings with ids, beside biases.

    Parameters
    ----------
    n_hidden : int or "auto"
        Hidden units. `defaults` has the rules for this and each other "auto".
    rows : {"auto", "items", "users", "both"}
        What is reconstructed; see the module's docstring. "both" trains a model of each, one after the other, and adds
        up their outputs with the weights that predict validation ratings best; without validation they count alike.
        "auto" is "both" where there is validation and neither side is crowded (see `defaults.useful_sides`); else
        "items" or "users". Of ratings on disk it is what their rows are; with ``biases=False`` it is "items", or
        "users" where missing entries count. With
        "lists" or "clicks" as the objective "auto" is a blend of closed forms and autoencoders, and all else
        autoencoders alone. Several ranks share out one model, and refuse "both"; "auto" is "items" there, "users" where
        missing entries count, and beside biases the other where one is crowded.
    objective : {"ratings", "lists", "clicks"} or Objective
        What is learned. "ratings": to predict ratings, from those that were observed. "lists": to make lists of what
        people would pick; a missing entry then counts a little, as if it had been rated low, and what is predicted are
        scores to rank by, no estimates of ratings. "clicks": the same of pairs of user and item, and of counts of what
        people did and how often. Either is a blend of all that makes better lists on validation ratings: the most
        popular items, EASE, the infinitely wide autoencoder, filters, factors, an autoencoder of users or items; see
        `blends`. It wants one process, and ratings in memory; else there are autoencoders only. So there are with an
        `Objective`: ``Missing(0.1, measure="recall@20")`` is a list's with settings of its own; see
        `training.objectives`.
    network : "shallow", Shallow, callable, or the name of a closed form
        The model. "shallow" is the post's, with one hidden layer; ``Shallow(g="tanh")`` has it with other
        nonlinearities, first weights or dtype. Another is made by a call, ``network(n_columns, n_hidden,
        rating_scale=, l2=, rng=)``, as the functions of `networks` are called; beside biases with ``indicator=True``
        too: it is then to read who has rated, through an InputLayer of this name. It runs in one process, on the CPU.
        For lists "ease", "wide", "filter", "factors", "explicit", "neighbours" and "popular" are closed forms, which
        are then there alone; see `closed`.
    biases : bool or "unguarded"
        Whether the model predicts what biases leave over. False is the post's model: ratings in, ratings out. True has
        a guard: a model counts as much as validation ratings are sure of it, see `guard`, and where they show none
        to be better than the biases by more than two and a half standard errors, predictions are the biases'. With
        "unguarded" it counts anyway. Without validation there is no telling. Of lists the most popular items take the
        biases' place.
    l2 : float, (float, float) or "auto"
        Weight decay of W, the decoder, and V, the encoder: an epoch's cost is ``squared error + l2 (|W|^2 + |V|^2)``.
        Beside biases the squared error is in the unit of `targets`, a quarter of the rating scale.
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
        epoch are put back. None for neither. Where ratings are predicted beside biases and `learning_rate` is "auto",
        gains of less than a thousandth in so many epochs are none, in twice as many before it has fallen by 0.5%;
        training goes on from the best one at 0.15 times the rate, until two fifths as many epochs gain no more.
    formulation : {"auto", "scan", "dense", "sparse"}
        As `Trainer` takes it.
    rating_scale : (float, float), optional
        Lowest and highest rating, to which predictions are clipped; those of the ratings when not given.
    unknown : "mean", "error" or float
        What is predicted where nothing is known: the mean rating, a number (the paper's is 3), or nothing: it is an
        error. That is where the user and the item had no rating in `fit`; with ``biases=False`` where one of them had
        none.
    rng : int or numpy.random.RandomState
        Cuts off the validation ratings, draws the first weights, shuffles. The same seed gives the same bytes.
    progress : bool
        Whether to show progress on stderr, and to say there what was chosen and what validation has shown.
    choices : dict of str to defaults.Choice, optional
        Settings of the model of each side, "items" and "users", as `choices_` has them: nothing is searched for then,
        and `n_hidden`, `l2`, `update`, `learning_rate`, `batch_size`, `n_epochs` and `patience` are passed over.

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
        By places of `users_` and `items_`; None with ``biases=False``, and of a blend. Of other lists they are
        `missing_rating_` for all, or beside it the popularity of items where no model gives better lists than that.
    models_ : dict of str to AutoEncoder
        By rows, "items" and "users". A model's own "items" are its columns: users, in the model of items.
    model_ : AutoEncoder or None
        The first of them; None where there are closed forms only.
    weights_ : dict of str to float
        What the outputs of each model count in predictions, by rows. 0 where it helps nothing, or has diverged. Of a
        blend, what each member counts, whose scores have the mean 0 and the variance 1 for each user: "popular",
        "ease", "wide", "filter", "factors", "explicit", "neighbours", "items", "users".
    validation_rmse_ : dict of str to float, or None
        On the validation ratings of known users and items, of the "biases" alone, of them with the model of "items" or
        of "users", and with "both"; of several fits the root of the mean of their squares. Empty where no validation
        rating is of a user and an item that were both trained on; None without validation, and with ``biases=False``,
        where `history_` has it.
    validation_lists_ : dict of str to float, or None
        The same of the measure of lists, where the objective's is one; where outputs are scores it has what is most
        "popular" in the place of biases. Of a blend it has each member alone, and the "blend".
    n_hidden_, batch_size_, l2_ : int, int or None, float or (float, float)
        What `model_` was trained with; None without. `model_` has as many hidden units for each of several fits.
    choices_ : dict of str to defaults.Choice
        All that was chosen for each model, by rows.
    history_ : list of dict
        One for each epoch, as `Trainer.history`; of more than 25,000 validation ratings RMSEs after epochs are of some
        rows. In residual mode each has its model's ``rows``, and whether it is a ``refit``, on all ratings. Pilots,
        trainings that another decay has taken the place of, and further fits aren't there. Of a blend's autoencoders
        ``validation_blend_ndcg@10`` is of the lists of all members together.
    best_epoch_ : int
        The epoch that the parameters of `model_` are of, or for how many epochs it was trained again on all ratings. 0
        where no epoch was better than the biases alone.

    Notes
    -----
    Settings are stored as they are given, and checked by `fit`. A table in `defaults` says what "auto" stands for; in
    practice `n_hidden` and `n_epochs` trade accuracy for time. With ``biases=False`` the defaults are for ratings from
    1 to 5, and ``examples/benchmarks/autorec_table.py`` has better settings.
    """

    # Training

    def fit(self, ratings, y=None, validation="auto", on_epoch=None, checkpoint=None, checkpoint_every=1, resume=False,
            refit=True, comm=None, seconds=None, fits="auto"):
        """Learn from ratings, and forget what was learned before, if this ends well.

        Parameters
        ----------
        ratings : table, array of rows, tuple of columns, sparse matrix, Ratings, or StoredRatings
            Users, items and ratings, in any form that `tables.as_ratings` takes; or ratings on disk, of which a
            mini-batch is read at a time, stored with the recommender's `rows`, or with any if that is "auto". With
            ``objective="clicks"`` the numbers are counts, and may be left out; see `data.feedback.as_counts`.
        y : array_like of float, shape (n,), optional
            The ratings, if `ratings` has only users and items, (n, 2): scikit-learn's form.
        validation : "auto", float, or ratings in any of the forms above, or None
            A fraction of the ratings is cut off at random, and training stops early on it; see `defaults` for "auto".
            Held-out ratings of your own do the same; those of users and items that `ratings` lacks are passed over.
            None runs all `n_epochs`. Of ratings on disk none can be cut off: "auto" is None
            there, and ratings that were held out before they were stored serve better.
        on_epoch : callable, optional
            Called with each epoch's dict, as `history_` has it, of every training that is there, and of those with
            another decay that have been tried.
        checkpoint : str or path-like, optional
            A file to keep in step with the training, which may be killed at any time. (It is no saved recommender.)
            Beside biases there is one for each training: this one, and with ".2", ".3", ... added to its name those of
            the other rows, of the trainings on all ratings, and of those with another decay. Pilots and further fits
            have none, and are made again.
        checkpoint_every : int
            Epochs from one checkpoint to the next.
        resume : bool
            Whether to go on from `checkpoint`, if there is such a file. A program that was killed is run again as it
            is, and ends as if it had not been killed, bit for bit; see `Trainer.fit`.
        refit : bool
            Beside biases, and if a fraction of 2% or more was cut off for validation: whether to train again on all
            ratings, for as many epochs as were best. It takes twice the time, and is worth 0.001 to 0.015 of RMSE.
        comm : communicator of mpi4py, optional
            Whose ranks share out the model's columns, and call this together, each with the same arguments; see
            `ranks.ranks`. Each brings all ratings, or its own part of those on disk, as
            ``open_ratings(store, comm=comm)`` gives it. The recommender's methods are for all ranks to call together,
            too.
        seconds : float, optional
            With "lists" or "clicks" as the objective, for how long to fit: closed forms come first, autoencoders while
            there is time, and trainings end with the epoch that is under way. What must be done is done, late or not,
            and the outcome depends on how quick the machine is. Without `seconds` all is tried.
        fits : int or "auto"
            How many fits are averaged to one model with all their hidden units, each with other validation ratings and
            initial weights, in so many times the time; "auto" is 1. For ratings in residual mode, by the "shallow"
            network with a linear f.

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
        missing from `models_`. Models are trained again on all ratings together, or stay as they were.

        Once trained, the model's input, and what counts as seen, is all of `ratings`, with the fraction that was cut
        off for validation. Held-out ratings given as `validation` are never input.

        Examples
        --------
        >>> import sparse_ae
        >>> ratings = [("ann", "tea", 5), ("ann", "jam", 4), ("bob", "tea", 4), ("bob", "ale", 1), ("cem", "jam", 2)]
        >>> recommender = sparse_ae.Recommender(n_hidden=4, n_epochs=2, progress=False)
        >>> recommender.fit(ratings, validation=None).users_.tolist()
        ['ann', 'bob', 'cem']
        """
        ranks = Ranks(comm)
        with ranks.agreed():
            rng = check_rng(self.rng)
        ranks.check_call("fit")
        ranks.check_same(lambda: dict(
            {name: describe(value) for name, value in self.get_params().items() if name != "rng"},
            rng=state_of_rng(rng), on_disk=isinstance(ratings, StoredRatings), refit=repr(refit), fits=repr(fits),
            resume=repr(resume), checkpoint=str(checkpoint), checkpoint_every=repr(checkpoint_every),
            validation=repr(validation) if validation is None or isinstance(validation, (str, numbers.Number))
            else "ratings"))
        given = FitInputs.of(self, ratings, y, validation, ranks)
        run = {"on_epoch": on_epoch, "checkpoint_every": checkpoint_every, "resume": resume}
        with ranks.agreed():
            check_bool(refit, "refit")
            if checkpoint is not None:
                check_path(checkpoint, "checkpoint", "the path of a file, or None")
            paths = _paths(checkpoint, most_trainings(len(given.sides)) if self.biases else 1)
            blended = check_blend(self, given, isinstance(ratings, StoredRatings), seconds)
            refit = refit and given.is_cut_off and (blended or is_worth_a_refit(given.validation))
            check_settings(self.without_closed_form(), given.scale, given.unknown, given.validation is not None, paths,
                           run, ranks, fits, refit)
        given = given.with_held_out(rng)
        with overwriting_told(ratings):
            if blended:
                result = fit_blend(self, given, rng, paths, run, refit, seconds)
            else:
                result = fit_ratings(self, given, rng, paths, run, refit, fits)
        self.fitted_ = fitted_by(given.users, given.items, result, rating_scale=given.scale, unknown=given.unknown,
                                 missing_rating=given.missing_rating, is_counts=given.is_counts)
        return self

    @property
    def settings_(self):
        """All settings of the last fit: ``Recommender(**settings_)`` gives the same model of the same ratings.

        They have `choices_` as `choices`, so that nothing is searched for.
        """
        return dict(self.get_params(), choices=dict(self.choices_))

    def __str__(self):
        """The settings; after a fit a line on each model that has been trained, too."""
        fitted = vars(self).get("fitted_")
        lines = [repr(self)]
        for side, choice in () if fitted is None else fitted.choices.items():
            lines.append("%s as rows, weight %.2f: %s" % (side, fitted.weights[side], in_words(choice._asdict())))
        for name, weight in () if fitted is None else fitted.weights.items():
            if name not in fitted.choices:
                lines.append("%s, weight %.2f" % (name, weight))
        return "\n".join(lines)

    @property
    def measure(self):
        """The measure of validation, as the objective has it: "rmse", or one of lists such as "ndcg@10"."""
        return check_objective(self.objective).measure

    @property
    def takes_counts(self):
        """Tell whether the numbers that `fit` takes are counts."""
        return check_objective(self.objective).counts

    # Files

    def save(self, path, parts=False):
        """Write all of it to a file, or a folder: parameters, ids, ratings, scale, settings, history.

        Parameters
        ----------
        path : str or path-like
            A file of sparse_ae that is there is replaced in one step, once the new one is whole; any other is an error.
        parts : bool
            Whether `path` is to be a folder, in which each rank writes its own columns: for models on several ranks
            that outgrow one machine. A recommender that was saved there before is replaced in one step, too.

        Raises
        ------
        NotFittedError
        TypeError
            If the network's `f` or `g` is a function that isn't one of `lasagne.nonlinearities`: reading it would mean
            running code.
        OSError
            What the disk says.

        Notes
        -----
        On several ranks the first gathers what all have, and writes it: one process can load the file, if it has room.
        With `parts` nothing is gathered; all ranks need to see the folder.

        The file is a NumPy `.npz` without pickle; see `storage`. Of an `update`, a `learning_rate` or a `network`
        that is a function without a name in Lasagne it keeps a description only: enough to predict, and `fit` refuses
        it.
        """
        fitted = self.answering()
        ranks = fitted.ranks
        with ranks.agreed():
            path = check_path(path, "path")
            check_bool(parts, "parts")
        ranks.check_call("save", path=path, parts=bool(parts))
        meta, arrays, own = state_of(fitted)
        with ranks.agreed():
            meta = named_meta(meta, self.get_params())
        if parts:
            own = {name: np.asarray(parameter.variable.get_value(borrow=True)) for name, parameter in own.items()}
            saving.write_parts(path, meta, arrays, own, fitted.ratings, ranks)
        else:
            ranks.on_first(saving.write, path, meta, *whole(fitted, arrays, own))

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
            Its predictions are the same to the last bit; to rounding, where another number of ranks has saved it.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is damaged, of another kind, of a later version, or of another number of
            ranks; see `saving`. On several ranks, if that is so on one of them.
        """
        ranks = Ranks(comm)
        with ranks.agreed():
            meta, arrays, ratings = saving.read(check_path(path, "path"), ranks)
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
            recommender = cls(**unnamed(meta["settings"]))
            meta = unnamed_meta(meta)
        except errors as error:
            raise ranks.raised_by_all(refused(error)) from error
        try:
            recommender.fitted_ = fitted_of(meta, arrays, ratings, ranks)
        except errors as error:
            raise refused(error) from error
        return recommender

    def __getstate__(self):
        # For pickle and copy: compiled functions stay behind, they are made again when needed.
        fitted = vars(self).get("fitted_")
        if fitted is None:
            return self.get_params(), None
        fitted.ranks.check_alone("the columns of this recommender's model are shared out among %d processes, and "
                                 "can't be pickled or copied; save it, and load the file", kind=TypeError)
        meta, arrays, own = state_of(fitted)
        return self.get_params(), (meta,) + whole(fitted, arrays, own)

    def __setstate__(self, state):
        settings, fitted = state
        vars(self).update(settings)
        if fitted is not None:
            self.fitted_ = fitted_of(*fitted)


def _paths(checkpoint, n):
    """The checkpoints of n trainings: the one given, and others beside it."""
    if checkpoint is None:
        return [None] * n
    return [checkpoint] + ["%s.%d" % (os.fspath(checkpoint), number) for number in range(2, n + 1)]
