"""What models say of pairs and grids: against loops over the parameters, and bit by bit against each other."""
import numpy as np
import pytest
import reference
import scipy.sparse as sp
from made import stars
from matrices import small

from sparse_ae.baselines.biases import Biases
from sparse_ae.data import check_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.scoring import rating_matrix
from sparse_ae.scoring.scorer import Scorer, WeightedScorer
from sparse_ae.training.targets import BeyondBiases
from lasagne.init import Normal

N_USERS, N_ITEMS, SCALE = 9, 7, (1.0, 5.0)
USERS, ITEMS = map(np.ravel, np.indices((N_USERS, N_ITEMS)))


# Users 2 and 5 and item 4 have none.
RATINGS = check_ratings(stars(N_USERS, N_ITEMS, 0.6, without_rows=[2, 5], without_columns=[4]))
RNG = np.random.RandomState(1)
BIASES = Biases(3.2, np.where(np.diff(RATINGS.indptr) > 0, RNG.randn(N_USERS), 0),
                np.where(np.asarray((RATINGS != 0).sum(axis=0))[0] > 0, RNG.randn(N_ITEMS), 0))


def scorer_of(rows, with_biases=True, slopes=None):
    matrix = RATINGS if rows == "users" else RATINGS.T.tocsr()
    start, targets = Normal(0.5), None
    if with_biases:
        own, other = (BIASES.users, BIASES.items) if rows == "users" else (BIASES.items, BIASES.users)
        targets = BeyondBiases(BIASES.mean + own, other, SCALE, slopes=slopes if rows == "users" or slopes is None else
                               slopes[::-1])
    model = AutoEncoder(matrix.shape[1], 3, (-4, 4) if with_biases else SCALE, "identity", "sigmoid", W=start, V=start,
                        mu=start, b=start, U=start if with_biases else None, rng=2)
    return Scorer(model, matrix, rows, targets)


def test_ratings_whose_rows_end_beyond_them_are_refused():
    matrix = RATINGS.copy()
    matrix.indptr[1] = 10 ** 9
    with pytest.raises(ValueError, match="indptr of the CSR matrix isn't"):
        Scorer(None, matrix)


@pytest.fixture(scope="module", params=["users", "items"])
def scorer(request):
    return scorer_of(request.param)


@pytest.fixture(scope="module")
def blend():
    return WeightedScorer([scorer_of("items"), scorer_of("users")], [0.7, 0.4])


def beyond_biases(scorer):
    """The outputs of all pairs from the parameters, users by items."""
    targets, (W, V, mu, b, U) = scorer.targets, (p.get_value().astype("float64") for p in scorer.model.params)
    offsets = targets.row_offsets[:, np.newaxis] + targets.column_offsets
    values, there = reference.residual_inputs(scorer.inputs.toarray(), offsets, targets.unit)
    found = targets.unit * (b + (1 / (1 + np.exp(-(mu + values @ V.T + there @ U.T)))) @ W.T)
    return found if scorer.rows == "users" else found.T


def biases_say():
    return BIASES.mean + BIASES.users[:, np.newaxis] + BIASES.items


def test_pairs_and_grid_by_loops(scorer):
    expected = biases_say() + beyond_biases(scorer)
    assert scorer.grids(np.arange(N_ITEMS))(np.arange(N_USERS)) == pytest.approx(expected, abs=1e-4)
    assert scorer.pairs(USERS, ITEMS) == pytest.approx(expected.ravel(), abs=1e-4)
    assert scorer.pair_outputs(USERS, ITEMS) == pytest.approx(beyond_biases(scorer).ravel(), abs=1e-4)
    assert scorer.baseline(USERS, ITEMS) == pytest.approx(biases_say().ravel(), rel=1e-12)


def test_slopes_and_weights_by_loops():
    of_users, of_items = np.random.RandomState(3).randn(2, N_USERS, 2)
    scorers = [scorer_of(rows, slopes=(of_users, of_items[:N_ITEMS])) for rows in ("items", "users")]
    users, items = np.array([6, 1, 6]), np.array([5, 0, 3])
    expected = np.array([[BIASES.mean + BIASES.users[u] + BIASES.items[i] + sum(of_users[u] * of_items[i]) + sum(
        weight * each.pair_outputs(np.array([u]), np.array([i]))[0] for each, weight in zip(scorers, (0.7, 0.4)))
        for i in items] for u in users])
    assert WeightedScorer(scorers, [0.7, 0.4]).grids(items)(users) == pytest.approx(expected, abs=1e-5)


def test_lists_encode_each_user_once(blend, monkeypatch):
    monkeypatch.setattr("sparse_ae.scoring.scores.TOGETHER", 2)
    encoded, encode = [], blend.scorers[1]._encode
    monkeypatch.setattr(blend.scorers[1], "_encode", lambda rows: [encoded.extend(rows), encode(rows)][1])
    blend.best(np.array([8, 0, 3, 1]), 3, False, np.arange(N_ITEMS))
    assert sorted(encoded) == [0, 1, 3, 8]


def test_pairs_are_the_same_bits_in_any_order(scorer, blend):
    for each in (scorer, blend, scorer_of("items", False), scorer_of("users", False)):
        pairs, order = each.pairs(USERS, ITEMS), np.random.RandomState(0).permutation(len(USERS))
        assert pairs.dtype == np.float32
        assert each.pairs(USERS[order], ITEMS[order], block_size=2).tobytes() == pairs[order].tobytes()
        part = each.grids(np.array([5, 0, 3]))(np.array([6, 1]))
        assert part == pytest.approx(pairs.reshape(N_USERS, N_ITEMS)[[6, 1]][:, [5, 0, 3]], rel=1e-5)


def test_a_weight_of_nothing_costs_nothing():
    one, other = scorer_of("items"), scorer_of("users")
    other.hidden = None  # would raise if it were asked
    assert WeightedScorer([one, other], [1, 0]).pairs(USERS, ITEMS).tobytes() == one.pairs(USERS, ITEMS).tobytes()
    nothing = WeightedScorer([other], [0])
    assert nothing.grids(np.arange(3))(np.arange(2)) == pytest.approx(biases_say()[:2, :3], rel=1e-6)
    assert nothing.used() == []


@pytest.mark.parametrize("part", [1, 2, 2 ** 22])
def test_stored_zeros_are_rated(part, monkeypatch):
    monkeypatch.setattr("sparse_ae.data.ratings.PART", part)
    matrix = small()
    rows, cols = map(np.ravel, np.indices(matrix.shape))
    order = np.random.RandomState(0).permutation(len(rows))
    stored = {(0, 1), (0, 3), (2, 0), (2, 1)}
    whole = scorer_of("users")
    found = Scorer(whole.model, matrix, targets=whole.targets).rating_matrix.are_rated(rows[order], cols[order])
    assert found.tolist() == [pair in stored for pair in zip(rows[order], cols[order])]


@pytest.mark.parametrize("rows", ["users", "items"])
def test_rated_by(rows, monkeypatch):
    users = np.array([3, 7, 0, 3])
    for limit in (2 ** 25, 0):
        monkeypatch.setattr(rating_matrix, "_MOST_TURNED", limit)
        places, items = scorer_of(rows).rating_matrix.rated_by(users)
        assert sorted(zip(places, items)) == [(k, i) for k, user in enumerate(users) for i in RATINGS[user].indices]


@pytest.mark.parametrize("rows", ["users", "items"])
def test_one_rating_is_enough_to_be_rated(rows):
    matrix = sp.csr_matrix(([4.0, 2.0, 3.0], ([0, 0, 2], [1, 3, 3])), (3, 5), np.float32)
    found = rating_matrix.RatingMatrix(matrix, "users", rows)
    assert found.shape == (3, 5) and found.mean == 3 and found.rows == rows
    assert [counts.tolist() for counts in found.counts] == [[2, 0, 1], [0, 1, 0, 2, 0]]
    assert found.users_rated.tolist() == [True, False, True]
    assert found.items_rated.tolist() == [False, True, False, True, False]
