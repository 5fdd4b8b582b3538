"""Lists by all that helps: what is fitted, how it is weighed, and that the answers of a blend go together."""
import types

import numpy as np
import pytest
import scipy.sparse as sp
from made import liked, likings
from recommender_contract import RecommenderContract

from sparse_ae import Recommender, Shallow
from sparse_ae.baselines.ease import EaseSystem
from sparse_ae.baselines.factors import FactorSystem
from sparse_ae.data import Ratings, split_ratings
from sparse_ae.evaluation.metrics import Metric
from sparse_ae.evaluation.rankings import ListValidation, evaluate_lists
from sparse_ae.recommender import ensemble, members, recommender as recommender_module, weights as weights_module
from sparse_ae.recommender.ensemble import Budget, fit_closed
from sparse_ae.recommender.members import CLOSED, Values
from sparse_ae.recommender.side_trainer import SideModel, SideTrainer
from sparse_ae.recommender.weights import by_strata, ensemble_metric, greedy_weights, pooled
from sparse_ae.runtime.progress import figure
from sparse_ae.scoring.people import PersonRatings, stacked
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble, stratum_of, weight_line
from sparse_ae.training.objectives import Missing

QUICK = dict(n_hidden=4, batch_size=20, l2=0.02, update="adam", learning_rate=0.05, n_epochs=8,
             network=Shallow(weight_scale=0.3), formulation="sparse", progress=False)


# With them autoencoders add nothing to the lists of such ratings.
WITHOUT_FACTORS = {name: form for name, form in CLOSED.items() if name != "factors"}


@pytest.fixture(scope="module")
def split():
    return liked(40)


@pytest.fixture(scope="module", params=["blend", "all members", "ease", "popular"])
def fitted(request, split):
    """By default; with a weight for each member, autoencoders among them; and closed forms alone."""
    if request.param == "all members":
        return request.getfixturevalue("all_members")
    if request.param == "blend":
        return Recommender(objective="lists", **QUICK).fit(split[0], validation=split[1])
    return Recommender(objective="lists", network=request.param, progress=False).fit(split[0])


@pytest.fixture(scope="module")
def all_members(split):
    with pytest.MonkeyPatch.context() as patch:
        with_all_members(patch)
        return Recommender(objective="lists", **QUICK).fit(split[0])


def with_all_members(patch):
    patch.setattr(ensemble, "CLOSED", WITHOUT_FACTORS)
    patch.setattr(ensemble, "greedy_weights", of_both)
    patch.setattr(ensemble, "by_strata", more_popular)


def weighing_alike(n_members):
    """In the place of `greedy_weights`: all weigh alike once there are so many, the most popular items alone before."""
    def weights(pool, *rest):
        n = len(pool.scores)
        return [1 / n] * n if n == n_members else [1.0] + [0.0] * (n - 1), [0.0] * n, 0.0

    return weights


def more_popular(pool, weights):
    """In the place of `by_strata`: half of the weight, and less, for the most popular items where ratings are few."""
    parts = np.array([0.5, 0.4, 0.3, 0.0])
    return np.outer(weights, 1 - parts) + np.outer(np.eye(len(weights))[0], parts), 0.0


# Of closed forms and both autoencoders.
of_both = weighing_alike(len(WITHOUT_FACTORS) + 2)


class TestLists(RecommenderContract):
    @pytest.fixture(autouse=True)
    def as_fitted(self, request, split, monkeypatch):
        """What `fitted` was fitted to, and how; killed while the second side is trained, and one on all ratings."""
        kind = request.node.callspec.params["fitted"]
        self.ratings, self.fit = split[0], dict(validation=split[1]) if kind == "blend" else {}
        if kind == "all members":
            with_all_members(monkeypatch)
            self.kills = [("items", False, 3), ("users", True, 1)]


# Closed forms


def test_ratings_as_closed_forms_take_them():
    ratings = sp.csr_matrix(np.array([[1, 5, 0], [0, 3, 4]], np.float32))
    unit = np.sqrt((1 + 25 + 9 + 16) / 4)
    for power, expected in ((1, [1, 5, 3, 4]), (2, [1, 25, 9, 16]), (0, [1, 1, 1, 1])):
        assert Values.of(ratings, 0.0, power)(ratings).data == pytest.approx(np.array(expected) / unit ** power)
    assert Values.of(ratings, -1.0)(ratings).data[1] == pytest.approx(6 / np.sqrt((4 + 36 + 16 + 25) / 4))
    assert Values.of(ratings, 3.0, 2)(ratings).data == pytest.approx(np.array([-4, 4, 0, 1]) / (9 / 4))  # with its sign
    with pytest.raises(ValueError, match="all ratings are 2, the assumed rating of missing entries"):
        Values.of(sp.csr_matrix(np.full((2, 2), 2.0)), 2.0)


def test_a_decay_is_climbed_to():
    """Whoever judges is the highest at a decay of 800, and finds nothing in another power."""
    tried = []

    def judge(member):
        tried.append((member.values.power, member.knob))
        return -np.abs(np.log2(member.knob / 800)) + np.arange(5.0)  # other levels, the same gain for all

    member = fit_closed(CLOSED["ease"], likings(), 0.0, judge=judge)
    assert (member.knob, member.values.power) == (800.0, 2)
    assert tried == [(2, 200.0), (2, 400.0), (2, 800.0), (2, 1600.0), (1, 800.0)]


@pytest.mark.parametrize("name", CLOSED)
def test_without_anybody_who_judges_it_is_the_first_guess(name):
    member = fit_closed(CLOSED[name], likings(n_rows=90, n_columns=80), 0.0)
    assert (member.knob, member.values.power) == (CLOSED[name].first_knob, 1 if CLOSED[name].centred else 2)
    assert fit_closed(CLOSED[name], likings(), 0.0, (1, 0, 2)).values.power == 1


def test_explicit_factors_are_of_what_ratings_differ_by():
    ratings = likings(n_rows=12, n_columns=7)
    member = fit_closed(CLOSED["explicit"], ratings, -5.0, judge=lambda member: np.arange(4.0))
    mean = ratings.data.mean(dtype=float)
    assert member.values == pytest.approx((mean, np.sqrt(((ratings.data - mean) ** 2).mean()), 1))
    expected = FactorSystem(member.values(ratings), 32, 0.02).solve(member.knob).rounded()
    assert (member.model.H == expected.H).all() and member.model[1:] == expected[1:]


@pytest.mark.parametrize("n_items, values", [
    (270, {32: 1.0, 64: 1.1, 128: 1.2, 134: 1.1}), (270, {32: 1.0, 64: 0.9, 16: 1.2, 8: 1.1}), (7, {3: 1, 1: 0}),
    (33, {16: 1, 8: 2, 4: 1}), (3, {1: 1})])
def test_vectors_are_climbed_to(n_items, values):
    """A filter has half of the data's rank at most: with all of it, it would say nothing of what wasn't rated."""
    ratings, tried = likings(n_rows=300, n_columns=n_items), []

    def judge(member):
        tried.append(member.knob)
        return values[member.knob] + np.arange(3.0)

    member = fit_closed(CLOSED["filter"], ratings, 0.0, (1,), judge)
    assert values[member.knob] == max(values.values()) and tried == list(values)
    assert member.chosen == {"vectors": member.knob, "power": 1}
    assert n_items < 7 or member.of_users(np.arange(300))[ratings.toarray() == 0].std() > 0.05


def test_what_is_popular_is_how_many_have_rated_it():
    """For everybody, users without ratings too: three ratings of 1 are more than one of 5."""
    train = Ratings(sp.csr_matrix((np.float32([1, 1, 1, 5, 2, 2]), (range(6), [0, 0, 0, 1, 2, 2])), shape=(7, 3)),
                    np.arange(7), np.array(["a often", "b once", "c twice"]))
    for network in ("popular", "ease"):
        found = Recommender(objective="lists", network=network, rating_scale=(1, 5), progress=False).fit(
            train, validation=[(6, "b once", 5)])
        lists = found.recommend([6, 6], exclude_seen=False)
        assert [each.items.tolist() for each in lists] == [["a often", "c twice", "b once"]] * 2
        lists[0].items[:] = "mine"
        assert lists[1].items[0] == "a often"
    popular = Recommender(objective="lists", network="popular", progress=False).fit(train, validation=None)
    assert popular.recommend(3, exclude_seen=False).items.tolist() == ["a often", "c twice", "b once"]


def test_progress_goes_to_the_log(split, caplog, capsys):
    popular = Recommender(objective="lists", network="popular", progress="logging")
    with caplog.at_level("INFO", "sparse_ae"):
        popular.fit(split[0], validation=split[1])
    assert [each.split()[0] for each in caplog.messages] == ["validation", "rankings", "Items"]
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="progress is 'log'; expected True or False, or 'logging'"):
        popular.set_params(progress="log").fit(split[0])


def test_where_all_ratings_are_equal_nothing_differs(split):
    equal = split[0].matrix.copy()
    equal.data[:] = 4
    blend = Recommender(objective="lists", n_epochs=1, progress=False).fit(equal)
    assert "explicit" not in blend.weights_ and "factors" in blend.weights_
    with pytest.raises(ValueError, match="all training ratings are 4; expected different ratings, or another"):
        Recommender(objective="lists", network="explicit", progress=False).fit(equal)


# Weights


class Scores:
    """A member with given scores."""

    scorer = types.SimpleNamespace(forget=lambda: None)

    def __init__(self, scores):
        self.name, self.scores = "scores", scores

    def of_users(self, users):
        return self.scores[users].copy()


@pytest.fixture(scope="module")
def judged(split):
    """Training ratings, lists, and three members: one knows nothing, one half of what is held out, one the rest."""
    train, held_out = (each.matrix for each in split)
    rng, relevant = np.random.RandomState(5), (held_out.toarray() >= 4).astype(np.float32)
    half = rng.rand(*relevant.shape) < 0.5
    return train, ListValidation(train, held_out, Metric("ndcg", 5, 4.0)), [
        Scores(rng.rand(*relevant.shape)), Scores(relevant * half), Scores(relevant * ~half)]


def test_weights_go_to_what_makes_lists_better(judged):
    train, lists, members = judged
    said = pooled(members, train, lists)
    for name in ("recall", "ndcg"):
        lists.metric = Metric(name, 5)
        weights, values, value = greedy_weights(said, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
        assert weights[0] == 0 and min(weights[1:]) > 0.02 and sum(weights) == pytest.approx(1)
        blend = RankingEnsemble(members, weights, train)
        full = lists.by_user(blend.best(lists.users, 5, True, lists.candidates)[0]).mean()
        assert value == pytest.approx(full) and value > 1.2 * max(values)
        for k, member in enumerate(members):  # the pool has all that is needed
            alone = RankingEnsemble([member], [1.0], train).best(lists.users, 5, True, lists.candidates)[0]
            assert lists.by_user(alone).mean() == pytest.approx(values[k])
    weights = greedy_weights(said, [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], {0})[0]
    assert weights == [0.0, 0.5, 0.5]


def test_what_is_worth_nothing_has_no_weight(judged):
    """Whatever its weight was before: no list of the last one has a relevant item."""
    train, lists, members = judged
    known = sum(weight * member.scores for weight, member in zip((0.1, 1, 1), members))
    said = pooled([Scores(known), Scores(-known)], train, lists)
    for first in ([0.3, 0.7], [0.0, 1.0]):
        weights, values, _ = greedy_weights(said, first, [1.0, 0.0])
        assert values[1] == 0 and weights == [1.0, 0.0]


def test_a_member_that_spoils_the_others_lists_is_dropped(judged, monkeypatch):
    """Parts of its weight that move to others would leave a rest."""
    train, lists, members = judged
    monkeypatch.setattr(weights_module, "CLEARLY_BETTER", -np.inf)
    said = pooled([Scores(members[0].scores ** 20), *members[1:]], train, lists)  # few of its scores are high
    weights, values, value = greedy_weights(said, [0.3, 0.35, 0.35], [1.0, 0.0, 0.0])
    assert weights[0] == 0 < values[0] and value > 1.2 * max(values)


def test_weights_are_halfway_to_the_first_ones_unless_users_are_against_it(judged, monkeypatch):
    train, lists, members = judged
    said = pooled(members, train, lists)
    first = np.array([0.6, 0.4, 0.0])
    for expensive in ((), {2}):
        monkeypatch.setattr(weights_module, "CLEARLY_BETTER", -np.inf)
        found = np.array(greedy_weights(said, first, [1.0, 0.0, 0.0], expensive)[0])
        monkeypatch.setattr(weights_module, "CLEARLY_BETTER", np.inf)
        weights, values, value = greedy_weights(said, first, [1.0, 0.0, 0.0], expensive)
        kept = found[2] if expensive else 0.0
        expected = (found + [0, 0, kept] + (1 - kept) * first) / 2
        assert found[2] > 0.02 and weights == pytest.approx(expected) and weights[0] > found[0]
        assert value == said.by_user(weights).mean() >= values[2]
    # Not where halfway is worse than what had no weight before is alone.
    against = Scores(members[0].scores - 3 * members[1].scores * (members[0].scores < 0.9))
    said = pooled([against, members[1]], train, lists)
    assert greedy_weights(said, np.array([1.0, 0.0]), [1.0, 0.0])[0] == [0.0, 1.0]


def test_where_short_lists_tell_nothing_longer_ones_do():
    """Most people like the tenth most popular item, one the third. The other member puts what they like last, but for
    a few people first: by lists of five it is better, clearly so only with eight and without the third item."""
    n, rng = 60, np.random.RandomState(0)
    train, popular = sp.eye(n, dtype=np.float32, format="csr"), np.tile(-np.arange(n), (n, 1))
    for n_first, third, expected in ((1, 20, [1.0, 0.0]), (7, 9, [1.0, 0.0]), (8, 9, [0.0, 1.0])):
        liked = np.repeat([9], n)
        liked[third] = 2
        held_out = sp.csr_matrix((np.ones(n - 1), (np.delete(np.arange(n), 9), np.delete(liked, 9))), (n, n))
        other = rng.rand(n, n) - 2 * held_out.toarray()
        other[:n_first, 9] = 2
        said = pooled([Scores(popular), Scores(other)], train, ListValidation(train, held_out, Metric("ndcg", 5)))
        assert greedy_weights(said, [0.0, 1.0], [1.0, 0.0])[0] == expected
    alike = said._replace(scores=said.scores[:1] * 2)
    assert greedy_weights(alike, [0.0, 1.0], [0.25, 0.75])[0] == [0.25, 0.75]  # the weights for short histories
    said.validation.n_rated = np.full(n, 8)
    assert greedy_weights(alike, [0.0, 1.0], [0.25, 0.75])[0] == [1.0, 0.0]


def test_users_with_few_ratings_have_weights_of_their_own(monkeypatch):
    """Of users with 2 ratings and 10, of whom the one half loves what is popular, the other what another member says;
    users with 4 to 7 ratings, of whom there are few, have the weights of those with more."""
    n_users, n_items, rng = 90, 40, np.random.RandomState(0)
    n_rated = np.repeat([2, 5, 10], [40, 10, 40])
    rated = rng.rand(n_users, n_items).argsort(axis=1) < n_rated[:, np.newaxis]
    train = sp.csr_matrix(rated.astype(np.float32))
    popular, other = rng.rand(1, n_items).repeat(n_users, axis=0), rng.rand(n_users, n_items)
    liked_by = np.where(n_rated[:, np.newaxis] == 2, popular, other) - 2 * rated
    held_out = sp.csr_matrix((liked_by > 0.8).astype(np.float32))
    lists, scores = ListValidation(train, held_out, Metric("ndcg", 5)), [Scores(popular), Scores(other)]
    said = pooled(scores, train, lists)
    monkeypatch.setattr(weights_module, "_ENOUGH_USERS", 20)
    found, value = by_strata(said, [0.2, 0.8])
    assert found[0, 0] == 1 and (found[:, 1:] == [[0.2], [0.8]]).all() and (found.sum(axis=0) == 1).all()
    blend = RankingEnsemble(scores, found, train)
    full = lists.by_user(blend.best(lists.users, 5, True, lists.candidates)[0])
    assert value == pytest.approx(full.mean()) and value > 1.2 * said.by_user([0.2, 0.8]).mean()
    n_few, n_many = np.count_nonzero(n_rated == 2), np.count_nonzero(n_rated > 2)
    line = weight_line(found[0], np.append(n_rated, 0))
    mean = (n_few + 0.2 * n_many) / (n_few + n_many)
    assert line == "%.2f (1.00 below 4 ratings, 0.20 below 8 ratings, 0.20 below 16 ratings, else 0.20)" % mean
    monkeypatch.setattr(weights_module, "_ENOUGH_USERS", 41)
    assert (by_strata(said, [0.2, 0.8])[0] == [[0.2], [0.8]]).all()


def test_a_model_in_training_is_worth_what_it_adds(judged):
    """Nothing, or the half of what is held out that the other doesn't know."""
    train, lists, (chance, half, more) = judged
    there, wrong = Scores(half.scores + 1e-3 * chance.scores), Scores(-half.scores - more.scores)
    said = pooled([there], train, lists)
    nothing, something = (ensemble_metric(said, [1.0], member, train, least=1)
                          for member in (wrong, more))
    without, found = said.by_user([1.0]).mean(), something()
    assert nothing() == without < found and (nothing.name, nothing.every, nothing.least) == ("blend_ndcg@5", 2, 1)
    metrics = [ensemble_metric(said, [1.0], member, train, least=8) for member in (wrong, chance, more)]
    assert all(each() for each in metrics)
    assert [[each.ends(epoch) for epoch in (1, 2, 4)] for each in metrics] == [
        [False, True, True], [False, True, True], [False] * 3]
    values = []
    for part in (0.05, 0.1, 0.2, 0.35, 0.5):
        blend = RankingEnsemble([there, more], [1 - part, part], train)
        values.append(lists.by_user(blend.best(lists.users, 5, True, lists.candidates)[0]).mean())
    assert found == pytest.approx(max(values)) and max(values) > 1.2 * without


def test_a_model_is_weighed_by_the_parameters_of_its_best_epoch(split, monkeypatch):
    """Hidden units of items are kept, and those of the last epoch that was looked at are others."""
    pool, weighed = ensemble.pooled, []

    def pooled_anew(members, ratings, lists):
        for member in members:
            if hasattr(member, "scorer"):
                scores = member.of_users(lists.users)
                member.scorer.forget()
                assert (member.of_users(lists.users) == scores).all()
                weighed.append(member.name)
        return pool(members, ratings, lists)

    monkeypatch.setattr(ensemble, "pooled", pooled_anew)
    monkeypatch.setattr(ensemble, "greedy_weights", weighing_alike(99))
    Recommender(objective="lists", **dict(QUICK, n_epochs=24, patience=6)).fit(split[0], refit=False)
    assert "items" in weighed


# A recommender


def test_the_default_is_a_blend(split, capsys):
    train, held_out = split
    recommender = Recommender(objective="lists", **dict(QUICK, progress=True)).fit(train, validation=held_out)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "to fit: popular, ease, local, filter, factors, explicit, and an autoencoder"
    validated, used, done = lines[-3:]
    assert validated.startswith("validation ndcg@10: popular 0.") and used.startswith("rankings use ")
    assert " (chosen by these figures: judge by others)" in validated and " of factors" in used
    assert "(ease: l2=" in used
    found = recommender.validation_lists_
    assert done.startswith("Items are ranked by ") and done.endswith(
        ": ndcg@10 %s on the held-out ratings that chose them, %s by popularity alone" % (
            figure(found["blend"]), figure(found["popular"])))
    assert [name for name in found if name not in ("items", "users")] == list(CLOSED) + ["blend"]
    assert found["blend"] >= max(found["popular"], found["ease"]) - 1e-9 > 0.1
    assert set(recommender.weights_) == set(found) - {"blend"} | set(recommender.choices_)
    assert sum(recommender.weights_.values()) == pytest.approx(1)
    judged = recommender.evaluate(held_out)["ndcg"]
    assert judged == pytest.approx(found["blend"], abs=1e-6)
    assert recommender.biases_ is None and recommender.missing_rating_ == 0.0 and recommender.choices_


def test_equal_items_are_ordered_by_popularity(monkeypatch):
    """In every list: of known users, of new ones, of some items, of what is similar, and of those that are judged."""
    monkeypatch.setattr(members, "MOST_DENSE", 5)  # all other items have the score 0
    clicks = sp.random(40, 30, 0.2, "csr", np.float32, np.random.RandomState(1), np.ones)
    train, held_out = split_ratings(clicks, 0.2, rng=0)[:2]
    recommender = Recommender(objective="clicks", network="ease", progress=False).fit(train)
    counts, users = np.diff(train.tocsc().indptr), np.unique(train.nonzero()[0])
    items = np.flatnonzero(counts)

    def expected(scores, left_out, items=items):
        return [i for i in items[np.lexsort((-counts[items], -scores))] if i not in left_out][:8]

    n_equal, grid = 0, np.full(train.shape, -np.inf)
    for u, found in zip(users, recommender.recommend(users, n=8).items):
        scores, seen = recommender.predict(np.full(len(items), u), items), train[u].indices
        grid[u, items] = scores
        n_equal += len(set(recommender.predict(np.full(8, u), found))) < 8
        new = recommender.fold_in(dict.fromkeys(seen.tolist(), 1.0))
        assert found.tolist() == expected(scores, seen)
        assert new.recommend(n=8).items.tolist() == expected(new.predict(items), seen)
        assert recommender.recommend(u, n=8, items=items[::2]).items.tolist() == expected(scores[::2], seen, items[::2])
    assert n_equal > 30
    similar = recommender.similar_items(items[0], n=8)
    assert len(set(similar.scores)) < 8 and (np.diff(counts[similar.items])[np.diff(similar.scores) == 0] <= 0).all()
    judged = evaluate_lists(lambda rows: grid[rows], train, held_out)
    assert recommender.evaluate(held_out)["ndcg"] == judged["ndcg"] > 0


def test_new_users_are_scored_together_once_they_are_asked(all_members, split, monkeypatch):
    """As many at a time as known users."""
    scorer, made = all_members.fitted_.scorer, []
    rows = split[0].matrix[:5]
    told = [dict(zip(split[0].items[row.indices].tolist(), row.data.tolist())) for row in rows]
    alone = [all_members.fold_in(each).predict(split[0].items) for each in told]
    monkeypatch.setattr("sparse_ae.scoring.scores.TOGETHER", 3)
    monkeypatch.setattr(scorer, "grid_of_people", lambda people, grid=scorer.grid_of_people:
                        [made.append(len(people)), grid(people)][1])
    people = all_members.fold_in(told)
    assert made == [] and people[4].recommend(3).items.size == 3 and made == [2]
    for person, expected in zip(people, alone):
        assert person.predict(split[0].items) == pytest.approx(expected, abs=1e-5)
    assert made == [2, 3]


def test_a_rating_s_part_is_its_share_of_a_sum(fitted, split):
    """Scores change by as much as a part if its rating changes; means and deviations of the user's scores are given."""
    blend, user, item = fitted.fitted_.scorer, 3, 7
    row = split[0].matrix[user]
    person, left = PersonRatings(row.indices, row.data.astype(float)), np.setdiff1d(blend.candidates, row.indices)
    expected = np.zeros(row.nnz)
    for (member, weights), (_, (scale,)) in zip(blend.used(), blend.scaling(np.array([user]))):
        scores, parts = member.of_users(np.array([user]))[0].astype(float), member.parts(person, [item])[:, 0]
        weight = weights[stratum_of(row.nnz)]
        assert scale * scores[left].std() == pytest.approx(weight, rel=1e-4) or member.name == "popular"
        if member.name in ("ease", "local", "filter", "factors", "explicit"):
            assert parts.sum() == pytest.approx(scores[item], abs=1e-5)
            changed = row.copy()
            changed.data = changed.data.copy()
            changed.data[0] = 6 - changed.data[0]
            before, after = (member.values(each).data[0] for each in (row, changed))
            moved = member.of_people([PersonRatings(row.indices, changed.data.astype(float))], changed)[0, item]
            assert moved - scores[item] == pytest.approx(parts[0] * (after / before - 1), abs=1e-5)
        elif member.name == "popular":
            assert not parts.any()
        else:
            whole, without = (PersonRatings(row.indices[k:], row.data[k:].astype(float)) for k in (0, 1))
            one, both = (member.of_people([each], stacked([each], row.shape[1]))[0, item] for each in (without, whole))
            assert parts[0] == pytest.approx(both - one, abs=1e-6)
        expected += scale * parts
    found = fitted.explain(fitted.users_[user], fitted.items_[item])
    assert dict(zip(found.items, found.parts)) == pytest.approx(dict(zip(fitted.items_[row.indices], expected)))


@pytest.mark.parametrize("fitted", ["blend", "all members", "ease"], indirect=True)
def test_what_is_alike_is_what_goes_with_it(fitted):
    found = fitted.similar_items("i06", 5)
    assert "i06" not in found.items and (np.diff(found.scores) <= 0).all()
    assert sum(int(item[1:]) % 2 == 0 for item in found.items) >= 4  # of the same half


def test_users_who_are_alike_have_scores_that_are(fitted, split, monkeypatch):
    monkeypatch.setattr("sparse_ae.scoring.scores.TOGETHER", 7)
    found, grid = fitted.similar_users(fitted.users_[4], 10), fitted.fitted_.scorer.grid(np.arange(80))
    centred = (grid - grid.mean(axis=0)).astype(float)
    expected = [each.dot(centred[4]) / np.sqrt(each.dot(each) * centred[4].dot(centred[4])) for each in centred]
    assert found.scores == pytest.approx(np.sort(np.delete(expected, 4))[:-11:-1], abs=1e-4)
    if fitted.weights_.keys() != {"popular"}:
        assert fitted.users_[4] not in found.users and sum(found.users // 10 % 2 == 0) >= 9  # they like the same half


@pytest.mark.parametrize("name", ["factors", "explicit", "filter"])
def test_scores_of_factors_are_products_of_vectors(name, split):
    found = Recommender(objective="lists", network=name, progress=False).fit(split[0])
    users, items, of_users, of_items = found.vectors()
    for user, scores in zip(users[:9], of_users.dot(of_items.T)):
        assert found.predict(user, items) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("side", ["items", "users", None])
def test_the_attributes_of_a_blend_are_its_models(side, split, monkeypatch):
    """A model without a weight has been trained, and chosen for; it is no `model_`."""
    n_members = []  # closed forms alone, then with users as rows, then with items as rows

    def to_one_side(pool, *args):
        n_members.append(len(pool.scores))
        weights = [1.0] + [0.0] * (n_members[-1] - 1)
        place = {"users": n_members[0], "items": n_members[0] + 1, None: n_members[-1]}[side]
        return weights[:place] + [0.5] * (place < len(weights)) + weights[place + 1:], [0.5] * len(weights), 0.5

    monkeypatch.setattr(ensemble, "CLOSED", WITHOUT_FACTORS)
    monkeypatch.setattr(ensemble, "greedy_weights", to_one_side)
    found = Recommender(objective="lists", **QUICK).fit(split[0], refit=False)
    assert set(found.choices_) == ({"users"} if side == "users" else {"items", "users"})
    if side is None:
        assert (found.model_, found.best_epoch_) == (None, 0)
    else:
        epochs = [each for each in found.history_ if each["rows"] == side]
        assert found.model_ is found.models_[side]
        assert found.best_epoch_ == (epochs[-1]["restored"] or len(epochs))


def test_without_time_there_are_no_autoencoders(split, capsys):
    recommender = Recommender(objective="lists").fit(split[0], seconds=1e-6)
    assert "no time is left for local, filter, factors, explicit\n" in capsys.readouterr().err
    assert recommender.models_ == {} and recommender.history_ == [] and recommender.recommend(100).items.size == 10


@pytest.fixture
def clock(monkeypatch):
    """Ensembles go by its `seconds`, which go on where a test says so."""
    now = types.SimpleNamespace(seconds=100.0)
    for module in (ensemble, recommender_module):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.mark.parametrize("limit, begun, refitted", [
    (15, ["popular", "ease"], []), (30, ["popular", "ease", "local"], ["ease"]),
    (60, ["popular", "ease", "local", "filter", "factors"], ["ease", "local", "filter", "factors"]),
    (400, list(CLOSED) + ["users"], [each for each in CLOSED if each != "popular"])])
def test_a_limit_counts_what_is_begun_and_the_last_fits(limit, begun, refitted, split, clock, monkeypatch):
    """8 s for EASE and 4 for others, judged, 2 s, or weighed, 1."""
    fitted, again = [], []

    def takes(seconds, result, name=None):
        clock.seconds += seconds
        fitted.extend([name] * (name not in [None, *fitted[-1:]]))  # a form may be fitted several times
        return result

    def of_form(form):
        seconds = {"popular": 0, "ease": 8}.get(form.name, 4)
        return type(form.__name__, (form,), {
            "system": staticmethod(lambda x: takes(seconds, form.system(x), form.name)),
            "refitted": lambda self, ratings: [again.append(form.name), takes(seconds, self.knowing(ratings))][1]})

    def weights(pool, *rest):
        n = len(pool.scores)
        return takes(1, ([float(name != "popular") for name in begun[:n]], [0.1] * n, 0.1))

    monkeypatch.setattr(ensemble, "CLOSED", {name: of_form(form) for name, form in CLOSED.items()})
    monkeypatch.setattr(ensemble._EnsembleFit, "judge", lambda *_: lambda member: takes(2, np.arange(4.0)))
    monkeypatch.setattr(ensemble, "greedy_weights", weights)
    monkeypatch.setattr(SideTrainer, "train", lambda self, choice, measure_of, seconds: takes(
        seconds, SideModel(self.side, None, choice, [], 0, []), self.side))
    Recommender(objective="lists", progress=False).fit(split[0], seconds=limit)
    assert (fitted, again) == (begun, refitted) and clock.seconds <= 100 + limit


def test_vectors_are_tried_if_the_square_of_their_number_is_left(clock):
    """32 take 2 s, so that 64 may take 8, though they take 4."""
    tried = []

    def judge(member):
        tried.append(member.knob)
        clock.seconds += member.knob / 16
        return np.arange(4.0) + member.knob

    for limit, knobs, cost in ((11, [32], 2), (25, [32, 64], 4), (27, [32, 64, 128], 8)):
        tried[:], budget = [], Budget(limit, begun=clock.seconds)
        fit_closed(CLOSED["filter"], likings(n_rows=300, n_columns=300), 0.0, (1,), judge, budget)
        assert tried == knobs and budget.costs == {"filter": cost}


def test_without_validation_the_first_guesses_count(split):
    recommender = Recommender(objective="lists", progress=False).fit(split[0], validation=None)
    assert recommender.validation_lists_ is None and recommender.models_ == {}
    total = sum(form.initial_weight for form in CLOSED.values())
    assert recommender.weights_ == pytest.approx({name: form.initial_weight / total for name, form in CLOSED.items()})


def test_refit_is_on_all_ratings(split):
    """The lists are those of the closed form, fitted on all ratings with what validation has chosen."""
    train = split[0].matrix
    recommender = Recommender(objective="lists", network="ease", progress=False).fit(train)
    values = Values.of(train, 0.0, 1)
    member = recommender.fitted_.scorer.members[0]
    expected = EaseSystem(member.values(train), 0.5).solve(member.knob, 0.5).rounded().weights
    assert (member.model.weights == expected).all() and member.values.unit < values.unit * 1.1
    once = Recommender(objective="lists", network="ease", progress=False).fit(train, refit=False)
    assert not np.array_equal(once.fitted_.scorer.members[0].model.weights, expected)


def test_what_does_not_fit(split, monkeypatch, capsys, tmp_path):
    """EASE takes the most popular items, and is no member of an ensemble of many items."""
    monkeypatch.setattr(members, "MOST_DENSE", 12)
    ease = Recommender(objective="lists", network="ease", progress=False).fit(split[0], validation=split[1])
    ease.save(tmp_path / "ease")
    pairs = np.repeat(split[0].users[:3], 40), np.tile(split[0].items, 3)
    assert (Recommender.load(tmp_path / "ease").predict(*pairs) == ease.predict(*pairs)).all()
    assert ease.fitted_.scorer.members[0].model.weights.shape == (12, 12) and ease.validation_lists_["ease"] > 0.05
    popular = Recommender(objective="lists", network="popular").fit(split[0], validation=split[1])
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Items are ranked by popularity: ndcg@10 %.4f on the held-out ratings that chose it"
        % popular.validation_lists_["popular"])
    assert ease.validation_lists_ == {each: pytest.approx(fitted.evaluate(split[1])["ndcg"]) for each, fitted in (
        ("popular", popular), ("ease", ease))}
    monkeypatch.setattr(members.Ease, "most_items", 39)
    weights = Recommender(objective="lists").fit(split[0], seconds=1e-6, validation=None).weights_
    assert list(weights) == ["popular", "local"]


@pytest.mark.parametrize("settings", [dict(objective=Missing()), dict(objective="lists", rows="users"),
                                      dict(objective="lists", biases=False)])
def test_who_asks_for_autoencoders_gets_nothing_else(settings, split):
    recommender = Recommender(**dict(QUICK, n_epochs=1, **settings)).fit(split[0], validation=split[1])
    assert set(recommender.weights_) <= {"items", "users"} and recommender.models_


@pytest.mark.parametrize("ratings", [
    [(1, 1, 5)], [(1, 1, 5), (1, 2, 5)], [(1, 1, 5), (2, 1, 5)], [(u, i, 3) for u in range(4) for i in range(3)],
    [(1, 1, 1), (2, 2, 5)]])
def test_hardly_any_ratings(ratings):
    recommender = Recommender(objective="lists", progress=False).fit(ratings, validation=None)
    assert np.isfinite(recommender.predict(ratings[0][0], ratings[0][1]))
    assert np.isfinite(recommender.fold_in({ratings[0][1]: ratings[0][2]}).predict([ratings[0][1]])).all()
