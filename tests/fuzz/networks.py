"""Descriptions of networks with one place changed: each is refused in words, or makes a network that says the same.

    python networks.py FIRST LAST
"""
import json

import numpy as np
from driver import drive
from mutations import other_json

from sparse_ae import networks
from sparse_ae.contract import describe_model, model_of
from sparse_ae.model import AutoEncoder

MODELS = [networks.deep(6, 3, 2, 0.2, 0.1, (1, 5), indicator=True), networks.multinomial(6, 3), networks.tied(6, 3),
          networks.ordinal(networks.deep(6, 3), [1, 2, 3]), AutoEncoder(6, 3, (1, 5))]


def case(rng, folder):
    model = MODELS[rng.randint(len(MODELS))]
    description = json.loads(json.dumps(describe_model(model)))
    arrays = {each.name: each.variable.get_value() for each in model.parameters}
    if rng.rand() < 0.2:
        name = sorted(arrays)[rng.randint(len(arrays))]
        arrays[name] = [arrays[name][1:], arrays[name] * np.float32(1e30), arrays[name] / np.float32(0)][rng.randint(3)]
    else:
        description = other_json(description, rng)
    try:
        with np.errstate(all="ignore"):
            made = model_of(description, arrays)
    except (LookupError, TypeError, ValueError) as error:
        assert str(error) and len(str(error)) < 1000, error
        return "refused"
    assert describe_model(model_of(describe_model(made), arrays)) == describe_model(made)
    return "taken"


if __name__ == "__main__":
    drive(case, "taken", "refused")
