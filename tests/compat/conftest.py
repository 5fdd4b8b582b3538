"""What Theano makes of NumPy is asked on a CPU: a GPU has no Python mode, nor all dtypes."""
import pytest
from devices import ON_GPU


@pytest.fixture(autouse=True)
def on_a_cpu():
    if ON_GPU:
        pytest.skip("a GPU is in use, which has no Python mode, nor all dtypes")
