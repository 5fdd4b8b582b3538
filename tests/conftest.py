from pathlib import Path

import pytest

from sparse_ae import theano_compat  # noqa: F401  (before theano)


def pytest_report_header():
    import theano
    config = theano.config
    return "theano %s: device=%s, floatX=%s, compiler=%s, base_compiledir=%s" % (
        theano.__version__, config.device, config.floatX, config.cxx or "none", config.base_compiledir)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of the data sets that lie beside a checkout, as on the machines that develop this package."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no folder shared/data beside this checkout")
    return folder
