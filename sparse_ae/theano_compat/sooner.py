"""Patches that leave less to compile before the first result: work that is done once, and as well by NumPy."""

import numpy as np

from sparse_ae.theano_compat.patches import once_run


@once_run("theano.sandbox.rng_mrg")
def _seed_by_numpy(module):
    """sandbox/rng_mrg.py:61 compiles a function for a stream's states, each a product of the one before with a matrix,
    modulo a number. Here as many are made at once as there are."""

    def moved(states, matrix, modulo):
        return (states[:, None, :] * matrix % modulo).sum(axis=2) % modulo

    def multiply(v, A, m1, B, m2):
        return np.concatenate((module.matVecModM(A, v[:3], m1), module.matVecModM(B, v[3:], m2)))

    def get_substream_rstates(self, n_streams, dtype, inc_rstate=True):
        states = np.zeros((n_streams, 6), "int32")
        states[0] = self.rstate
        for part, jump, modulo in ((slice(0, 3), module.A1p72, int(module.M1)),
                                   (slice(3, 6), module.A2p72, int(module.M2))):
            n = 1
            while n < n_streams:
                states[n:2 * n, part] = moved(states[:min(n, n_streams - n), part].astype("int64"), jump, modulo)
                jump, n = moved(jump, jump.T, modulo), 2 * n  # of twice as many states on
        if inc_rstate:
            self.inc_rstate()
        return states

    module.multMatVect = multiply
    module.MRG_RandomStreams.get_substream_rstates = get_substream_rstates


@once_run("theano.tensor.elemwise")
def _fold_views_in_python(module):
    """tensor/opt.py:6512 folds constants by C, but for Ops that ask for Python. A constant's axes are never worth C."""
    module.DimShuffle.python_constant_folding = lambda self, node: True
