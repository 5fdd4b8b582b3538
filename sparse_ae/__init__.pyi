# The names that __init__.py loads when they are first asked for, for mypy, pyright and editors.
from sparse_ae import (
    baselines as baselines,
    contract as contract,
    data as data,
    evaluation as evaluation,
    layers as layers,
    networks as networks,
    ops as ops,
    recommender as recommender,
    theano_compat as theano_compat,
    training as training,
    updates as updates,
)
from sparse_ae.data import Ratings as Ratings, minibatches as minibatches, split_ratings as split_ratings
from sparse_ae.data.datasets import jester as jester, movielens as movielens
from sparse_ae.data.datasets.synthetic import made_up_ratings as made_up_ratings
from sparse_ae.data.load import load_ratings as load_ratings
from sparse_ae.data.splits import (
    k_core as k_core,
    k_folds as k_folds,
    leave_k_out as leave_k_out,
    split_by_time as split_by_time,
    split_users as split_users,
    time_folds as time_folds,
)
from sparse_ae.data.stores import open_ratings as open_ratings, store_ratings as store_ratings
from sparse_ae.data.tables import as_ratings as as_ratings
from sparse_ae.evaluation.metrics import mae as mae, rmse as rmse
from sparse_ae.model import AutoEncoder as AutoEncoder
from sparse_ae.recommender.recommender import Recommender as Recommender
from sparse_ae.recommender.search import cross_validate as cross_validate, grid_search as grid_search
from sparse_ae.recommender.settings import Shallow as Shallow
from sparse_ae.trainer import Trainer as Trainer

__version__: str
