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

docs/tutorial/network.md makes and trains one of its own layers.
"""
from sparse_ae.networks.kinds import deep, denoising, multinomial, ordinal, shallow, tied
from sparse_ae.networks.network import Network

__all__ = ["Network", "deep", "denoising", "multinomial", "ordinal", "shallow", "tied"]
