"""Ratings in every form: read, checked, split, batched, synthetic, kept on disk; without Theano."""
from sparse_ae.data.batches import minibatches, refuse_stored_zeros
from sparse_ae.data.ratings import Ratings, check_ratings, ratings_from_triples
from sparse_ae.data.splits import Split, UserSplit, split_ratings

__all__ = ["Ratings", "Split", "UserSplit", "ratings_from_triples", "check_ratings", "split_ratings", "minibatches",
           "refuse_stored_zeros"]
