"""Simple models that an autoencoder has to beat: biases, matrix factorisation, models for rankings."""
from sparse_ae.baselines.biases import Biases, fit_biases

__all__ = ["Biases", "fit_biases"]
