"""Tests that the tests of any kind of `Recommender` inherit.

    class TestMine(RecommenderContract):
        ratings, fit = TRAIN, dict(validation=TEST)

They use a fixture `fitted`: a recommender that was fitted to `ratings` with the arguments `fit`.
"""
import copy
import pickle

import numpy as np
import pytest

from sparse_ae.data.stores import store_ratings
from sparse_ae.recommender.recommender import Recommender

ATTRIBUTES = ("rating_scale_", "mean_", "best_epoch_", "weights_", "validation_rmse_", "validation_lists_", "choices_",
              "missing_rating_")


class Killed(Exception):
    pass


def parameters(recommender):
    return {rows: [p.get_value().tobytes() for p in model.params] for rows, model in recommender.models_.items()}


def answers(recommender):
    """What a recommender says, to the last bit."""
    users, items = recommender.users_, recommender.items_
    found = [recommender.predict(np.repeat(users, len(items)), np.tile(items, len(users))).tobytes()]
    for one in recommender.recommend(users[recommender.users_rated_][:4], n=20):
        found += [one.items.tolist(), one.scores.tobytes()]
    told = dict(zip(items[recommender.items_rated_].tolist(), list(recommender.rating_scale_) * 2))
    found.append(recommender.fold_in(told).predict(items).tobytes())
    return found


def of_biases(recommender):
    """Their numbers and arrays, those of slopes among them."""
    *found, slopes = recommender.biases_ or [None]
    return found + list(slopes or ())


def assert_same(left, right):
    """Models, answers, and what is known of the training; but for the seconds that it took."""
    assert parameters(left) == parameters(right) and answers(left) == answers(right)
    for name in ATTRIBUTES:
        assert getattr(left, name) == getattr(right, name), name
    for name in ("users_", "items_", "users_rated_", "items_rated_"):
        one, other = getattr(left, name), getattr(right, name)
        assert one.dtype == other.dtype and one.tolist() == other.tolist(), name
    assert [dict(r, seconds=0) for r in left.history_] == [dict(r, seconds=0) for r in right.history_]
    assert list(map(type, of_biases(left))) == list(map(type, of_biases(right)))
    assert all(map(np.array_equal, of_biases(left), of_biases(right)))


class RecommenderContract:
    """`kills` are the trainings to kill, and after which epoch; `stored` what is read from disk: (ratings, rows).

    `became` are settings that a file holds by their names; `near` is how far predictions for a new user may be from
    those for a known one with the same ratings where they aren't exact.
    """

    fit, kills, stored, became, near = {}, (), None, {}, None

    def again(self, fitted, ratings=None, **run):
        """Another one with the same settings."""
        ratings = self.ratings if ratings is None else ratings
        return Recommender(**fitted.get_params()).fit(ratings, **dict(self.fit, **run))

    def test_saved_loaded_pickled_copied(self, fitted, tmp_path):
        fitted.save(tmp_path / "m")
        loaded = Recommender.load(tmp_path / "m")
        assert loaded.get_params() == dict(fitted.get_params(), **self.became)
        for other in (loaded, pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
            assert_same(other, fitted)
        loaded.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()

    def test_the_same_seed_gives_the_same_bytes(self, fitted):
        assert_same(self.again(fitted), fitted)

    def test_lists_are_the_best_by_predictions_of_what_was_not_rated(self, fitted):
        for user in fitted.users_[fitted.users_rated_][:3]:
            everything = fitted.recommend(user, n=len(fitted.items_), exclude_seen=False)
            np.testing.assert_allclose(everything.scores, fitted.predict(user, everything.items), atol=1e-5)
            assert (np.diff(everything.scores) <= 0).all() and len(set(everything.items)) == len(everything.items)
            unseen = fitted.recommend(user, n=6)
            left = [item for item in everything.items if item in set(fitted.recommend(user, n=10 ** 6).items)]
            assert unseen.items.tolist() == left[:6] and len(left) < len(everything.items)

    def test_a_new_user_is_predicted_as_a_known_one_with_the_same_ratings(self, fitted):
        """Exactly by closed forms and with users as rows; columns are solved for, slopes are of these ratings alone."""
        about = fitted.weights_.get("items") or fitted.biases_ is not None and fitted.biases_.slopes is not None
        atol = self.near if about else 1e-4
        known = fitted.fitted_.rating_matrix.by("users")
        for user in np.argsort(-np.diff(known.indptr))[:4] if atol is not None else ():
            rated = fitted.items_[known[user].indices].tolist()
            new = fitted.fold_in(dict(zip(rated, known[user].data.astype(float).tolist())))
            assert new.ratings.tolist() == known[user].data.tolist()
            for found, expected in ((new.predict(fitted.items_), fitted.predict(fitted.users_[user], fitted.items_)),
                                    (new.recommend(5).scores, fitted.recommend(fitted.users_[user], 5).scores)):
                np.testing.assert_allclose(found, expected, atol=atol)
            item = fitted.items_[fitted.items_rated_][-1]
            found, expected = (dict(zip(each.items, each.parts), rest=each.rest)
                               for each in (new.explain(item), fitted.explain(fitted.users_[user], item)))
            assert found == pytest.approx(expected, abs=atol) and set(found) == {*rated, "rest"}

    def test_parts_and_rest_are_the_score(self, fitted):
        known = fitted.fitted_.rating_matrix.by("users")
        user = int(np.argmax(np.diff(known.indptr)))
        for item in fitted.items_[fitted.items_rated_][[0, -1]]:
            found = fitted.explain(fitted.users_[user], item)
            assert sorted(found.items) == sorted(fitted.items_[known[user].indices])
            assert (np.diff(found.parts) <= 0).all() and (not found.parts.any() or any(
                weight for name, weight in fitted.weights_.items() if name != "popular"))
            predicted = fitted.fitted_.scorer.clip(np.array([found.score]))[0]
            assert predicted == pytest.approx(fitted.predict(fitted.users_[user], item), abs=1e-5)

    def test_products_of_vectors_are_predictions(self, fitted):
        members = [each.name for each in getattr(fitted.fitted_.scorer_of_fit, "members", [])]
        if len(members) > 1 or set(members) & {"ease", "local", "popular"}:
            with pytest.raises(ValueError, match="aren't products .*; fit with network='factors', 'explicit' or 'fil"):
                fitted.vectors()
            return
        users, items, of_users, of_items = fitted.vectors()
        assert users.tolist() == fitted.users_.tolist() and items.tolist() == fitted.items_.tolist()
        for user, scores in zip(users, fitted.fitted_.scorer.clip(of_users.dot(of_items.T))):
            assert fitted.predict(user, items) == pytest.approx(scores, abs=1e-5)

    def test_users_for_an_item_by_loops(self, fitted):
        known = fitted.fitted_.rating_matrix.by("users")
        places = np.flatnonzero(fitted.items_rated_)[[0, -1]]
        for place, found in zip(places, fitted.users_for(fitted.items_[places], n=9)):
            free = [user for row, user in enumerate(fitted.users_) if place not in known[row].indices]
            every = np.sort(fitted.predict(np.array(free), fitted.items_[place]))[::-1]
            assert len(set(found.users)) == len(found.scores) == min(9, len(free)) and set(found.users) <= set(free)
            assert found.scores == pytest.approx(every[:9], abs=1e-5)
            assert found.scores == pytest.approx(fitted.predict(found.users, fitted.items_[place]), abs=1e-5)

    def test_killed_and_resumed(self, fitted, tmp_path):
        """The records of the file don't come again, and are complete all the same."""
        for k, training in enumerate(self.kills):
            seen, rest, path = [], [], tmp_path / str(k)

            def kill(record, seen=seen, training=training):
                seen.append(record)
                if (record.get("rows", fitted.rows), record.get("refit", False), record["epoch"]) == training:
                    raise Killed

            with pytest.raises(Killed):
                self.again(fitted, checkpoint=path, on_epoch=kill)
            resumed = self.again(fitted, checkpoint=path, resume=True, on_epoch=rest.append)
            assert_same(resumed, fitted)
            assert [dict(r, seconds=0, restored=None) for r in seen + rest] == [
                dict(r, seconds=0, restored=None) for r in fitted.history_]

    def test_ratings_on_disk_train_as_those_in_memory(self, fitted, tmp_path):
        if self.stored is not None:
            stored = store_ratings([self.stored], tmp_path / "store", rows=fitted.rows)
            assert_same(self.again(fitted, stored), fitted)
