"""What Theano makes of NumPy is asked on a CPU: a GPU has no Python mode, nor all dtypes."""
import pytest


@pytest.fixture(autouse=True)
def on_a_cpu():
    from devices import ON_GPU  # not above: it imports Theano, and tests/conftest.py is to set its flags first
    if ON_GPU:
        pytest.skip("a GPU is in use, which has no Python mode, nor all dtypes")
