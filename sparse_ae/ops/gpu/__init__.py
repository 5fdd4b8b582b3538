"""All that is different on a GPU, through Theano's gpuarray backend: CUDA, or OpenCL.

`lifts` has what Theano's optimiser is to put in the place of the sparse Ops, and needs pygpu: `ops.register_for_gpu`
imports it where Theano's variables are on a GPU. `plans` and `kernels` need neither.
"""
