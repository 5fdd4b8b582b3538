"""All that is different on a GPU, through Theano's gpuarray backend: docs/develop/compiling.md. `lifts` needs pygpu."""
