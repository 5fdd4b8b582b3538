"""The surroundings of a process: device, threads, Ctrl-C, progress on stderr."""
