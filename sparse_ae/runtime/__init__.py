"""The surroundings of a process: device, ranks of MPI, progress on stderr."""
