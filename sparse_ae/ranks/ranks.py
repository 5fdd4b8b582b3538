"""The ranks of an MPI communicator, which divide a model's columns, and come to each call together. The others would
wait for one that has raised an error: `python -m mpi4py` ends the job then. docs/develop/pass.md has the equations."""
import json
import os
import sys
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
        Or another object with its methods Get_rank, Get_size, Allreduce and allgather.
        RuntimeError for a program that was started by the launcher of another MPI than mpi4py's.

    Attributes
    ----------
    rank, size : int
        The number of this process, and of all processes.
    """

    def __init__(self, comm=None):
        self._comm, self.rank, self.size = comm, 0, 1
        if comm is None:
            return
        needed = ("Get_rank", "Get_size", "Allreduce", "allgather")
        if not all(callable(getattr(comm, name, None)) for name in needed):
            raise TypeError("comm is %r; expected a communicator of mpi4py, such as MPI.COMM_WORLD, or None" % (comm,))
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        _check_launcher(comm)

    def __deepcopy__(self, memo):
        return self  # a communicator has no copy

    def __reduce__(self):
        return Ranks, ()  # another process is by itself

    @property
    def first(self):
        """Tell whether it is the rank that speaks, and writes, for all."""
        return self.rank == 0

    def check_alone(self, what, instead):
        """Raise ValueError on several ranks, for something that needs all columns."""
        if self.size > 1:
            raise ValueError("%s on %d ranks, which divide the columns; expected %s, or one process"
                             % (what, self.size, instead))

    # Columns

    def own_of(self, values, axis):
        """Cut a rank's own columns out of an array of all, whose `axis` they are; itself where that is None."""
        return values if axis is None else values[(slice(None),) * axis + (slice(self.rank, None, self.size),)]

    def own_part(self, batch):
        """Cut a rank's own columns out of a `Batch` of CSR arrays; itself for a single process."""
        if self.size == 1:
            return batch
        own = batch.indices % self.size == self.rank
        return batch.map(lambda values: values[own])._replace(
            indices=batch.indices[own] // self.size, indptr=np.append(0, np.cumsum(own))[batch.indptr])

    def divide(self, model, own):
        """Give `own`, the model of a rank's own columns, the values of the whole model."""
        for each, part in zip(model.parameters, own.parameters) if self.size > 1 else ():
            part.variable.set_value(self.own_of(each.variable.get_value(borrow=True), each.columns_axis))

    def gather(self, own, model):
        """Give the whole model the values that the ranks have in their own columns."""
        for each, part in zip(model.parameters, own.parameters) if self.size > 1 else ():
            of_all = self.gathered(part.variable.get_value(borrow=True))
            each.variable.set_value(joined(of_all, each.columns_axis))

    # Sums

    def sum(self, values):
        """Sum an array or a number over ranks, the same bits on all: an array; itself for a single process."""
        if self.size == 1:
            return values
        values = np.asarray(values, order="C")
        total = np.empty_like(values)
        self._comm.Allreduce(values, total)
        return total

    def any(self, flag):
        """Tell whether it is true on any rank."""
        return any(self.gathered(bool(flag)))

    def gathered(self, value):
        """Gather the values of all ranks, which pickle takes, as a list."""
        return [value] if self.size == 1 else self._comm.allgather(value)

    def own_name(self, name):
        """The name of an array that each rank has of its own, such as "update_0/1" on rank 1."""
        return name if self.size == 1 else "%s/%d" % (name, self.rank)

    def with_others(self, arrays):
        """Add other ranks' arrays to arrays by name; a rank's own are named by `own_name`."""
        own, found = "/%d" % self.rank, dict(arrays)
        for its in self.gathered({name: np.asarray(value) for name, value in arrays.items() if name.endswith(own)}):
            found.update(its)
        return found

    def without_others(self, arrays):
        """Remove other ranks' arrays of `with_others`."""
        others = tuple("/%d" % rank for rank in range(self.size) if rank != self.rank)
        return {name: value for name, value in arrays.items() if not name.endswith(others)}

    # Agreement

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
                             "arguments" % "; ".join(differences))


def joined(parts, axis=0):
    """Put together arrays of the columns of each rank, in the order of the ranks; columns are one of the two axes.
    The first array if that is None: all have the same."""
    if axis is None or len(parts) == 1:
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
