"""Runs cases of tests/runtime/test_ranks.py on some ranks, and on one process; says where what comes out differs.

    mpiexec -n 2 python -m mpi4py tests/ranks.py result.json CASE ...
    python tests/ranks.py --forks 2 result.json CASE ...

The latter needs no MPI: the ranks are forks, and talk through pipes. A case is a function here. It takes a
communicator, None for one process, and returns arrays by name, each of all columns. Of REFUSED each rank's error is
what is said.
"""
import functools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from alike import differences
from made import at
from toys import softplus

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from sparse_ae.data import check_ratings, split_ratings  # noqa: E402
from sparse_ae.data.stores import store_ratings  # noqa: E402
from sparse_ae.model import AutoEncoder  # noqa: E402
from sparse_ae.networks import deep  # noqa: E402
from sparse_ae.recommender.recommender import Recommender, Shallow  # noqa: E402
from sparse_ae.trainer import Trainer  # noqa: E402
from sparse_ae.training.objectives import Missing  # noqa: E402


class Fake:
    """A communicator that nobody else is on."""

    def __init__(self, rank=0, size=2):
        self._rank, self._size = rank, size

    def Get_rank(self):
        return self._rank

    def Get_size(self):
        return self._size

    def refuse(self, *_):
        raise AssertionError("nobody else is there")

    Allreduce = allgather = refuse


class Pipes(Fake):
    """What the library asks of a communicator, over pipes from rank 0 to each of the others."""

    def __init__(self, rank, size, ends):
        super().__init__(rank, size)
        self._ends = ends

    def allgather(self, value):
        if self._rank:
            self._ends[0].send(value)
            return self._ends[0].recv()
        values = [value] + [end.recv() for end in self._ends]
        for end in self._ends:
            end.send(values)
        return values

    def Allreduce(self, values, total):
        total[...] = sum(self.allgather(values.copy()))


def ratings(n_rows=30, n_items=11, seed=0):
    """Some rows have ratings in even columns alone, so that the second of two ranks has none of them."""
    rng = np.random.RandomState(seed)
    stored = rng.rand(n_rows, n_items) < 0.4
    stored[:8, 1::2] = False
    stored[12] = False
    stored[5, 0] = True
    return check_ratings(at(stored, rng))


def model_of(comm, n_items=11, dtype="float64", **settings):
    settings = dict(dict(rating_scale=(1, 5), l2=(0.05, 0.02), rng=3, mu=np.linspace(-0.3, 0.3, 4)), **settings)
    return AutoEncoder(n_items, 4, dtype=dtype, comm=comm, **settings)


def told(model, history):
    """Parameters, and figures of the epochs."""
    found = {each.name: each.get_value() for each in model.params}
    for name in ("loss", "data_loss", "train_rmse", "validation_rmse"):
        found[name] = np.array([np.nan if record[name] is None else record[name] for record in history])
    found["restored"] = np.array([history[-1]["restored"] or 0])
    return found


def trained(comm, matrix=None, n_epochs=3, split=False, patience=None, model=None, seconds=None, **settings):
    matrix, validation = ratings() if matrix is None else matrix, None
    if split:
        matrix, validation = split_ratings(matrix, 0.2, rng=4)[:2]
    settings = dict(dict(update="sgd", learning_rate=0.01, batch_size=4, formulation="sparse", l2_per="epoch", rng=1,
                         progress=False), **settings)
    m = model_of(comm, matrix.shape[1], **model or {})
    return told(m, Trainer(m, **settings).fit(matrix, n_epochs, validation=validation, patience=patience,
                                              seconds=seconds))


def limited_on_one(comm):
    """All but the first rank have a time limit."""
    return trained(comm, seconds=1e9 if comm is None or comm.Get_rank() else None)


TRAININGS = {
    "sgd_sparse": {},
    "sgd_with_a_nonlinearity_of_its_own": dict(model=dict(g=softplus)),
    "sgd_dense": dict(formulation="dense"),
    "decay_of_each_batch": dict(l2_per="batch", update="momentum"),
    "adam_sparse": dict(update="adam"),
    "adam_dense_items_as_rows": dict(matrix=ratings().T.tocsr(), update="adam", formulation="dense",
                                     model=dict(f="linear", g="sigmoid")),
    "adagrad_by_ratings": dict(update="adagrad", learning_rate=lambda epoch: 0.05 / epoch,
                               model=dict(l2_weighted=True)),
    "rprop": dict(update="rprop", batch_size=None, n_epochs=4),
    "missing_sparse": dict(update="adam", model=dict(f="linear"), objective=Missing(0.2)),
    "missing_dense": dict(formulation="dense", learning_rate=1e-3, model=dict(f="linear"), objective=Missing(0.2)),
    "early_stopping": dict(split=True, n_epochs=12, patience=2, update="adam", learning_rate=0.05),
    "one_column": dict(matrix=check_ratings(sp.csr_matrix([[4.0], [2.0], [5.0], [1.0]])), batch_size=2),
    "three_columns_float32": dict(matrix=ratings(n_items=3), model=dict(dtype="float32")),
}


def recommended(comm, from_disk=False, validation=0.2, fits=1, **settings):
    """What a recommender says whose autoencoders were trained on some ranks or one."""
    train = split_ratings(ratings(), 0.15, rng=4).train.tocoo()
    train = np.array(["u%02d" % row for row in train.row]), train.col, train.data
    settings = dict(dict(n_hidden=4, n_epochs=3, batch_size=4, progress=False, learning_rate=0.05, biases="unguarded",
                         network=Shallow(weight_scale=0.5, dtype="float64")), **settings)
    recommender, users = Recommender(**settings), np.unique(train[0])
    with tempfile.TemporaryDirectory() as folder:  # each rank's own, which has the same
        stored = store_ratings([train], folder + "/store", recommender.rows) if from_disk else None
        recommender.fit(stored or train, validation=validation, comm=comm, fits=fits)
        assert recommender.history_ and all(model.ranks.size == 1 for model in recommender.models_.values())
        path = folder + "/model.npz"
        recommender.save(path)  # a rank by itself
        every = np.repeat(users, 12), np.tile(np.arange(12), len(users))  # item 11 is unknown
        predicted = Recommender.load(path).predict(*every)
    lists = recommender.recommend(users, 4)
    return {"predict": predicted, "lists": np.concatenate([each.items for each in lists]),
            "folded": recommender.fold_in({0: 5, 3: 1, 8: 4}).predict(np.arange(12)),
            "measured": np.array([value for record in recommender.history_ for name, value in sorted(record.items())
                                  if name.startswith("validation") and value is not None]),
            "weights": np.array([recommender.weights_.get(side, 0.0) for side in ("items", "users")])}


RECOMMENDERS = {
    "recommender_of_both": dict(validation=0.3, fits=2),
    "recommender_of_users": dict(rows="users", validation=None, update="adam"),
    "recommender_of_lists": dict(objective="lists", biases=True),
    "recommender_by_lists": dict(objective=Missing(0.3, measure="ndcg@3"), rows="items"),
    "recommender_of_ratings": dict(rows="users", biases=False, l2=0.1, unknown=3.0),
    "recommender_from_disk": dict(rows="users", from_disk=True, validation=None),
}
#: Cases whose parts the others have, too: they run in C alone.
SLOW = "decay_of_each_batch", "missing_dense", "rprop", "recommender_by_lists", "recommender_of_ratings"
CASES = {name: functools.partial(trained, **settings) for name, settings in TRAININGS.items()}
CASES["limited_on_one"] = limited_on_one
CASES.update((name, functools.partial(recommended, **settings)) for name, settings in RECOMMENDERS.items())


# What is refused: settings by rank, of which one is wrong, or another than the others'.


def by_rank(comm, of_ranks):
    return trained(comm, n_epochs=4, **of_ranks[comm.Get_rank()])


def off_the_scale_on_one(comm):
    matrix = ratings()
    matrix.data[:comm.Get_rank()] = 7.0
    trained(comm, matrix)


def rows_less_on_one(comm):
    m = model_of(comm)
    Trainer(m, progress=False).fit(ratings()[comm.Get_rank():], 1)


# Arguments that differ by rank


def fit_by_rank(comm, of_ranks):
    """`Recommender.fit`, with settings and arguments of each rank's own."""
    train, more = ratings().tocoo(), dict(of_ranks[comm.Get_rank()])
    settings = {name: more.pop(name) for name in list(more) if name in Recommender().get_params()}
    settings = dict(dict(n_hidden=2, n_epochs=1, rows="items", progress=False), **settings)
    shift = more.pop("shift", 0)
    Recommender(**settings).fit((train.row + shift, train.col, train.data),
                                **dict(dict(validation=None, comm=comm), **more))


def moved_on(n):
    """A generator after n draws."""
    rng = np.random.RandomState(0)
    rng.rand(n)
    return rng


HELD_OUT = [(0, 3, 4.0), (1, 5, 2.0)], [(0, 3, 4.0), (1, 5, 3.0)]
BY_RANK = {
    "fit: position": (({"rng": moved_on(0)}, {"rng": moved_on(3)}), "DISAGREE: rng is ["),
    "fit: validation": (({"validation": 0.2}, {"validation": 0.3}), "DISAGREE: validation ratings is \"11 x 28, 23 "),
    "fit: no validation": (({"validation": 0.2}, {}), "DISAGREE: refit is false on rank 1 and"),
    "fit: network": (({"network": deep},) * 2, "ValueError: network=sparse_ae.networks.kinds.deep on 2 ranks"),
    "fit: seconds": (({"objective": "lists", "rows": "auto", "seconds": 9, "validation": 0.2},) * 2,
                     "ValueError: seconds is 9; expected None"),
    "fit: update": (({"update": "lbfgs", "batch_size": None},) * 2, "ValueError: update='lbfgs' on 2 ranks"),
    "fit: held out": (({"validation": HELD_OUT[0]}, {"validation": HELD_OUT[1]}),
                     "DISAGREE: validation ratings is \"11 x 28, 1 entries, checksum"),
    "fit: ids": (({}, {"shift": 1}), "DISAGREE: ids of users is 28 values of checksum "),
}
TRAINED = {
    "learning_rate": (({"learning_rate": 0.01}, {"learning_rate": 0.02}),
                     "DISAGREE: learning_rate is [0.02, 0.02, 0.02, 0.02] on rank 1 and"),
    "schedule": (({"learning_rate": lambda epoch: 0.01}, {"learning_rate": lambda epoch: 0.01 if epoch < 4 else 0.02}),
                "DISAGREE: learning_rate is [0.01, 0.01, 0.01, 0.02] on rank 1 and"),
    "seed": (({"rng": 1}, {"rng": 2}), "DISAGREE: rng is"),
    "formulation": (({}, {"formulation": "dense"}),
                   "DISAGREE: formulation is \"dense\" on rank 1 and \"sparse\" on rank 0"),
    "n_items": (({}, {"matrix": ratings(n_items=10)}), "DISAGREE: n_columns is 10 on rank 1 and 11 on rank 0"),
    "divergence": (({"learning_rate": 1e30, "model": {"f": "linear", "l2": 0.0}},) * 2,
                  "TrainingDiverged: the loss is "),
}
DISAGREE = "ValueError: the ranks don't agree"
#: By its name a case, and how the error that all ranks raise begins.
REFUSED = {"rows_less_on_one": (rows_less_on_one, DISAGREE + ": train is \"29 x 11, ")}
for how, cases in ((by_rank, TRAINED), (fit_by_rank, BY_RANK)):
    REFUSED.update((name, (functools.partial(how, of_ranks=of_ranks), expected.replace("DISAGREE", DISAGREE)))
                   for name, (of_ranks, expected) in cases.items())


def said(comm, case):
    """The errors of all ranks, in words."""
    try:
        case(comm)
        text = "nothing"
    except Exception as error:
        text = "%s: %s" % (type(error).__name__, error)
    return comm.allgather(text)


# Checkpoints


def resumed(comm, path, kill_at=None):
    """A training with a checkpoint, in which a rank kills itself before its n-th file; rank 0 with all that is in it.
    """
    from sparse_ae.training import checkpoint
    rank, written = comm.Get_rank(), []
    owner, name = (checkpoint.CheckpointFile, "write") if rank else (checkpoint.storage, "write")
    write = getattr(owner, name)

    def counted(*arguments):
        written.append(arguments)
        if kill_at == (rank, len(written)):
            os.kill(os.getpid(), signal.SIGKILL)
        write(*arguments)

    setattr(owner, name, counted)
    try:
        split, m = split_ratings(ratings(), 0.2, rng=4), model_of(comm)
        trainer = Trainer(m, "adam", 0.02, 4, "sparse", rng=1, progress=False)
        return told(m, trainer.fit(split.train, 4, validation=split.test, patience=4, checkpoint=path, resume=True))
    finally:
        setattr(owner, name, write)


def run(comm, path, names):
    found = {}
    for name, case in CASES.items():
        if name in names or not names:
            on_ranks = case(comm)
            if not comm.Get_rank():
                alone = case(None)
                rounding = 1e-5 if "float32" in name else 1e-10
                found[name] = differences(alone, on_ranks, rounding)
    for name in names:
        if name in REFUSED:
            found[name] = said(comm, REFUSED[name][0])
        if name == "off_the_scale_on_one":
            off_the_scale_on_one(comm)
        if name.startswith("resumed:"):  # FILE:RANK:N
            _, file, *kill_at = name.split(":")
            found["resumed"] = {key: value.tolist()
                                for key, value in resumed(comm, file, tuple(map(int, kill_at))).items()}
    if not comm.Get_rank():
        Path(path).write_text(json.dumps(found))


def forked(n, function, *arguments):
    """Calls the function on n ranks that are forks; whether all ended well. Where one has died the pipes break."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(n - 1)]

    def child(rank):
        for k, (ours, theirs) in enumerate(pipes):
            (theirs if not rank else ours).close()
            if rank and k != rank - 1:
                theirs.close()
        ends = [ours for ours, _ in pipes] if not rank else [pipes[rank - 1][1]]
        function(Pipes(rank, n, ends), *arguments)

    children = [context.Process(target=child, args=(rank,)) for rank in range(n)]
    for each in children:
        each.start()
    for pair in pipes:
        for end in pair:
            end.close()
    for each in children:
        each.join()
    return not any(each.exitcode for each in children)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--forks":
        n, path, names = int(arguments[1]), arguments[2], arguments[3:]
        if names[:1] == ["--kills"]:  # PATH RANK:N ...: a checkpoint, and who is killed before which of its files
            file, *kills = names[1:]
            assert not any(forked(2, run, os.devnull, ["resumed:%s:%s" % (file, kill)]) for kill in kills)
            names = ["resumed:%s" % file]
        sys.exit(not forked(n, run, path, names))
    from mpi4py import MPI
    run(MPI.COMM_WORLD, arguments[0], arguments[1:])
