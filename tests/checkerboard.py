"""Ratings with known answers, in raw ids, and settings that learn them in little time."""
import numpy as np

N_USERS, N_ITEMS = 30, 14
# Ids that aren't positions, in an order that isn't theirs.
USERS = np.array(["user%d" % (7 * u % N_USERS) for u in range(N_USERS)])
ITEMS = 900 - 10 * np.arange(N_ITEMS)

SETTINGS = dict(n_hidden=4, l2=0.01, weight_scale=0.1, learning_rate=0.02, batch_size=8, n_epochs=60,
                formulation="sparse", progress=False, biases=False, update="adam")


def checkerboard(seed=0):
    """Even users love even items and odd users odd ones: 5 and 1. 30% are held out. (users, items, ratings) twice."""
    rng = np.random.RandomState(seed)
    u, i = map(np.ravel, np.indices((N_USERS, N_ITEMS)))
    out = rng.rand(len(u)) < 0.3
    values = np.where((u + i) % 2, 1, 5)
    return tuple((USERS[u[part]], ITEMS[i[part]], values[part]) for part in (~out, out))


TRAIN, TEST = checkerboard()
