"""Networks of layers in a `Recommender`: all that the post's model has there, and what is refused."""
import functools
import json

import pytest
from devices import networks_need_cpu
from recommender_contract import RecommenderContract

import sparse_ae
from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
from sparse_ae.networks import Network, deep, multinomial
from sparse_ae.recommender.saving import as_json, from_json
from sparse_ae.training.objectives import Multinomial
from lasagne.layers import InputLayer

pytestmark = networks_need_cpu

N_USERS, N_ITEMS = 50, 40


@pytest.fixture(scope="module")
def triples():
    """1000 ratings with string ids, of which models learn more than biases tell."""
    pairs = sparse_ae.made_up_ratings(N_USERS, N_ITEMS, 1000, n_factors=2, noise=0.2, step=1, rng=3)[0].matrix.tocoo()
    return [("u%02d" % u, "i%02d" % i, float(r)) for u, i, r in zip(pairs.row, pairs.col, pairs.data)]


def recommender(network=deep, **settings):
    return sparse_ae.Recommender(network=network, **dict(dict(n_hidden=8, n_epochs=15, l2=2.0, learning_rate=0.01,
                                                              batch_size=8, progress=False), **settings))


@pytest.fixture(scope="module")
def fitted(triples):
    """A deep network of both sides beside biases, stopped early, and trained again on all ratings."""
    return recommender(biases="unguarded").fit(triples, validation=0.1)


@pytest.mark.slow
class TestNetworks(RecommenderContract):
    fit, kills = dict(validation=0.1), [("items", False, 3)]

    @pytest.fixture(autouse=True)
    def data(self, triples):
        self.ratings = triples


@pytest.mark.slow
def test_a_multinomial_network_makes_lists(triples):
    found = recommender(multinomial, objective=Multinomial(), rows="users", l2=0.01).fit(triples, validation=0.2)
    assert "popular" in found.validation_lists_ and found.choices_["users"].l2 == 0.01
    assert len(found.recommend(found.users_[0], 3).items) == 3


# What is refused


def mine(n_columns, n_hidden, rating_scale, l2, rng):
    ratings = InputLayer((None, n_columns))
    return Network(ObservedLayer(SparseInputDenseLayer(ratings, n_hidden), ratings), rating_scale, l2)


@pytest.mark.parametrize("network, settings, error, message", [
    (mine, {}, TypeError, r"network=.*mine can't be called \(.*indicator.*\); expected a function that takes \(n_col"),
    (int, {}, TypeError, "network=builtins.int can't be called .no signature found"),
    (lambda *args, **kwargs: 3, {}, TypeError, "returned 3; expected a sparse_ae.contract.Model"),
    (lambda n_columns, *args, **kwargs: deep(n_columns + 1), {}, ValueError,
     r"a model with 2 columns for n_columns=1, its first argument, .*; expected that number of columns"),
    (lambda *args, indicator, **kwargs: deep(*args, **kwargs), {}, ValueError,
     r"a model with the channels \(\); expected \('indicator',\): InputLayers of these names"),
    (deep, dict(l2=(1, 2)), ValueError, r"l2 is \(1, 2\) with network=sparse_ae.networks.kinds.deep; expected one num"),
    (deep, dict(formulation="scan"), ValueError, "formulation='scan' is the post's graph, for an AutoEncoder")])
def test_networks_that_cannot_be_used(network, settings, error, message, triples, monkeypatch):
    monkeypatch.setattr("theano.function", None)  # before anything is compiled
    with pytest.raises(error, match=message):
        recommender(network, **settings).fit(triples)


@pytest.mark.parametrize("network, again", [
    (deep, deep), (functools.partial(deep, depth=3, f="linear", dropout=0.5), None),
    (functools.partial(deep, 7), "sparse_ae.networks.kinds.deep(7)"), (mine, mine.__module__ + ".mine")])
def test_networks_of_ours_are_written_with_their_settings_others_as_names(network, again):
    written = json.loads(json.dumps(as_json({"network": network})))
    found = from_json(written)["network"]
    if again is None:
        assert found.func is deep and found.keywords == {"depth": 3, "f": "linear", "dropout": 0.5}
    else:
        assert found == again


def test_a_network_that_is_none_is_refused():
    with pytest.raises(ValueError, match="network is the network 'Network'; expected one of deep, denoising, mul"):
        from_json({"network": {"Network": "Network", "settings": {}}})
