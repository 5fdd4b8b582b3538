"""The Ops and rewrites for a GPU, in Theano's gpuarray backend: docs/develop/compiling.md. `lifts` needs pygpu."""
