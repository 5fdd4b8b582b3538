"""Several fits as one: the mean of their outputs by loops, and which fits are joined when."""
import numpy as np
import pytest
from made import levels, likings, noise, triples

from sparse_ae.data import split_ratings
from sparse_ae.model import AutoEncoder
from sparse_ae.networks import deep
from sparse_ae.recommender import ratings as fitting
from sparse_ae.recommender.defaults import fits_to_join
from sparse_ae.recommender.guard import mean_weights
from sparse_ae.recommender.joining import can_be_joined, joined
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.recommender.settings import Shallow
from sparse_ae.trainer import TrainingDiverged

SETTINGS = dict(l2=0.05, learning_rate=0.02, batch_size=9, n_epochs=12, update="adam", formulation="sparse",
                rows="items", progress=False)


def model(k, seed=0, n=5, **settings):
    rng = np.random.RandomState(seed)
    arrays = dict(W=rng.randn(n, k), V=rng.randn(k, n), U=rng.randn(k, n), mu=rng.randn(k), b=rng.randn(n))
    return AutoEncoder(n, k, **dict(dict(arrays, f="linear", g="sigmoid", dtype="float64"), **settings))


def output(model, row, rated, j):
    """Output j for a row, by a loop over hidden units."""
    W, V, mu, b, U = (parameter.get_value() for parameter in model.params)
    total = b[j]
    for i in range(len(mu)):
        weighted = mu[i] + sum(V[i, c] * row[c] + U[i, c] * rated[c] for c in range(len(row)))
        total += W[j, i] / (1 + np.exp(-weighted))
    return total


def fitted(ratings=None, n_hidden="auto", fit=None, **settings):
    ratings = levels(36, 20)[0] if ratings is None else ratings
    return Recommender(n_hidden, **dict(SETTINGS, **settings)).fit(triples(ratings), **(fit or {}))


class Fits(list):
    given = None


@pytest.fixture
def fits(monkeypatch):
    """The `fitting._Fit`s that are made from now on, and what was `given` last; two are joined where four would be."""
    found, one_fit = Fits(), fitting._one_fit

    def noted(settings, given, *args, **more):
        found.append(one_fit(settings, given, *args, **more))
        found.given = given
        return found[-1]

    monkeypatch.setattr(fitting, "_one_fit", noted)
    monkeypatch.setattr(fitting, "fits_to_join", lambda n_ratings: 2)
    return found


def test_the_mean_of_models_is_one_model_by_loops():
    models, weights = [model(k, seed=k) for k in (2, 1, 3)], [0.5, 1.0, 0.25]
    one = joined(models, weights)
    assert one.n_hidden == 6 and one.dtype == "float64" and one.U is not None
    row, rated = np.array([0, 0.5, 0, -2, 1]), np.array([0, 1, 0, 1, 1])
    for j in range(5):
        wanted = sum(w * output(each, row, rated, j) for w, each in zip(weights, models)) / 3
        np.testing.assert_allclose(sum(weights) / 3 * output(one, row, rated, j), wanted, rtol=1e-12)


def test_a_column_is_drawn_to_the_mean_as_strongly_as_of_one_model():
    """Of models that are all the same, with the same shares, least squares with weight decay gives the same outputs."""
    single = model(3, l2=(0.7, 0.2))
    one = joined([single, single, single], [0.2, 0.5, 1.0])
    assert one.l2_V == pytest.approx(0.2)
    rng = np.random.RandomState(1)
    h, ratings, shares = rng.randn(4, 3), rng.randn(4), np.array([0.2, 0.5, 1.0]) / 1.7
    np.testing.assert_allclose(one.W.get_value(), np.hstack([s * single.W.get_value() for s in shares]))

    def solved(h, l2):
        return h.dot(np.linalg.solve(h.T.dot(h) + l2 * np.eye(h.shape[1]), h.T.dot(ratings)))

    spread = np.hstack([h] * 3)
    alike = joined([single] * 3, [1.0] * 3)
    assert alike.l2_W == pytest.approx(3 * 0.7)
    np.testing.assert_allclose(solved(spread, alike.l2_W), solved(h, 0.7))


def test_decays_of_models_count_by_their_shares():
    one = joined([model(2, l2=(1.0, 4.0)), model(2, l2=(3.0, 8.0))], [0.75, 0.25])
    assert one.l2_V == pytest.approx(5.0)
    assert one.l2_W == pytest.approx((0.75 * 1 + 0.25 * 3) / (0.75 ** 2 + 0.25 ** 2))


def test_what_can_be_joined():
    assert can_be_joined(model(2)) and can_be_joined(model(2, U=None))
    assert not can_be_joined(model(2, f="sigmoid")), "a mean of sigmoids is none"
    assert not can_be_joined(object())


@pytest.mark.parametrize("n_ratings, n_fits", [(3, 4), (50000, 4), (50001, 3), (100000, 2), (100001, 1), (10 ** 7, 1)])
def test_how_many_fits(n_ratings, n_fits):
    assert fits_to_join(n_ratings) == n_fits


def test_few_ratings_are_fitted_several_times(fits, tmp_path):
    recommender = fitted()
    one, other = fits
    weights = np.array([one.weights, other.weights])[:, 0]
    assert (weights > 0.5).all() and weights[0] != weights[1]
    shrunk = mean_weights(weights[:, np.newaxis])[0]
    assert recommender.weights_ == {"items": pytest.approx(shrunk)} and 0.9 < shrunk / weights.mean() < 1
    assert recommender.model_.n_hidden == 2 * recommender.n_hidden_ == 2 * one.trained[0].choice.n_hidden
    # Other ratings were held out, other weights drawn, and both were trained again on all ratings.
    assert one.found != other.found and one.trained[0].history != other.trained[0].history
    for name, error in recommender.validation_rmse_.items():
        assert error == pytest.approx(np.sqrt((one.found[name] ** 2 + other.found[name] ** 2) / 2))
    assert recommender.history_ == one.history and recommender.best_epoch_ == one.trained[0].epoch

    places = np.arange(36).repeat(20), np.tile(np.arange(20), 36)
    mean = sum(weight * fit.trained[0].scorer(fits.given.everything, fit.biases, fits.given).pair_outputs(*places)
               for fit, weight in zip(fits, weights)) / 2 * shrunk / weights.mean()
    outputs = recommender.fitted_.scorer.pair_outputs(*places)
    np.testing.assert_allclose(outputs, mean, rtol=1e-4, atol=1e-5)
    assert np.abs(outputs).max() > 0.5

    users, items = recommender.users_[places[0]], recommender.items_[places[1]]
    recommender.save(tmp_path / "joined.npz")
    np.testing.assert_array_equal(Recommender.load(tmp_path / "joined.npz").predict(users, items),
                                  recommender.predict(users, items))
    np.testing.assert_array_equal(fitted().predict(users, items), recommender.predict(users, items))


@pytest.mark.parametrize("settings, fit", [
    (dict(n_hidden=8), {}), ({}, dict(refit=False)), ({}, dict(validation=None)),
    ({}, dict(validation="held out")), (dict(network=Shallow(f="sigmoid")), {}),
    (dict(objective="lists"), {})], ids=str)
def test_where_one_fit_is_all(fits, settings, fit):
    """Whoever asks for some hidden units, or says which ratings are held out, has one fit; a mean must be one model."""
    ratings = likings() if "objective" in settings else levels(36, 20)[0]
    if fit.get("validation"):
        ratings, validation, *_ = split_ratings(ratings, 0.2, rng=0)
        fit = dict(validation=triples(validation))
    found = fitted(ratings, fit=fit, **settings)
    assert len(fits) == 1
    assert found.model_.n_hidden == found.n_hidden_


def rates(found, refit):
    return [record["learning_rate"] for record in found.history_ if record["refit"] == refit]


def test_each_of_several_fits_is_trained_for_longer_on_all_ratings(fits):
    """By 12% of the epochs at the first rate; one fit is not, nor by more epochs than are given."""
    settings = dict(patience=3, n_epochs="auto", learning_rate=lambda epoch: 0.02 if epoch < 10 else 0.004)
    found, alone = (fitted(fit=dict(fits=n), **settings) for n in (2, 1))
    best = alone.best_epoch_
    assert best > 9 and len(rates(found, False)) == len(rates(alone, False))
    assert rates(alone, True) == [0.02] * 9 + [0.004] * (best - 9)
    assert rates(found, True) == [0.02] * 10 + [0.004] * (best - 9), "0.12 of 9 is about 1"
    assert len(rates(fitted(fit=dict(fits=2), patience=None), True)) == 12, "at most 12"


def test_where_nothing_can_be_learned_no_fit_counts(fits):
    found = fitted(noise(36, 20))
    assert len(fits) == 2 and found.weights_ == {"items": 0.0}
    assert found.model_.n_hidden == found.n_hidden_


@pytest.mark.parametrize("n_fits, weight", [(2, 0), (3, (1 - 1 / 4) * 2 / 3)])
def test_what_one_fit_alone_shows_is_luck(fits, monkeypatch, n_fits, weight):
    """The last shows nothing: of two then one is left, of three two."""
    one_fit = fitting._one_fit

    def last_shows_nothing(*args, **more):
        found = one_fit(*args, **more)
        return found._replace(weights=[0.0 if len(fits) == n_fits else 1.0])

    monkeypatch.setattr(fitting, "_one_fit", last_shows_nothing)
    monkeypatch.setattr(fitting, "fits_to_join", lambda n_ratings: n_fits)
    found = fitted()
    assert found.weights_ == {"items": pytest.approx(weight)}
    assert found.model_.n_hidden == max(1, n_fits - 1) * found.n_hidden_


@pytest.mark.parametrize("ends", ["diverged", "interrupted", "between trainings"])
def test_a_fit_that_does_not_end_well_is_left_out(fits, monkeypatch, capsys, ends):
    one_fit = fitting._one_fit

    def second_ends(*args, **more):
        if not fits:
            return one_fit(*args, **more)
        if ends == "diverged":
            raise TrainingDiverged("the loss is nan")
        if ends == "between trainings":
            raise KeyboardInterrupt
        found = one_fit(*args, **more)
        found.history[-1]["interrupted"] = True
        return found

    monkeypatch.setattr(fitting, "_one_fit", second_ends)
    monkeypatch.setattr(fitting, "fits_to_join", lambda n_ratings: 4)
    found = fitted(progress=True)
    first = fits[0]
    assert found.weights_ == {"items": first.weights[0]} and found.model_ is first.trained[0].model
    assert found.history_ == first.history
    lines = capsys.readouterr().err
    if ends == "diverged":
        assert "fit 4: the loss is nan; it is left out" in lines
    else:  # and nothing is begun after it
        assert "fit 2 was interrupted, and is left out" in lines and "fit 3" not in lines and len(fits) < 3


def test_a_fit_that_was_killed_ends_as_if_it_had_not_been(fits, monkeypatch, tmp_path):
    whole = fitted()
    one_fit = fitting._one_fit

    def killed(settings, given, rng, paths, *args, **more):
        if paths[0] is None:
            raise SystemExit
        return one_fit(settings, given, rng, paths, *args, **more)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fitting, "_one_fit", killed)
        fitted(fit=dict(checkpoint=tmp_path / "checkpoint"))
    resumed = fitted(fit=dict(checkpoint=tmp_path / "checkpoint", resume=True))
    for one, other in zip(whole.model_.params, resumed.model_.params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())
    assert whole.weights_ == resumed.weights_ and len(whole.history_) == len(resumed.history_)


def test_decays_are_tried_from_the_one_on_that_was_best(fits, monkeypatch):
    """What the first fit has found out the second begins with."""
    def third(given, best, biases, tries):
        return best._replace(choice=best.choice._replace(l2=best.choice.l2 / 3))

    monkeypatch.setattr(fitting.probe, "better_decay", third)
    fitted(l2="auto")
    first, second = (fit.trained[0].choice.l2 for fit in fits)
    assert second == pytest.approx(first / 3)


@pytest.fixture
def tries_more(monkeypatch):
    """More hidden units are tried of few rows, too, and are better than any."""
    monkeypatch.setattr(fitting.probe, "most_hidden_of", lambda given, side: 500)
    monkeypatch.setattr(fitting.probe, "stretch_on_validation",
                        lambda given, trained, biases: (1.0, 1 / trained.choice.n_hidden))


def test_what_hidden_units_the_first_fit_found_better_the_others_have(fits, tries_more, capsys):
    found = fitted(progress=True)
    assert [fit.trained[0].choice.n_hidden for fit in fits] == [192, 192]
    assert found.n_hidden_ == 192 and found.model_.n_hidden == 384
    assert "items as rows: 192 hidden units in place of 96" in capsys.readouterr().err
    assert fitted(n_hidden=8).n_hidden_ == 8, "who asks for some has these"
    assert fitted(network=Shallow(f="sigmoid")).n_hidden_ == 192, "of what isn't joined, too"


def test_a_fit_that_was_killed_while_more_hidden_units_were_tried(fits, tries_more, monkeypatch, tmp_path):
    whole, run = fitted(), dict(checkpoint=tmp_path / "checkpoint", resume=True)

    def killed(*args, **more):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fitting.probe, "more_hidden", killed)
        fitted(fit=run)
    resumed = fitted(fit=run)
    assert resumed.n_hidden_ == 192 and resumed.weights_ == whole.weights_
    for one, other in zip(whole.model_.params, resumed.model_.params):
        np.testing.assert_array_equal(one.get_value(), other.get_value())
    assert len(fitted(fit=dict(run, fits=1)).history_) > 0


def test_more_hidden_units_are_not_tried_where_nothing_is_learned(fits, tries_more):
    """The better of two models of noise may seem to be of use."""
    assert fitted(noise(36, 20)).n_hidden_ == 96


def test_a_large_model_is_not_tried(fits, tries_more, monkeypatch):
    monkeypatch.setattr(fitting.probe, "_LARGE", 150 * 36)
    assert fitted().n_hidden_ == 96 and len(fits) == 2


def test_models_that_take_much_memory_are_not_joined(fits, monkeypatch):
    monkeypatch.setattr(fitting.probe, "_LARGE", 1)
    assert fitted().weights_["items"] > 0.5 and len(fits) == 1
    assert fitted(fit=dict(fits=2)).model_.n_hidden == 2 * 96, "unless that is asked for"


@pytest.mark.parametrize("n_fits, settings", [(1, {}), (3, {}), (3, dict(n_hidden=8, biases="unguarded"))], ids=str)
def test_so_many_fits_as_are_asked_for(fits, capsys, n_fits, settings):
    found = fitted(fit=dict(fits=n_fits), progress=True, **settings)
    assert len(fits) == n_fits and found.model_.n_hidden == n_fits * found.n_hidden_
    assert found.weights_["items"] > 0.5
    assert capsys.readouterr().err.count("validation RMSE") > n_fits - 1, "each of them tells"


@pytest.mark.parametrize("settings, fit", [
    ({}, dict(refit=False)), ({}, dict(validation=None)), ({}, dict(validation=0.01)),
    (dict(network=Shallow(f="sigmoid")), {}), pytest.param(dict(network=deep), {}, id="deep"), (dict(biases=False), {}),
    (dict(objective="lists"), {}), (dict(objective="lists", network="ease", rows="auto"), {})], ids=str)
def test_several_fits_that_cannot_be_joined_are_refused(fits, settings, fit):
    ratings = likings() if "objective" in settings else levels(36, 20)[0]
    with pytest.raises(ValueError, match="fits is 2; expected 'auto' or 1 here: several fits are joined where ratings"):
        fitted(ratings, fit=dict(fit, fits=2), **settings)
    assert not fits


@pytest.mark.parametrize("fits_, message", [(0, "fits is 0; expected a positive integer, such as 4, or 'auto'"),
                                            ("4", "fits is '4'"), (2.0, "fits is 2.0"), (True, "fits is True")])
def test_bad_numbers_of_fits(fits_, message):
    with pytest.raises(ValueError, match=message):
        fitted(fit=dict(fits=fits_))
