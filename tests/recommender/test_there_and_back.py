"""What `fit` takes, `save` and `load` take; tests/fuzz/settings.py draws more of it at random."""
import fractions

import numpy as np
import pytest
from made import TRAIN

from sparse_ae.recommender.recommender import Recommender, Shallow
from sparse_ae.trainer import TrainingDiverged
from sparse_ae.training.objectives import Missing

QUICK = dict(n_hidden=2, n_epochs=2, batch_size=50, l2=0.01, rows="users", progress=False)
USERS, ITEMS, VALUES = TRAIN


def there_and_back(path, values=VALUES, **settings):
    recommender = Recommender(**dict(QUICK, **settings)).fit((USERS, ITEMS, values), validation=None)
    recommender.save(path)
    again = Recommender.load(path)
    assert again.predict(USERS, ITEMS).tobytes() == recommender.predict(USERS, ITEMS).tobytes()
    return again


@pytest.mark.parametrize("settings, became", [
    (dict(network=Shallow(dtype=np.float32)), Shallow(dtype="float32")),
    (dict(network=Shallow(dtype=np.dtype("float64"))), Shallow(dtype="float64")),
    (dict(network=Shallow(dtype=float)), Shallow(dtype="float64")),
    (dict(objective=Missing(fractions.Fraction(1, 4), counts=True)), Missing(0.25, counts=True)),
    (dict(unknown=fractions.Fraction(7, 2)), 3.5), (dict(learning_rate=fractions.Fraction(1, 100)), 0.01),
    (dict(l2=(fractions.Fraction(1, 2), np.float32(0.25))), (0.5, 0.25)),
    (dict(rating_scale=np.array([0.0, 6.0])), (0.0, 6.0)),
    (dict(network=Shallow(weight_scale=np.float32(0.5))), Shallow(weight_scale=0.5)),
])
def test_settings_in_any_form_of_a_number(settings, became, tmp_path):
    (name,) = settings
    assert getattr(there_and_back(tmp_path / "m", **settings), name) == became


def test_the_largest_ratings_that_are_taken(tmp_path):
    values = np.where(np.asarray(VALUES) > 3, 1e17, -9e16)
    again = there_and_back(tmp_path / "m", values, biases=False, objective=Missing(rating=-1e17),
                           learning_rate=1e-4)
    assert again.rating_scale_ == pytest.approx((-9e16, 1e17)) and again.missing_rating_ == -1e17


@pytest.mark.parametrize("highest, settings, message", [
    (1e18, {}, r"the ratings go from 0 to 1e\+18; expected numbers up to 1e\+17: divide all ratings by a number"),
    (1e38, {}, r"the ratings go from 0 to 1e\+38; expected numbers up to 1e\+17"),
    (-1e30, dict(objective="lists"), r"the ratings go from -1e\+30 to 0; expected numbers up to 1e\+17"),
    (5, dict(rating_scale=(0, 1e18)), r"rating_scale goes from 0 to 1e\+18; expected numbers up to 1e\+17"),
    (5, dict(rating_scale=(-1e300, 5)), r"rating_scale goes from -1e\+300 to 5; expected numbers up to 1e\+17"),
    (5, dict(objective=Missing(rating=-1e18)), r"the objective's rating is -1e\+18; expected a number up to 1e\+17"),
    (5, dict(objective=Missing(rating=10 ** 40)), r"the objective's rating is 1e\+40; expected a number up to 1e\+17"),
    (5, dict(rating_scale="05"), r"rating_scale is '05'; expected \(lowest rating, highest rating\)"),
    (5, dict(rating_scale={0: 1, 5: 1}), r"rating_scale is \{0: 1, 5: 1\}; expected \(lowest rating, highest rating\)"),
    (5, dict(rating_scale=iter([0, 5])), r"rating_scale is <.*>; expected \(lowest rating, highest rating\)"),
    (5, dict(rating_scale=("0", "5")), r"rating_scale is \('0', '5'\); expected two finite numbers, the lower first"),
])
def test_what_no_file_could_hold_is_refused_before_training(highest, settings, message, monkeypatch):
    monkeypatch.setattr("theano.function", None)
    with pytest.raises(ValueError, match=message):
        Recommender(**dict(QUICK, **settings)).fit((USERS, ITEMS, np.where(np.asarray(VALUES) > 3, highest, 0)))


def test_parameters_that_no_file_could_hold_are_a_divergence():
    """Hidden units that are saturated hide what V has come to."""
    with pytest.raises(TrainingDiverged, match=r"V.* holds numbers beyond 1e\+18 in epoch 1; lower learning_rate=1e"):
        Recommender(**dict(QUICK, n_epochs=1, batch_size=None, update="adam", learning_rate=1e19, biases=False, l2=0,
                           network=Shallow("sigmoid"))).fit(TRAIN, validation=None)


def test_a_scale_that_float32_rounds(tmp_path):
    """0.3 is a little more as a float32; a scale up to 0.3 has room for it."""
    values = np.where(np.asarray(VALUES) > 3, 0.3, 0.1)
    assert there_and_back(tmp_path / "m", values, rating_scale=(0.1, 0.3)).rating_scale_ == (0.1, 0.3)
    with pytest.raises(ValueError, match=r"rating 0.3 is outside rating_scale=\(0.1, 0.29\)"):
        Recommender(rating_scale=(0.1, 0.29), **QUICK).fit((USERS, ITEMS, values))


def test_outputs_of_nothing_but_rounding_have_no_weight(tmp_path):
    """Least squares would stretch outputs of 1e-30 beyond all numbers."""
    recommender = Recommender(**dict(QUICK, rows="both", n_epochs=1, update="sgd", learning_rate=1e-38,
                                     biases="unguarded", network=Shallow(weight_scale=1e-30)))
    recommender.fit(TRAIN, validation=0.3)
    assert all(0 <= weight <= 1e18 for weight in recommender.weights_.values())
    recommender.save(tmp_path / "m")
    Recommender.load(tmp_path / "m")


def test_a_setting_of_no_kind_is_named(tmp_path):
    recommender = Recommender(**QUICK).fit(TRAIN, validation=None).set_params(l2={"W": 1})
    with pytest.raises(TypeError, match=r"\{'W': 1\} is no setting that a file can hold; expected a number, a string"):
        recommender.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
