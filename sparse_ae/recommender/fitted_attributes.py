"""The attributes of a fitted `Recommender`, with their documentation."""
import copy
from typing import Any, Dict, List, Optional

import numpy as np

from sparse_ae.checks import Scale
from sparse_ae.recommender.settings import RecommenderSettings, not_fitted
from sparse_ae.training.objectives import check_objective


class FittedAttributes(RecommenderSettings):
    """Attributes that ask the current `FitResult`, the attribute `fitted_`."""

    def _answering(self):
        """The current `FitResult`; NotFittedError before `fit`."""
        fitted = vars(self).get("fitted_")
        if fitted is None:
            raise not_fitted("this Recommender is not fitted yet; call fit with ratings first, or load a saved one")
        return fitted

    @property
    def users_(self) -> np.ndarray:
        """numpy.ndarray of int64 or str, shape (n_users,): Ids of the known users, ascending; then those with only
        attributes."""
        return self._answering().users

    @property
    def items_(self) -> np.ndarray:
        """numpy.ndarray of int64 or str, shape (n_items,): Ids of the known items, ascending; then those with only
        attributes."""
        return self._answering().items

    @property
    def users_rated_(self) -> np.ndarray:
        """numpy.ndarray of bool, shape (n_users,): Whether each of `users_` had a rating in `fit`."""
        return self._answering().users_rated

    @property
    def items_rated_(self) -> np.ndarray:
        """numpy.ndarray of bool, shape (n_items,): Whether each of `items_` had a rating in `fit`."""
        return self._answering().items_rated

    @property
    def features_(self) -> Dict[str, Any]:
        """dict of str to data.attributes.Attributes: The attributes of "items" and of "users" that `fit` was given."""
        return dict(self._answering().features)

    @property
    def rating_scale_(self) -> Scale:
        """(float, float): Lowest and highest rating."""
        return self._answering().rating_scale

    @property
    def mean_(self) -> float:
        """float: Mean of the ratings."""
        return self._answering().mean

    @property
    def last_time_(self) -> Optional[float]:
        """float or None: The latest time of the ratings of `fit` and `partial_fit`; None without times.

        In the times' unit, dates in seconds since 1970. Times come with `Ratings`, as `load_ratings` reads them.
        """
        span = self._answering().span
        return span and span[1]

    @property
    def missing_rating_(self) -> Optional[float]:
        """float or None: The rating assumed for a missing entry; None if missing entries don't count."""
        return self._answering().missing_rating

    @property
    def biases_(self) -> Any:
        """baselines.Biases or None: Mean and offsets, by positions in `users_` and `items_`.

        None with ``biases=False``, and for an ensemble. For other rankings the mean is `missing_rating_` and offsets
        are 0, or the popularity of items if no model ranks better.
        """
        return self._answering().biases

    @property
    def models_(self) -> Dict[str, Any]:
        """dict of str to AutoEncoder, or to the model that `network` makes: Models by rows, "items" and "users"."""
        return self._answering().models

    @property
    def model_(self) -> Any:
        """AutoEncoder, as in `models_`, or None: The first of them; None if there are closed-form models only."""
        return self._answering().model

    @property
    def weights_(self) -> Dict[str, float]:
        """dict of str to float: Weight of each model's output in predictions, by rows.

        An ensemble has one for each member, whose scores have mean 0 and variance 1 for each user: the mean over users,
        since users with few ratings may have more of "popular"; ``print(recommender)`` tells how much. 0 for a model
        that gains nothing, or has diverged.
        """
        return self._answering().weights

    @property
    def validation_rmse_(self) -> Optional[Dict[str, float]]:
        """dict of str to float, or None: RMSE on validation ratings of known users and items.

        For "biases" alone, with the model of "items" or "users" added, and with "both". Empty if no validation rating
        has a known user and a known item; None without validation, for rankings, and with ``biases=False``, where
        `history_` has it. Slopes, decays, epochs and weights are chosen by it: judge a model by others.
        """
        return self._answering().validation_rmse

    @property
    def validation_lists_(self) -> Optional[Dict[str, float]]:
        """dict of str to float, or None: The ranking metric on validation ratings, if the objective has one.

        For "popular", for each model or member of the ensemble, and for the "blend". Decays, powers, members, weights
        and an epoch are chosen by it: judge a model by others. docs/explanation/blend.md tells how much it flatters.
        """
        return self._answering().validation_lists

    @property
    def choices_(self) -> Dict[str, Any]:
        """dict of str to defaults.Choice: All choices for each model, by rows."""
        return self._answering().choices

    @property
    def settings_(self) -> Dict[str, Any]:
        """dict: The settings of the last fit, with `choices_` as `choices`; a RandomState as it was before that fit.

        ``Recommender(**settings_)`` gives the same model, byte for byte, for the same ratings and arguments of `fit`,
        without the search for a weight decay; closed-form models are searched for again. Settings may be changed then.
        """
        settings = self._answering().settings or self.get_params()
        return dict(settings, rng=copy.deepcopy(settings["rng"]), choices=dict(self.choices_))

    @property
    def history_(self) -> List[Dict[str, Any]]:
        """list of dict: One for each epoch, as in `Trainer.history`.

        Each also has the model's ``rows``, and whether it is a ``refit``. Discarded trainings, and fits after the first
        of those that are averaged, are left out.
        """
        return self._answering().history

    @property
    def best_epoch_(self) -> int:
        """int: The epoch of the parameters of `model_`, or the number of epochs of its training on all ratings.

        0 if no epoch had a lower error than the biases alone.
        """
        return self._answering().best_epoch

    @property
    def interrupted_(self) -> bool:
        """bool: Whether Ctrl-C ended the last fit early.

        Then models are as they were at that time, not trained again on all ratings; some may be missing.
        """
        return self._answering().interrupted

    @property
    def measure(self) -> str:
        """str: The objective's metric of validation: ``"rmse"``, or a ranking metric such as ``"ndcg@10"``."""
        return check_objective(self.objective).measure

    @property
    def takes_counts(self) -> bool:
        """bool: Whether `fit` takes counts in place of ratings, as with ``objective="clicks"``."""
        return check_objective(self.objective).counts
