"""Where and how a process runs: device, ranks of MPI, progress on stderr."""
