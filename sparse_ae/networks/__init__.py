"""Networks of Lasagne layers that train, predict and are listed as the post's model is.

A network is any stack of layers from the ratings to an `ObservedLayer`, whose W and b are the decoder; all that stands
before it makes the hidden units.

==============  =================================================================================================
`shallow`       the post's: f(W g(V r + mu) + b)
`deep`          hidden layers with residual connections and dropout
`denoising`     learns from what it was shown a part of
`tied`          the decoder is the encoder
`multinomial`   the autoencoder of lists: Mult-DAE, for `training.objectives.Multinomial`
`ordinal`       any of them with an output of ordered levels, such as stars, for `training.objectives.Ordinal`
==============  =================================================================================================

Examples
--------
Two hidden layers, a third of the hidden units dropped:

>>> import sparse_ae
>>> from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer
>>> from sparse_ae.networks import Network
>>> from lasagne.layers import DenseLayer, DropoutLayer, InputLayer
>>> from lasagne.nonlinearities import tanh
>>> ratings = InputLayer((None, 40))
>>> hidden = DropoutLayer(SparseInputDenseLayer(ratings, 10, nonlinearity=tanh), 0.3)
>>> hidden = DenseLayer(hidden, 10, nonlinearity=tanh)
>>> model = Network(ObservedLayer(hidden, ratings), rating_scale=(1, 5), l2=0.1)
>>> made_up = sparse_ae.made_up_ratings(60, 40, 800, rng=0)[0]
>>> trainer = sparse_ae.Trainer(model, "adam", learning_rate=0.01, progress=False)
>>> history = trainer.fit(made_up.matrix, n_epochs=5)
>>> history[-1]["train_rmse"] < history[0]["train_rmse"]
True
"""
from sparse_ae.networks.kinds import deep, denoising, multinomial, ordinal, shallow, tied
from sparse_ae.networks.network import Network

__all__ = ["Network", "deep", "denoising", "multinomial", "ordinal", "shallow", "tied"]
