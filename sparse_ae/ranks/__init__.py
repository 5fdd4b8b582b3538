"""The ranks of an MPI job: division of columns, sums, agreement."""
