"""One fitted recommender in several threads, and in forked children: what one thread of one process gets."""
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import made
import numpy as np
import programs
import pytest
from devices import needs_fork, networks_need_cpu

from sparse_ae import Recommender, Shallow, networks
from sparse_ae.ops.compiled import building, compiled
import theano
import theano.tensor as T
from theano.configparser import change_flags

N_USERS, N_ITEMS = 60, 50


def make_ratings(seed=0):
    return made.triples(made.stars(N_USERS, N_ITEMS, 0.27, seed))


def fit(**settings):
    settings = dict(dict(n_hidden=8, n_epochs=2, progress=False, rows="both"), **settings)
    return Recommender(**settings).fit(make_ratings(), validation=None)


@pytest.fixture
def often_switched():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def in_threads(functions):
    """What each function returns; all begin at once."""
    gate = threading.Barrier(len(functions))

    def run(function):
        gate.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


def answers(recommender, seed, n=12):
    """What a recommender says to some questions, as one list of numbers."""
    rng, said = np.random.RandomState(seed), []
    for _ in range(n):
        users, items = rng.randint(0, N_USERS, 7), rng.randint(0, N_ITEMS, 7)
        said.append(recommender.predict(users, items))
        best = recommender.recommend(int(users[0]), n=5)
        said += [best.items, best.scores]
        person = recommender.fold_in({int(item): 1 + int(item) % 5 for item in set(items.tolist())})
        said.append(person.predict(rng.randint(0, N_ITEMS, 5)))
    said.append(list(recommender.evaluate(make_ratings(seed + 1)).values()))
    return np.concatenate(said)


@pytest.mark.parametrize("settings", [
    {}, pytest.param({"network": Shallow("sigmoid"), "objective": "lists", "rows": "items"}, marks=pytest.mark.slow),
    {"biases": False, "rows": "users", "network": Shallow(dtype="float64")}])
def test_threads_get_what_one_thread_gets(settings, often_switched):
    recommender = fit(**settings)
    wanted = [answers(recommender, seed) for seed in range(4)]
    # A copy has nothing compiled yet: all threads are the first.
    for each in (recommender, fit(**settings)):
        found = in_threads([partial(answers, each, seed % 4) for seed in range(8)])
        for seed, said in enumerate(found):
            np.testing.assert_array_equal(said, wanted[seed % 4])


def test_a_compiled_function_gives_each_thread_its_own(often_switched):
    # Theano's own function fails here: errors for most threads, others' numbers for some.
    x, y = T.dvectors(2)
    function, a = compiled([x, y], T.exp(x) - y), np.arange(3.0)
    wanted = [function(k / 10 * a, a) for k in range(8)]  # a GPU's exp may round otherwise than NumPy's
    np.testing.assert_allclose(wanted, [np.exp(k / 10 * a) - a for k in range(8)])

    def right(k):
        return all(np.array_equal(function(k / 10 * a, a), wanted[k]) for _ in range(1000))

    assert in_threads([partial(right, k) for k in range(8)]) == [True] * 8


def test_floatX_is_one_threads_at_a_time():
    before, inside, seen = theano.config.floatX, threading.Event(), []

    def build():
        with building("float64"):
            inside.set()
            seen.append(T.matrix().dtype)

    other = threading.Thread(target=build)
    with building("float32"):
        other.start()
        assert not inside.wait(0.1) and T.matrix().dtype == "float32"
    other.join()
    assert seen == ["float64"] and theano.config.floatX == before


@pytest.mark.parametrize("settings", [{}, {"update": "sgd", "biases": False, "rows": "users"},
                                      pytest.param({"network": networks.deep}, marks=networks_need_cpu)])
def test_what_checks_a_users_graphs_leaves_the_librarys_alone(settings):
    with change_flags(compute_test_value="raise", warn_float64="raise"):
        checked = fit(**settings)
        found = checked.predict([0, 1], [2, 3])
    np.testing.assert_array_equal(found, fit(**settings).predict([0, 1], [2, 3]))


CHILDREN = """
import sys, threading
import numpy as np
from limits import in_child
from test_compiled import Recommender, answers, fit
recommender = Recommender.load(sys.argv[1])
wanted = answers(recommender, 0)
stop, threads, times = [], [], int(sys.argv[2])

def ask():
    while not stop:
        answers(recommender, 1, n=2)

def as_wanted():
    return np.array_equal(answers(recommender, 0), wanted)

print(all([in_child(as_wanted) for _ in range(times)]))
print(in_child(lambda: np.array_equal(answers(Recommender.load(sys.argv[1]), 0), wanted)))
# Forks while other threads are in the middle of a call, or compile.
threads = [threading.Thread(target=ask) for _ in range(3)] + [threading.Thread(target=fit)]
for thread in threads:
    thread.start()
print(all([in_child(as_wanted) for _ in range(times)]))
stop.append(True)
for thread in threads:
    thread.join()
print(as_wanted())
"""


@needs_fork
@pytest.mark.parametrize("times", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_forked_children_get_what_the_parent_gets(times, tmp_path):
    path = tmp_path / "model.npz"
    fit().save(path)
    said, errors = programs.run("-c", CHILDREN, path, times, OMP_NUM_THREADS="2", PYTHONPATH=programs.WITH_TESTS)
    assert said.split() == ["True"] * 4, errors[-2000:]
