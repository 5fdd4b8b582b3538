"""`Recommender`: from ratings with ids to predictions and recommendations, by scikit-learn's conventions."""
import copy
import time
from typing import Any, Callable, Optional, Union

from sparse_ae.checks import AnyPath, brief, check_bool, check_path, check_rng, state_of as state_of_rng
from sparse_ae.data.side import ITEMS, USERS
from sparse_ae.data.stores import StoredRatings
from sparse_ae.ranks.ranks import Ranks
from sparse_ae.recommender import saving
from sparse_ae.recommender.ensemble import Budget, check_ensemble, fit_ensemble
from sparse_ae.recommender.fit_data import check_problem, hold_out
from sparse_ae.recommender.held_out import Judged
from sparse_ae.recommender.items import Items
from sparse_ae.recommender.known_users import KnownUsers
from sparse_ae.recommender.model_factory import ModelFactory, Run, check_choices
from sparse_ae.recommender.new_users import NewUsers
from sparse_ae.recommender.partial_fit import fit_more
from sparse_ae.recommender.rating_models import fit_ratings, number_of_fits
from sparse_ae.recommender.report import Reported
from sparse_ae.recommender.saving import fitted_of, from_json, state_of
from sparse_ae.recommender.settings import NotFittedError, RecommenderSettings, Shallow, as_line, result_line  # noqa: F401
from sparse_ae.runtime.processors import blas_on_one_thread
from sparse_ae.runtime.progress import reporting
from sparse_ae.scoring.ranking import RecommendationLists, Recommendations  # noqa: F401
from sparse_ae.scoring.ranking_ensemble import weight_line
from sparse_ae.training.checkpoint import describe

__all__ = ["RecommendationLists"]


class Recommender(KnownUsers, NewUsers, Items, Judged, Reported):
    """Recommender from ratings with ids: biases plus autoencoders, or an ensemble of ranking models.

    With items as rows it is I-AutoRec, with users as rows U-AutoRec, as `AutoEncoder`, by default of the residuals of
    biases. scikit-learn's search and cross-validation take it, with pairs of user and item as X and ratings as y.

    Parameters
    ----------
    n_hidden : int or "auto"
        Number of hidden units. docs/explanation/auto.md has the rules of this and every other "auto".
    rows : {"auto", "items", "users", "both"}
        What an autoencoder reconstructs. "both" trains one model of each and adds their outputs, with weights from
        validation (equal ones without). "auto" is "both" with validation, but one side for ratings on disk, or if the
        other's rows have more than 10,000 ratings on average; with "lists" or "clicks" it is an ensemble.
    objective : {"ratings", "lists", "clicks"} or Objective
        "ratings" predicts ratings. "lists" ranks items: missing entries count a little, as if they had been rated low,
        and predictions are scores. "clicks" does the same from pairs of user and item, or counts. Both are a weighted
        ensemble of closed-form models and an autoencoder, in one process and memory: docs/explanation/blend.md. An
        `Objective` of `training.objectives`, such as ``Missing(0.1, measure="recall@20")``, trains autoencoders only.
    network : "shallow", Shallow, callable, or the name of a closed-form model
        "shallow" is the post's model, with one hidden layer; ``Shallow(g="tanh")`` sets its nonlinearities, initial
        weights or dtype. A callable makes another, as the functions of `networks` do: ``network(n_columns, n_hidden,
        rating_scale=, l2=, rng=)``, in residual mode also with ``indicator=True``, for an InputLayer of that name that
        reads the pattern of ratings. It runs in one process on the CPU. For rankings "ease", "local", "filter",
        "factors", "explicit" and "popular" are closed-form models, used alone.
    biases : bool or "unguarded"
        True is residual mode: models predict what the biases leave over, each with a weight that is shrunk by its
        standard error on validation ratings, to 0 up to 2.5 of them: docs/explanation/biases.md. "unguarded" doesn't
        shrink. False is the post's model: ratings in, ratings out.
    l2 : float, (float, float) or "auto"
        Weight decay of W, the decoder, and V, the encoder: an epoch's cost is ``squared error + l2 (|W|^2 + |V|^2)``.
        In residual mode the unit of the squared error is a quarter of the rating scale.
    update, learning_rate, formulation
        As for `Trainer`, or "auto".
    batch_size : int, None or "auto"
        Rows in a mini-batch; None for all at once, which "rprop" and "lbfgs" need.
    n_epochs : int or "auto"
        The largest number of epochs; without validation the exact number.
    patience : int, "auto" or None
        Training stops after so many epochs without a lower validation error, and the best epoch's parameters are
        restored; None switches both off. In residual mode with an "auto" `learning_rate`, gains below a thousandth
        don't count, and training continues once from the best epoch at 0.15 times the rate.
    rating_scale : (float, float), optional
        Lowest and highest rating, to which predictions are clipped; read from the ratings if not given.
    unknown : "mean", "error" or float
        The prediction if neither the user nor the item had a rating in `fit` (with ``biases=False``, if either had
        none): the mean rating, a number (the paper's is 3), or an error.
    rng : int or numpy.random.RandomState
        Source of the validation split, the initial weights and the shuffling. The same seed gives the same bytes.
    progress : bool or "logging"
        Whether to report progress, choices and validation errors on stderr; or by Python's `logging`, to the logger
        "sparse_ae" at level INFO.
    choices : dict of str to defaults.Choice, optional
        The values of "auto" for the models of "items" and "users", as `choices_` has them; no weight decay is searched
        for then. Settings that aren't "auto" are used.

    Notes
    -----
    Settings are stored as given, and checked by `fit`. With ``biases=False`` the defaults are for ratings from 1 to 5,
    and ``examples/benchmarks/autorec_table.py`` has better settings. Attributes that end with an underscore are there
    after `fit`, and read-only.

    Examples
    --------
    >>> import sparse_ae
    >>> ratings = [
    ...     ("ann", "tea", 5), ("ann", "jam", 5), ("ann", "ale", 3), ("bob", "tea", 4),
    ...     ("bob", "ale", 2), ("bob", "rum", 1), ("cem", "jam", 4), ("cem", "ale", 3),
    ...     ("cem", "rum", 2), ("dan", "tea", 5), ("dan", "jam", 4), ("eve", "jam", 3),
    ...     ("eve", "rum", 1)]
    >>> recommender = sparse_ae.Recommender(n_hidden=2, n_epochs=5, progress=False)
    >>> recommender.fit(ratings, validation=None)
    Recommender(n_hidden=2, n_epochs=5, progress=False)
    >>> recommender.users_.tolist(), recommender.items_.tolist()
    (['ann', 'bob', 'cem', 'dan', 'eve'], ['ale', 'jam', 'rum', 'tea'])
    >>> recommender.rating_scale_, recommender.weights_, recommender.model_.n_hidden
    ((1.0, 5.0), {'items': 1.0}, 2)
    >>> len(recommender.history_)
    5

    Orders and clicks have no ratings; `network` names a closed-form model here. The examples of methods use these two
    recommenders.

    >>> orders = [("ann", "tea"), ("ann", "jam"), ("ann", "pot"), ("bob", "tea"),
    ...           ("bob", "pot"), ("cid", "jam"), ("cid", "rye"), ("dan", "tea"),
    ...           ("dan", "cup"), ("eve", "rye"), ("eve", "oil")]
    >>> shop = sparse_ae.Recommender(objective="clicks", network="ease", progress=False)
    >>> shop.fit(orders).recommend("bob", n=2).items.tolist()
    ['jam', 'cup']
    """

    @reporting
    @blas_on_one_thread()
    def fit(self, ratings: Any, y: Any = None, validation: Any = "auto", on_epoch: Optional[Callable] = None,
            checkpoint: Optional[AnyPath] = None, resume: bool = False, refit: bool = True, comm: Any = None,
            seconds: Optional[float] = None, fits: Union[int, str] = "auto", item_features: Any = None,
            user_features: Any = None) -> "Recommender":
        """Train on ratings; a previous fit is replaced if this succeeds.

        Parameters
        ----------
        ratings : table, array of rows, tuple of columns, sparse matrix, Ratings, or StoredRatings
            Users, items and ratings, in any form that `as_ratings` takes; or ratings on disk, read one mini-batch at a
            time, stored by the recommender's `rows`. With ``objective="clicks"`` the numbers are counts, and may be
            left out.
        y : array_like of float, shape (n,), optional
            The ratings, if `ratings` has only users and items, (n, 2): scikit-learn's form.
        validation : "auto", float, or ratings in any of the forms above, or None
            The fraction of the ratings that is held out, at random, to stop training early; or your own held-out
            ratings, which are never input; those of users and items that `ratings` lacks are ignored. None runs all
            `n_epochs`; so does "auto" for ratings on disk, which can't be split.
        on_epoch : callable, optional
            Called with each epoch's dict, as in `history_`, also for trainings with another weight decay.
        checkpoint : str or path-like, optional
            A file from which a killed training continues; it isn't a saved recommender. In residual mode each training
            has its own, with ".2", ".3", ... added to the name. Pilots and further fits have none, and start again.
        resume : bool
            Whether to continue from `checkpoint`, if it exists. A killed program that is run again unchanged ends as if
            it hadn't been killed, bit for bit; see `Trainer.fit`.
        refit : bool
            In residual mode, and if 1.25% or more was held out: whether to train again on all ratings, for as many
            epochs as were best. It takes twice the time, and is worth 0.001 to 0.015 of RMSE.
        comm : communicator of mpi4py, optional
            Its ranks train each autoencoder together: docs/guide/machines.md. All make this call with the same
            arguments and all ratings, in memory or on disk, and get the same recommender, which is independent of them.
        seconds : float, optional
            Time limit for all of `fit` with "lists" or "clicks": closed-form models come first, then autoencoders. A
            model is left out if the time that is left is too short, by the models before it; time to fit models again
            on all ratings is put aside. The most popular items and EASE are always fitted. The result depends on the
            machine's speed.
        fits : int or "auto"
            Number of models that are averaged, as one with all their hidden units; each has other validation ratings
            and initial weights. "auto" is 4 below 20,000 ratings, else 1. For ratings in residual mode, by the
            "shallow" network with a linear f.
        item_features, user_features : table, path, dict of id to words, or (matrix, ids), optional
            Attributes, such as genres, brands or ages, in any form that `data.attributes.as_attributes` takes. Items
            and users that have some and no rating are known from then on: docs/guide/new-items.md.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            For settings and ratings that can't be used, before anything is compiled.
        OSError
            If a checkpoint exists without `resume`, or can't be written.
        trainer.TrainingDiverged
            If the loss or a parameter becomes NaN or infinite, or training errors exceed the rating scale. If one of
            two models diverges, it is left out, and a message names it.

        Notes
        -----
        Ctrl-C ends the training after the current mini-batch, and keeps its state: `interrupted_` is True, and a model
        that wasn't begun is missing from `models_`. It is a KeyboardInterrupt before there is a model to keep. Models
        are trained again on all ratings together, or stay as they were.

        Examples
        --------
        >>> held_out = [("bob", "jam", 4), ("eve", "tea", 4)]
        >>> recommender.set_params(rows="items").fit(
        ...     ratings, validation=held_out, refit=False)
        Recommender(n_hidden=2, rows='items', n_epochs=5, progress=False)
        >>> round(recommender.validation_rmse_["biases"], 2)
        0.47
        """
        begun, ranks, rng = time.monotonic(), Ranks(comm), check_rng(self.rng)
        if checkpoint is not None:
            checkpoint = check_path(checkpoint, "checkpoint", "the path of a file, or None")
        run, factory = Run(on_epoch, checkpoint, resume), ModelFactory.of(self.get_params(), ranks)
        begins, settings = state_of_rng(rng), dict(self.get_params(), rng=copy.deepcopy(self.rng))
        check_bool(refit, "refit")
        ensemble = check_ensemble(factory, seconds, isinstance(ratings, StoredRatings))
        model = factory.try_out(run)
        problem = check_problem(factory, ratings, y, validation, item_features, user_features)
        factory, run = factory.at(problem.missing_rating), run._replace(sides=problem.sides)
        # Each of several fits has other biases while it is validated.
        refit = refit and problem.fraction is not None and (
            ensemble or fits not in ("auto", 1) or not problem.holds_out_little)
        n_fits = number_of_fits(fits, factory, problem.ratings.matrix.nnz, refit, model)
        data = hold_out(problem, rng, n_fits > 1)
        ranks.check_same(lambda: dict(
            {name: describe(value) for name, value in self.get_params().items() if name != "rng"}, rng=begins,
            refit=refit, fits=n_fits, resume=resume, checkpoint=str(checkpoint),
            **data.fingerprints()))
        fitted = (fit_ensemble(factory, data, rng, run, refit, Budget(seconds, begun)) if ensemble else
                  fit_ratings(factory, data, rng, run, refit, n_fits))
        self.fitted_ = fitted = fitted.extended(
            features=problem.features, new_share=problem.new_share, settings=settings)
        if not fitted.interrupted:
            factory.tell(result_line(self))
        return self

    @reporting
    @blas_on_one_thread()
    def partial_fit(self, ratings: Any = None, y: Any = None, item_features: Any = None, user_features: Any = None,
                    n_epochs: int = 3, returns: str = "error") -> "Recommender":
        """Go on with more ratings, or attributes of more items and users: this takes a fraction of a fit's time.

        Biases and closed-form models are solved anew, with all ratings. The parameters of autoencoders begin where they
        were, those of new users and items by `fold_in` in decoders and at random in encoders, and are trained for a few
        epochs on all ratings. Settings, choices, weights and validation errors stay those of `fit`.

        Parameters
        ----------
        ratings, y
            New ratings, in any form that `fit` takes in memory. They are added to the earlier ones; of a pair that was
            rated before the new rating counts, and counts are added up, those of returns below 0 too. They must be
            within `rating_scale_`. Without any nothing is trained or solved.
        item_features, user_features : in any form that `fit` takes, optional
            Attributes of new items and users, or other ones of known ones, if `fit` had some; the others keep theirs.
            A line on stderr tells of words and columns that it hadn't; if it had none of the columns, or one that is
            spelled much alike, it is an error. The columns of a matrix are those of `features_`, unscaled.
        n_epochs : int
            Epochs for each autoencoder with a weight, at 0.3 times the last learning rate of `fit`; 0 leaves them as
            they were. `history_` has them as ``partial``.
        returns : {"error", "drop"}
            What becomes of a pair whose counts, earlier ones included, add up to 0 or less: an error, or it is left
            out, and a line on stderr says how many are. Read files by ``load_ratings(..., returns="keep")``.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            For ratings and attributes that can't be used, ratings beyond the scale, attributes where `fit` had none,
            and a loaded model whose network or `update` is a function that its file only describes.
        trainer.TrainingDiverged
            If a loss or a parameter becomes NaN or infinite.

        Notes
        -----
        If it raises an error, or Ctrl-C ends it, the recommender stays as it was. All ratings are in memory meanwhile.
        Other threads get the old answers until it ends. It shouldn't be called in two of them at once: the ratings of
        the call that ends first would be lost.
        Now and then `fit` should choose settings and weights anew: docs/guide/new-items.md.

        Examples
        --------
        >>> shop.partial_fit([("fay", "tea")]).recommend("fay", n=1).items.tolist()
        ['pot']
        """
        fitted = self._answering()
        settings = dict(fitted.settings or self.get_params(), unknown=fitted.unknown, progress=self.progress)
        self.fitted_ = fit_more(fitted, settings, ratings, y, {ITEMS: item_features, USERS: user_features}, n_epochs,
                                returns)
        return self

    def __str__(self):
        """The settings, and after a fit a line for each trained model."""
        lines, fitted = [repr(self)], vars(self).get("fitted_")
        if fitted is not None:
            weights = {name: "%.2f" % weight for name, weight in fitted.weights.items()}
            if fitted.is_ensemble:
                weights.update((each.name, weight_line(of_member, fitted.rating_matrix.counts[0]))
                               for each, of_member in fitted.scorer_of_fit.used())
            for name, weight in weights.items():
                choice = self.choices_.get(name)
                lines.append("%s, weight %s" % (name, weight) if choice is None else
                             "%s as rows, weight %s: %s" % (name, weight, as_line(choice._asdict())))
        return "\n".join(lines)

    def save(self, path: AnyPath) -> None:
        """Save the recommender to a file: parameters, ids, ratings, scale, settings, history.

        Parameters
        ----------
        path : str or path-like
            An old file of sparse_ae is replaced in one step, when the new one is complete; any other file is an error.

        Raises
        ------
        NotFittedError
        TypeError
            If the network's `f` or `g` isn't one of `lasagne.nonlinearities`: reading it would mean running code.
        OSError
            If the file can't be written.

        Notes
        -----
        The file is a NumPy `.npz` without pickle. An `update`, a `learning_rate` or a `network` that is a function
        without a name in Lasagne is only described in it: the loaded model predicts, but `fit` raises an error.

        Examples
        --------
        >>> shop.save("shop.npz")
        >>> sparse_ae.Recommender.load("shop.npz").recommend("bob", n=2).items.tolist()
        ['jam', 'cup']
        """
        saving.write(check_path(path, "path"), self._answering(), self.get_params())

    @classmethod
    def load(cls, path: AnyPath) -> "Recommender":
        """Load a recommender that was saved with `save`.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        Recommender
            Its predictions are the same, bit for bit.

        Raises
        ------
        FileNotFoundError, IsADirectoryError, ValueError
            If there is no such file, or it is damaged, of another kind, or of a later version. A folder that version
            1.0 wrote with MPI has to be made a file by that version.
        """
        path = check_path(path, "path")
        meta, arrays, ratings = saving.read(path)
        try:  # this version may lack some of the settings, or refuse them
            recommender = cls(**from_json(meta["settings"]))
            check_choices(recommender.choices)
            recommender.fitted_ = saving.fitted_of(meta, arrays, ratings)
            cls(**recommender.fitted_.settings or {})
        except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
            said = "it has no " * isinstance(error, KeyError) + brief(error)
            raise ValueError("%s is damaged, or has settings that this sparse_ae can't use: %s; take a complete copy, "
                             "or save the recommender again" % (path, said)) from error
        return recommender

    def __getstate__(self):
        # For pickle and copy: compiled functions are left out, and made again when needed.
        fitted = vars(self).get("fitted_")
        if fitted is None:
            return self.get_params(), None
        return self.get_params(), state_of(fitted) + (fitted.rating_matrix.matrix,)

    def __setstate__(self, state):
        settings, fitted = state
        vars(self).update(settings)
        if fitted is not None:
            self.fitted_ = fitted_of(*fitted)
