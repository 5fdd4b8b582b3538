"""Networks of Lasagne layers that train, predict and are listed as the post's model is: docs/tutorial/network.md.

A network is any stack of layers from the ratings to an `ObservedLayer`, whose W and b are the decoder; all that stands
before it makes the hidden units.
"""
from sparse_ae.networks.kinds import deep, denoising, multinomial, shallow, tied
from sparse_ae.networks.network import Network

__all__ = ["Network", "deep", "denoising", "multinomial", "shallow", "tied"]
