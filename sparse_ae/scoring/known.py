"""The policy for pairs of which not all is known: what is predicted where a user, an item, or both had no rating."""
import numpy as np


def predict_known(users, items, user_known, item_known, both, one, neither, clip):
    """Predict pairs, each by the most that is known of it.

    Parameters
    ----------
    users, items : int arrays, (n,) or ()
        Places, as `both` and `one` take them.
    user_known, item_known : bool arrays, (n,) or (), or bool
        Who and what had a rating to learn from.
    both : callable
        From places of users and of items to the model's outputs for these pairs, where both are known.
    one : callable or None
        The same where one of the two is known: the biases' predictions. None without biases: such pairs are then
        predicted as if nothing were known. The model's output for an empty row is no better than none: on the pairs
        that a fifth of four data sets left cold, with either side as rows, the RMSE was within 0.01 of the biases', or
        higher.
    neither : float or None
        The prediction for all others; None if there can't be any.
    clip : callable
        Brings outputs into the rating scale, in place.

    Returns
    -------
    numpy.ndarray, (n,) or ()
    """
    known = user_known & item_known
    outputs = clip(both(users[known], items[known]))
    predicted = np.full(known.shape, np.nan if neither is None else neither, outputs.dtype)
    predicted[known] = outputs
    half = user_known ^ item_known
    if one is not None and half.any():
        predicted[half] = clip(one(users[half], items[half]))
    return predicted
