"""Ratings in every form: read, checked, split, batched, made up, kept on disk. Needs NumPy and SciPy, never Theano."""
from sparse_ae.data.ratings import (Ratings, Split, check_count, check_ratings, check_rng, dense_rows, minibatches, occurring,
                                    ratings_from_triples, refuse_stored_zeros, split_ratings)

__all__ = ["Ratings", "Split", "ratings_from_triples", "check_ratings", "split_ratings", "minibatches",
           "dense_rows", "refuse_stored_zeros", "occurring", "check_count", "check_rng"]
