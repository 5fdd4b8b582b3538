"""Many processes that train one model: the ranks of an MPI communicator, which divide its columns.

Rank p of P has the columns p, p + P, p + 2 P, ...: their ratings, their rows of W, columns of V and entries of b. Of a
mini-batch of B rows, the same on all ranks, it computes what its own ratings R_p put into the hidden units. One sum
over ranks gives these units, the same everywhere,

    h = g(sum over p of R_p V_p'  +  mu)                                                             (1)

and everything behind them is a rank's own: outputs, errors, the gradients of W and b. One more sum, of the errors'
gradient for (1), brings the gradients of V and mu. Neither parameters nor ratings ever travel.

All ranks run the same program, and come to each call together. The others would wait for one that has raised an error:
`python -m mpi4py` ends the job then. docs/guide/machines.md says more.
"""
import contextlib
import json
import os
import sys
import time
import zlib

import numpy as np

__all__ = ["Ranks"]

# How many processes a launcher of MPI's has started, as it tells them: of MPICH and its kin, and of Open MPI.
_LAUNCHED = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"


class Ranks:
    """The ranks of a communicator; without one, a process by itself.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Or another object with its methods Get_rank, Get_size, Allreduce, allgather and Barrier.
        RuntimeError for a program that was started by the launcher of another MPI than mpi4py's.

    Attributes
    ----------
    rank, size : int
        The number of this process, and of all processes.
    seconds, bytes : float, int
        Spent in sums so far, waiting for other ranks included; and the number of bytes summed.
    """

    def __init__(self, comm=None):
        self._comm, self.rank, self.size = comm, 0, 1
        self.seconds, self.bytes = 0.0, 0
        if comm is None:
            return
        needed = ("Get_rank", "Get_size", "Allreduce", "allgather", "Barrier")
        if not all(callable(getattr(comm, name, None)) for name in needed):
            raise TypeError("comm is %r; expected a communicator of mpi4py, such as MPI.COMM_WORLD, or None" % (comm,))
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        _check_launcher(comm)

    def __deepcopy__(self, memo):
        return self  # a communicator has no copy

    def __reduce__(self):
        self.check_alone("the columns of this model are divided among %d processes, so it can't be pickled or copied; "
                         "save it instead", kind=TypeError)
        return Ranks, ()

    @property
    def first(self):
        """Tell whether it is the rank that speaks, and writes, for all."""
        return self.rank == 0

    # Columns

    @property
    def own(self):
        """A slice: which of all columns are this rank's."""
        return slice(self.rank, None, self.size)

    def n_own(self, n_columns):
        """Count how many of `n_columns` columns are this rank's."""
        return len(range(n_columns)[self.own])

    def own_of(self, values, axis):
        """Cut a rank's own columns out of an array of all, whose `axis` they are; itself where that is None."""
        return values if axis is None else values[(slice(None),) * axis + (self.own,)]

    def part(self, matrix):
        """Cut a rank's own columns out of a CSR matrix, as CSR; the matrix itself for a single process."""
        if self.size == 1:
            return matrix
        part = matrix[:, self.own]
        part.has_sorted_indices = part.has_canonical_format = True
        return part

    # Models

    def divided(self, model):
        """A rank's own columns of a whole model, as a model of all ranks together; itself for a single process."""
        if self.size == 1:
            return model
        own = {each.name: self.own_of(each.variable.get_value(borrow=True), each.columns_axis)
               for each in model.parameters}
        return type(model).from_description(model.describe(), own, self)

    def gather(self, divided, model):
        """Give the whole model the parameters of the `divided` one."""
        for each, own in zip(model.parameters, divided.parameters) if divided is not model else ():
            value = own.variable.get_value(borrow=True)
            each.variable.set_value(value if own.columns_axis is None else
                                    joined(self.gathered(value), own.columns_axis))

    # Sums

    def sum(self, values):
        """Sum an array or a number over ranks, the same bits on all: an array; itself for a single process."""
        if self.size == 1:
            return values
        start = time.perf_counter()
        values = np.asarray(values, order="C")
        total = np.empty_like(values)
        self._comm.Allreduce(values, total)
        self.seconds += time.perf_counter() - start
        self.bytes += values.nbytes
        return total

    def spending(self):
        """Make a function that returns the time of sums from now on, in a dict: empty for a single process."""
        seconds, n_bytes = self.seconds, self.bytes
        return lambda: {} if self.size == 1 else {"seconds_in_sums": self.seconds - seconds,
                                                  "bytes_summed": self.bytes - n_bytes}

    def any(self, flag):
        """Tell whether it is true on any rank."""
        return bool(flag) if self.size == 1 else bool(self.sum(np.array([bool(flag)], np.int32))[0])

    def gathered(self, value):
        """Gather the values of all ranks, which pickle takes, as a list."""
        return [value] if self.size == 1 else self._comm.allgather(value)

    def gathered_arrays(self, arrays):
        """Gather the arrays of all ranks, which have the same names, on the first: "1/W" is rank 1's W."""
        if self.size == 1:
            return arrays
        found = {}
        for name, value in arrays.items():
            values = self.gathered(np.asarray(value))
            found.update(("%d/%s" % (rank, name), each) for rank, each in enumerate(values if self.first else ()))
        return found

    def own_arrays(self, arrays):
        """Take a rank's own of `gathered_arrays`."""
        if self.size == 1:
            return arrays
        return {name.partition("/")[2]: value for name, value in arrays.items() if name.startswith("%d/" % self.rank)}

    # Agreement

    def check_alone(self, refusal, *arguments, kind=ValueError):
        """Raise an error of a kind where there are several processes: `refusal`, with arguments and their number."""
        if self.size > 1:
            raise kind(refusal % (arguments + (self.size,)))

    def check_same(self, settings):
        """Raise ValueError on all ranks where `settings`, a function that makes JSON and arrays by name, differ."""
        if self.size == 1:
            return
        all_texts = self.gathered({name: _text(value) for name, value in settings().items()})
        differences = ["%s is %s on rank %d and %s on rank 0" % (name, texts.get(name), rank, all_texts[0][name])
                       for rank, texts in enumerate(all_texts) for name in all_texts[0]
                       if texts.get(name) != all_texts[0][name]]
        if differences:
            raise ValueError("the ranks don't agree: %s; start all of them with the same program, settings and "
                             "arguments" % "; ".join(differences[:5]))

    @contextlib.contextmanager
    def rank_0_first(self):
        """A context that rank 0 leaves before others enter, so that they find its compiled code."""
        if self.rank:
            self._comm.Barrier()
        try:
            yield
        finally:
            if not self.rank and self.size > 1:
                self._comm.Barrier()


def joined(parts, axis=0):
    """Put together arrays of the columns of each rank, in the order of the ranks; columns are one of the two axes."""
    if len(parts) == 1:
        return parts[0]
    if axis:
        return joined([each.T for each in parts]).T
    whole = np.empty((sum(map(len, parts)),) + parts[0].shape[1:], np.result_type(*parts))
    for rank, part in enumerate(parts):
        whole[rank::len(parts)] = part
    return whole


def _text(value):
    """A setting's description, for comparison: an array's checksum."""
    if isinstance(value, np.ndarray):
        return "%d values of checksum %08x" % (value.size, zlib.crc32(np.ascontiguousarray(value).tobytes()))
    return json.dumps(value, sort_keys=True)


def _check_launcher(comm):
    if "mpi4py.MPI" not in sys.modules or comm.Get_size() > 1 or sys.modules["mpi4py.MPI"].COMM_WORLD.Get_size() > 1:
        return
    for name in _LAUNCHED:
        started = os.environ.get(name, "1")
        if started.isdigit() and int(started) > 1:
            raise RuntimeError(
                "%s=%s: %s processes were started, but mpi4py finds only one, because it was built with another MPI "
                "than the launcher's (%s). Use the mpiexec of that MPI, or install mpi4py for the launcher's"
                % (name, started, started, sys.modules["mpi4py.MPI"].Get_library_version().split("\n")[0].strip("\0")))


#: The ranks of a process by itself: one.
ALONE = Ranks()
