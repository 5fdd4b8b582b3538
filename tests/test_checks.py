"""Checks of arguments: what they return, and what they refuse in which words."""
import fractions
import functools

import numpy as np
import pytest

from sparse_ae import checks


@pytest.mark.parametrize("check, given, expected", [
    (checks.check_count, np.int64(3), 3),
    (checks.check_number, fractions.Fraction(1, 2), 0.5),
    (checks.check_number, np.float32(0.5), 0.5), (checks.check_number, np.array(0.5), 0.5),
    (checks.check_finite, -2, -2.0),
    (checks.check_share, 1, 1.0),
    (checks.check_share, 0, 0.0),
    (checks.check_fraction, 0.5, 0.5),
    (checks.check_bool, np.bool_(False), False), (functools.partial(checks.check_number, zero=True), 0, 0.0),
])
def test_numbers_come_back_as_pythons_own(check, given, expected):
    found = check(given, "x")
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("check, given, message", [
    (checks.check_count, 0, "x is 0; expected a positive integer"),
    (checks.check_count, True, "x is True; expected a positive integer"),
    (checks.check_count, 2.0, "x is 2.0; expected a positive integer"),
    (checks.check_number, 0, "x is 0; expected a positive number"),
    (checks.check_number, True, "x is True; expected a positive number"),
    (checks.check_number, np.array([0.5]), r"x is array\(\[0.5\]\); expected a positive number"),
    (functools.partial(checks.check_number, zero=True), -1, "x is -1; expected a finite number, 0 or more"),
    (checks.check_number, 10 ** 400, "expected a positive number"),
    (checks.check_finite, np.nan, "x is nan; expected a number"),
    (checks.check_finite, "3", "x is '3'; expected a number"),
    (checks.check_share, 1.01, "x is 1.01; expected a number from 0 to 1"),
    (checks.check_fraction, 1, "x is 1; expected a number between 0 and 1"),
    (checks.check_fraction, 0, "x is 0; expected a number between 0 and 1"),
    (checks.check_bool, 1, "x is 1; expected True or False"),
    (checks.check_bool, "no", "x is 'no'; expected True or False"),
    (checks.check_dtype, "double precision", "dtype is 'double precision'; expected 'float32' or 'float64'"),
    (checks.check_rating_scale, (1, 1), "rating_scale is .*the lower first"),
    (checks.check_rating_scale, (1, 2, 3), "rating_scale is .*expected .lowest rating, highest rating."),
    (checks.check_rng, None, "rng is None; expected a numpy.random.RandomState or an int seed"),
    (checks.check_rng, True, "rng is True"),
    (checks.check_rng, np.random, "rng is <module"),
    (checks.check_rng, np.random.default_rng(0), "rng is Generator"),
    (checks.check_rng, -1, "rng=-1 is not a valid seed"),
    (checks.check_rng, 2 ** 32, "rng=4294967296 is not a valid seed"),
])
def test_what_is_refused(check, given, message):
    error = TypeError if message.startswith("rng is") else ValueError
    with pytest.raises(error, match=message):
        check(given, *["x"] * (check not in (checks.check_dtype, checks.check_rating_scale, checks.check_rng)))


def test_paths(tmp_path):
    assert checks.check_path(tmp_path, "x") == str(tmp_path)
    for given in (b"bytes", 3, None):
        with pytest.raises(TypeError, match="x is .*; expected the path of a file"):
            checks.check_path(given, "x")


def test_an_error_says_where_it_came_from():
    """Of kinds that take other arguments, too."""
    of_text = pytest.raises(UnicodeDecodeError, b"\xff".decode, "utf-8").value
    error = checks.error_at("line 3", of_text)
    assert type(error) is ValueError and str(error).startswith("line 3: 'utf-8' codec can't decode")
    assert type(checks.error_at("line 3", TypeError("no"))) is TypeError


def test_check_rng():
    rng = np.random.RandomState(1)
    assert checks.check_rng(rng) is rng
    assert checks.check_rng(np.int64(1)).randint(1000) == np.random.RandomState(1).randint(1000)
