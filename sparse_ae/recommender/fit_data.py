"""The data of a fit: ratings to train on, held-out ratings, and what follows from them."""
from typing import NamedTuple, Optional

import numpy as np

from sparse_ae.baselines.biases import Biases
from sparse_ae.data.ratings import CheckedMatrix
from sparse_ae.data.splits import split_ratings
from sparse_ae.evaluation.rankings import ListValidation
from sparse_ae.recommender.fit_arguments import FitArguments
from sparse_ae.recommender.members import MOST_DENSE
from sparse_ae.recommender.sides import biases_of, popularity_of, targets_of
from sparse_ae.scoring.rating_matrix import RatingMatrix
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.checkpoint import fingerprint

# The most users whose rankings are validated after each epoch: they resolve 0.002 of NDCG. Fewer if their scores would
# be larger than a closed form's largest matrix.
_RANKED_AT_MOST = 2000

# The share of the held-out ratings that weights of several fits are found by; epochs and decays are by the others.
_FOR_WEIGHTS = 1 / 3

# The shrinkage of the levels that a decoder needn't learn.
_LEVELS_SHRUNK_BY = 1.0


class FitData(NamedTuple):
    """The ratings of a fit. Epochs and decays are chosen on `held_out`, weights on `for_weights`, perhaps the same;
    without validation both are None. `slopes` is the weight of users' slopes in the biases."""

    arguments: FitArguments
    train: RatingMatrix
    held_out: Optional[RatingMatrix] = None
    for_weights: Optional[RatingMatrix] = None
    slopes: float = 0.0

    @classmethod
    def of(cls, arguments, rng, apart=False, slopes=0.0):
        """Hold out ratings as the arguments ask for; if `apart`, those for weights are others."""
        ratings = arguments.ratings
        if arguments.validation is None:
            return cls(arguments, ratings, slopes=slopes)
        if not arguments.holds_out_fraction:
            held_out = arguments.given_held_out()
            return cls(arguments, ratings, held_out, held_out, slopes)
        split = split_ratings(CheckedMatrix(ratings.matrix), arguments.validation, rng)
        held_out = for_weights = RatingMatrix(split.test, ratings.rows)
        if apart and split.test.nnz > 2:
            parts = split_ratings(CheckedMatrix(split.test), _FOR_WEIGHTS, rng)
            held_out, for_weights = (RatingMatrix(part, ratings.rows) for part in (parts.train, parts.test))
        return cls(arguments, RatingMatrix(split.train, ratings.rows), held_out, for_weights, slopes)

    def with_settings(self, **changed):
        """The same data with some other settings."""
        return self._replace(arguments=self.arguments.with_settings(**changed))

    def fingerprints(self):
        """What ranks have to agree on, by name."""
        arguments = self.arguments
        of_ratings = {"ratings": arguments.ratings, "validation ratings": self.held_out,
                      "ratings for weights": self.for_weights}
        return dict({name: each and fingerprint(each.matrix) for name, each in of_ratings.items()},
                    **{"ids of users": arguments.users, "ids of items": arguments.items})

    def biases_under(self, ratings):
        """The `Biases` under a model of a `RatingMatrix`: a constant for scores."""
        if self.arguments.unit is not None:
            return Biases(self.arguments.missing_rating, *(np.zeros(n) for n in ratings.shape))
        return biases_of(ratings, slopes=self.slopes)

    def alone(self, ratings):
        """Predictions without a model, as `Biases`: the popularity of items for scores."""
        if self.arguments.unit is None:
            return self.biases_under(ratings)
        return popularity_of(ratings, self.arguments.missing_rating)

    def targets(self, biases, side, trained_on=None):
        """The `Targets`; `biases` is None for ratings in, ratings out. In residual mode a decoder isn't taught the
        levels of the `RatingMatrix` that it is `trained_on`."""
        has_levels = trained_on is not None and self.arguments.unit is None
        levels = biases_of(trained_on, _LEVELS_SHRUNK_BY, self.slopes) if has_levels else None
        return targets_of(biases, side, self.arguments.scale, self.arguments.unit, levels)

    def scorer(self, model, ratings, side, biases):
        """A `Scorer` of a `RatingMatrix`."""
        return Scorer(model, ratings, side, self.targets(biases, side))

    def list_validation(self):
        """The `ListValidation` of models; None without held-out ratings, and with validation by RMSE."""
        if self.held_out is None or self.arguments.metric is None:
            return None
        train, held_out = (CheckedMatrix(each.by("users")) for each in (self.train, self.held_out))
        most_users = min(_RANKED_AT_MOST, 1 + MOST_DENSE ** 2 // self.train.shape[1])
        return ListValidation(train, held_out, self.arguments.metric, most_users)
