"""All that knows of the ranks of an MPI job: columns shared out, sums, agreement."""
