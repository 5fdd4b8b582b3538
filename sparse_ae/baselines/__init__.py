"""Simple models that an autoencoder has to beat: biases, matrix factorisation, baselines of lists."""
from sparse_ae.baselines.biases import Biases, fit_biases

__all__ = ["Biases", "fit_biases"]
