"""Writes answers.json.xz, with which the tests beside it compare: ``python tests/compat/record.py``.

To be run where Theano is what it always was: Python 3.11 with NumPy 1.26 and a compiler, and only to add to the tables.
"""

import json
import lzma
import warnings
from pathlib import Path

import tables

from theano.configparser import change_flags

# How many random graphs are recorded, by the linker that runs them.
GRAPHS = {"py": 600, "c|py": 80}
ANSWERS = Path(__file__).with_name("answers.json.xz")


def record():
    """All answers, by floatX and by key. Of float32 those that differ from float64's."""
    answers = {}
    for floatX in ("float64", "float32"):
        with change_flags(floatX=floatX):
            asked = list(tables.in_python())
            for linker, n in GRAPHS.items():
                asked += tables.random_graphs(range(n), linker)
            if floatX == "float64":
                asked += tables.ops_in_c()
            answers[floatX] = {key: tables.answer(ask) for key, ask in asked}
    answers["float32"] = {key: value for key, value in answers["float32"].items() if answers["float64"][key] != value}
    return answers


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = json.dumps(record(), separators=(",", ":"), sort_keys=True)
    ANSWERS.write_bytes(lzma.compress(content.encode(), preset=9 | lzma.PRESET_EXTREME))
