"""Checkpoints: the state of a training run in a file, enough to continue as if it had never stopped.
With other settings or ratings, by a checksum, the run would not be the same: they are refused."""
import functools
import os
import zlib
from collections import namedtuple

import numpy as np

from sparse_ae.checks import generator_from, is_integer, is_number
from sparse_ae.files import storage
from sparse_ae.ranks.ranks import ALONE

#: The epoch after which the validation error, or minus the measure, was least; that; and the step's state then.
Best = namedtuple("Best", "epoch error state")

#: The state of a run. `first`: epochs in `history` before the call of `fit`. `rng`, `state`: of `get_state()`.
RunState = namedtuple("RunState", "history first best rng state")


def settings_of(trainer, formulation, measured, train, validation):
    """The settings that ranks share, and a resumed run too, without the rate, with checksums of the ratings; `measured`
    names the validation."""
    of_model = {name: describe(value) if callable(value) else value for name, value in trainer.model.describe().items()}
    objective = dict(trainer.objective.describe(), name=type(trainer.objective).__name__)  # as in version 1.0
    return dict(of_model, objective=objective, update=describe(trainer.update),
                batch_size=trainer.batch_size, formulation=formulation, l2_per=trainer.l2_per,
                unknown=trainer.unknown, measured=measured, ranks=trainer.model.ranks.size, train=fingerprint(train),
                validation=None if validation is None else fingerprint(validation))


def check_unused(path, resume):
    """Raise OSError for a path that can't be written, or whose file is there though nothing is resumed."""
    storage.check_destination(path)
    if os.path.exists(path) and not resume:
        raise FileExistsError("%s exists; pass resume=True to continue from it, or another path, or delete it" % path)


class CheckpointFile:
    """The file of a run with settings as `settings_of` gives them; the first of several ranks writes it for all."""

    def __init__(self, path, settings, ranks=ALONE):
        self.path, self._settings, self._ranks = path, settings, ranks

    def write(self, run):
        """Write a `RunState`, whole or not at all."""
        rng = dict(run.rng, state=dict(run.rng["state"], key=run.rng["state"]["key"].tolist()))
        meta = {"settings": self._settings, "history": run.history, "first": run.first, "rng": rng, "best": None}
        arrays = {"state/" + name: value for name, value in run.state.items()}
        if run.best is not None:
            meta["best"] = {"epoch": run.best.epoch, "error": run.best.error}
            if run.best.state is not run.state:  # else the file has it already
                arrays.update(("best/" + name, value) for name, value in run.best.state.items())
        arrays = self._ranks.with_others(arrays)
        if self._ranks.first:
            storage.write(self.path, "checkpoint", meta, arrays)

    def begin(self, resume, history, learning_rate, cut, measured):
        """Return the `RunState` to continue from, checked but for its arrays; None without a file; raise if it can't be
        written, or read. ValueError names each setting that differs, and an epoch whose rate isn't what the function
        `learning_rate` gives, or that has no value `measured`, if this isn't None."""
        check_unused(self.path, resume)
        if resume:
            storage.remove_abandoned(self.path, after=0)
        if not os.path.exists(self.path):
            return None
        meta, arrays = storage.read(self.path, "checkpoint")
        with storage.damage_named(self.path):
            run = _checked(meta, self._ranks.without_others(arrays))
        was = dict({"ranks": 1}, **meta["settings"])
        differences = ["%s is %r here and was %r" % (name, value, was.get(name))
                       for name, value in self._settings.items() if value != was.get(name)]
        factor = 1.0
        for record in run.history[run.first:]:
            rate = learning_rate(record["epoch"])
            rate = rate and rate * factor
            if record["restored"] is not None and cut is not None:
                factor = cut
            if rate != record["learning_rate"]:
                differences.append("learning_rate is %r here in epoch %d and was %r"
                                   % (rate, record["epoch"], record["learning_rate"]))
                break
            if measured is not None and not differences and not is_number(record.get(measured)):
                differences.append("%s was %r in epoch %d" % (measured, record.get(measured), record["epoch"]))
        if differences:
            raise ValueError("%s is the checkpoint of another run: %s. Resume with the same settings and ratings, or "
                             "pass another path" % (self.path, "; ".join(differences)))
        if history and _untimed(history) != _untimed(run.history[:run.first]):
            raise ValueError("%s is the checkpoint of a fit that began after %d epochs, and the %d of this trainer are "
                             "others; pass another path, or resume with a new Trainer"
                             % (self.path, run.first, len(history)))
        return run


def _untimed(history):
    """Records of epochs without their seconds, in which two equal runs differ."""
    return [dict(record, seconds=None) for record in history]


def check_states(path, run, step):
    """Raise ValueError for arrays of a checkpoint that the step can't take."""
    with storage.damage_named(path):
        step.check_state(run.state)
        if run.best is not None:
            best = run.best.state
            if set(best) == {each.name for each in step.model.parameters}:  # restored without the optimiser's state
                best = dict(run.state, **best)
            step.check_state(best)


def _checked(meta, arrays):
    """The RunState of a file, after its parts have been checked."""
    history, first, best, rng = (meta[name] for name in ("history", "first", "best", "rng"))
    if not isinstance(meta["settings"], dict) or not isinstance(history, list):
        raise ValueError("its settings or its history are missing or malformed")
    for number, record in enumerate(history, 1):
        if not (isinstance(record, dict) and record["epoch"] == number
                and all(value is None or isinstance(value, (bool, int, float, str)) for value in record.values())
                and {"train_rmse", "learning_rate", "interrupted", "restored"} <= set(record)
                and all(is_number(record[name]) for name in ("loss", "data_loss", "seconds"))):
            raise ValueError("its epoch %d is %r" % (number, record))
    if not is_integer(first) or not 0 <= first <= len(history):
        raise ValueError("its run began after epoch %r of %d" % (first, len(history)))
    generator_from(rng["bit_generator"], rng["state"]["key"], rng["state"]["pos"], rng["has_gauss"], rng["gauss"])
    states = {"state": {}, "best": {}}
    for name, value in arrays.items():
        part, _, name = name.partition("/")
        states[part][name] = value
    if best is not None:
        if not is_integer(best["epoch"]) or not 0 <= best["epoch"] <= len(history) or not isinstance(
                best["error"], (int, float)):
            raise ValueError("its best epoch is %r" % (best,))
        best = Best(best["epoch"], best["error"], states["best"] or states["state"])
    return RunState(history, first, best, rng, states["state"])


def fingerprint(matrix):
    """Shape, number of entries and checksum of CSR ratings, as text."""
    checksum = 0
    for array in (matrix.indptr, matrix.indices, matrix.data):
        checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
    return "%d x %d, %d entries, checksum %08x" % (matrix.shape + (matrix.nnz, checksum))


def describe(function):
    """A name that is the same in another process: of a function, a partial one, or an object with plain attributes."""
    if not callable(function):
        return repr(function)
    if hasattr(function, "__qualname__"):
        return "%s.%s" % (function.__module__, function.__qualname__)
    made_by, arguments, named = type(function), (), vars(function)
    if isinstance(function, functools.partial):
        made_by, arguments, named = function.func, function.args, function.keywords
    said = [describe(x) for x in arguments] + ["%s=%s" % (name, describe(x)) for name, x in sorted(named.items())]
    return "%s(%s)" % (describe(made_by), ", ".join(said))
