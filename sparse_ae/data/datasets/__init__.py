"""Sets of ratings that come with the library: published ones, which are fetched, and synthetic ones."""
from sparse_ae.data.datasets.published import Dataset, jester, movielens, movielens_100k_folds

__all__ = ["Dataset", "jester", "movielens", "movielens_100k_folds"]
