"""Lasagne layers on sparse input: any network whose input rows are mostly missing, or mostly zero.

A Theano CSR variable goes into Lasagne's own `InputLayer`, and a SciPy CSR matrix into the compiled function. Lasagne's
layers, initialisers, nonlinearities, objectives, regularisers and updates work as they do on dense rows.

============================  ==================  ============================================================
`SparseInputDenseLayer`       CSR -> dense        a `DenseLayer` at a cost that follows the stored entries
`SparseInputDropoutLayer`     CSR -> CSR          noise on stored values; entries stay entries
`SparseInputNormLayer`        CSR -> CSR          each row's values by their length
`IndicatorLayer`              CSR -> CSR          1 at each entry: what is there, whatever its value
`ObservedLayer`               dense, CSR -> (n,)  a decoder's outputs at the entries of a CSR matrix alone
`OrdinalLayer`                any -> any          a score as the expected one of ordered levels
`BatchNormLayer`              dense -> dense      batch normalisation, which Lasagne 0.1 is without
============================  ==================  ============================================================

*Observed means stored*: a stored 0 is an entry like others. Objectives are in `sparse_ae.training.losses`.

The cost of an update
---------------------
The gradient for the W of a `SparseInputDenseLayer`, (num_inputs, num_units), and of an `ObservedLayer`, (num_units, k),
is made by C code from the entries. Where it goes follows from the update:

- `lasagne.updates.sgd`, `lasagne.updates.adagrad`: no array is made of it; W, and Adagrad's sum of squares, are written
  to in place, and only in the rows whose columns have entries in the mini-batch. This holds for every
  ``theano.function`` that Theano optimises as by default, where nothing else uses the gradient: not with a
  `total_norm_constraint`, nor with a weight decay on W under Adagrad. SGD with a decay passes over W once for it.
- `lasagne.updates.adam`, `momentum`, `rmsprop` and so on move every row in every step: the gradient is an array of W's
  shape, and the update one pass over W and what is kept of it, on all cores.

docs/tutorial/sparse_input.md trains a network of them.
"""
from sparse_ae.layers.batch_norm import BatchNormLayer
from sparse_ae.layers.observed import ObservedLayer
from sparse_ae.layers.ordinal import OrdinalLayer
from sparse_ae.layers.sparse_input import (
    IndicatorLayer,
    SparseInputDenseLayer,
    SparseInputDropoutLayer,
    SparseInputNormLayer,
    new_stream,
)

__all__ = ["BatchNormLayer", "IndicatorLayer", "ObservedLayer", "OrdinalLayer", "SparseInputDenseLayer",
           "SparseInputDropoutLayer", "SparseInputNormLayer", "new_stream"]
