"""Average models of the same kind as one: an ensemble (L. Breiman, Bagging predictors, Machine Learning 24, 1996).

With a linear f the average of M models with weights w_m is a single model with all their hidden units:

    sum of w_m (W_m h_m + b_m) / M  =  w (W h + b),    w = sum of w_m / M,    s_m = w_m / (w M)

    W = (s_1 W_1, s_2 W_2, ...),    h = (h_1, h_2, ...),    b = sum of s_m b_m                              (1)
"""
import numpy as np

from sparse_ae.model import AutoEncoder


def can_be_joined(model):
    """Tell whether the mean of a model and others like it is one model of the same kind."""
    return isinstance(model, AutoEncoder) and model.ranks.size == 1 and model.decoder().is_linear


def joined(models, weights):
    """The mean of `AutoEncoder`s of one kind, by equation (1), to be weighed by the mean of their weights.

    Its decay of W draws as strongly to the mean as the models' own: for equal models ``|W|^2`` is sum of s_m^2 times as
    large, which the decay makes up for.
    """
    first, shares = models[0], np.array(weights) / np.sum(weights)

    def arrays(name):
        return [getattr(model, name).get_value(borrow=True) for model in models]

    l2_W, l2_V = (np.dot(shares, [getattr(model, name) for model in models]) for name in ("l2_W", "l2_V"))
    W = np.hstack([share * W for share, W in zip(shares.astype(first.dtype), arrays("W"))])  # (n_columns, sum of k)
    V, U = (None if encoder is None else np.vstack(arrays(name))  # (sum of k, n_columns)
            for name, encoder in (("V", first.V), ("U", first.U)))
    b = sum(share * b for share, b in zip(shares, arrays("b"))).astype(first.dtype)
    return AutoEncoder(first.n_columns, W.shape[1], first.rating_scale, first.f, first.g,
                       (float(l2_W / np.sum(shares ** 2)), float(l2_V)), W, V, np.hstack(arrays("mu")), b,
                       dtype=first.dtype, U=U, l2_weighted=first.l2_weighted)
