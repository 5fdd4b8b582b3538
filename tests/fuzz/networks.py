"""Descriptions of networks with one place changed: each is refused in words, or makes a network that says the same.

    python networks.py FIRST LAST
"""
import faulthandler
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

import numpy as np  # noqa: E402
from mutations import other_json  # noqa: E402

from sparse_ae import networks  # noqa: E402
from sparse_ae.contract import describe_model, model_of  # noqa: E402
from sparse_ae.model import AutoEncoder  # noqa: E402

MODELS = [networks.deep(6, 3, 2, 0.2, 0.1, (1, 5), indicator=True), networks.multinomial(6, 3), networks.tied(6, 3),
          networks.ordinal(networks.deep(6, 3), [1, 2, 3]), AutoEncoder(6, 3, (1, 5))]


def main(first, last):
    counts = {"taken": 0, "refused": 0}
    for seed in range(first, last):
        rng = np.random.RandomState(seed)
        model = MODELS[rng.randint(len(MODELS))]
        description = json.loads(json.dumps(describe_model(model)))
        arrays = {each.name: each.variable.get_value() for each in model.parameters}
        if rng.rand() < 0.2:
            name = sorted(arrays)[rng.randint(len(arrays))]
            arrays[name] = [arrays[name][1:], arrays[name] * np.float32(1e30), arrays[name] / np.float32(0)][
                rng.randint(3)]
        else:
            description = other_json(description, rng)
        try:
            with np.errstate(all="ignore"):
                made = model_of(description, arrays)
        except (LookupError, TypeError, ValueError) as error:
            assert str(error) and len(str(error)) < 1000, (seed, error)
            counts["refused"] += 1
            continue
        assert describe_model(model_of(describe_model(made), arrays)) == describe_model(made), seed
        counts["taken"] += 1
    print(", ".join("%d %s" % (count, name) for name, count in counts.items()))


if __name__ == "__main__":
    faulthandler.dump_traceback_later(600, exit=True)  # what hangs
    main(*map(int, sys.argv[1:]))
