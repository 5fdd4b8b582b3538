"""Lasagne layers on sparse input: any network whose input rows are mostly missing, or mostly zero.

A Theano CSR variable goes into Lasagne's own `InputLayer`, and a SciPy CSR matrix into the compiled function. All else
of Lasagne works as on dense rows; a stored 0 is an entry like others. docs/tutorial/sparse_input.md trains a network.
"""
from sparse_ae.layers.batch_norm import BatchNormLayer
from sparse_ae.layers.observed import ObservedLayer
from sparse_ae.layers.sparse_input import (
    IndicatorLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
    new_stream,
)

__all__ = ["BatchNormLayer", "IndicatorLayer", "ObservedLayer", "SparseInputDenseLayer",
           "SparseInputDropoutLayer", "SparseInputNormLayer", "new_stream"]
