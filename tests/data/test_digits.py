"""Numbers out of bytes: those that float gives, or none."""
import numpy as np
import pytest

from sparse_ae.data.digits import parse_decimals


def parsed_decimals(fields):
    letters = np.frombuffer(",".join(fields + [""]).encode("ascii"), np.uint8)
    stops = np.flatnonzero(letters == ord(","))
    return parse_decimals(letters, np.concatenate([[0], stops[:-1] + 1]), stops)


def test_decimals_are_those_of_float():
    rng = np.random.RandomState(0)
    fields = ["%.*f" % (rng.randint(1, 9), number) for number in 10 ** 4 * rng.randn(2000)]
    fields += ["0.5123456789", "4000000000"]  # more than 32 bits
    fields += ["0", "-0", "-0.0", "5.", ".5", "-.5", "007.50", "0.1", "123456789012345", "0.12345678901234", "-9.99"]
    for some in (fields, fields[-11:], ["4", "3"], ["-1", "12"], ["3.5", "4.0"]):
        expected = np.array(list(map(float, some)))
        assert parsed_decimals(some).tobytes() == expected.tobytes()  # of -0 too


@pytest.mark.parametrize("field", ["", "-", ".", "-.", "1.2.3", "1-", "--1", "1e3", "+1", " 1", "1 ", "1_0", "nan", "x",
                                   "1234567890123456", "12345678901234567", "1/2", "1:2"])
def test_what_is_no_plain_decimal_is_left_to_others(field):
    assert parsed_decimals([field, "3.5"]) is None and parsed_decimals(["3.5", "1", field]) is None
