"""What the README shows runs, and prints what it says."""
import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.slow
def test_the_first_blocks_print_what_they_say(shared_data, monkeypatch, capsys):
    import sparse_ae
    from sparse_ae.data.datasets import movielens
    text = README.read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[:2]
    said = re.search(r"```\n(\{.*?)```", text, re.DOTALL).group(1)
    monkeypatch.setitem(sparse_ae.__dict__, "movielens", lambda name: movielens(name, path=shared_data / "ml-100k"))
    names = {}
    exec(first, names)
    numbers, expected = ([float(x) for x in re.findall(r"\d+\.\d+", out)] for out in (capsys.readouterr().out, said))
    # floatX, the number of threads and the BLAS move the last digits.
    np.testing.assert_allclose(numbers[:2], expected[:2], atol=0.003)
    assert len(numbers) == len(expected)
    exec(second.replace(", 30,", ", 1,"), names)
    assert 0.9 < names["history"][0]["validation_rmse"] < 1.3
