"""A trained autoencoder as a member of a `scoring.list_blend.ListBlend`."""
import numpy as np

from sparse_ae.scoring.fold_in import ColumnSolver, column_outputs, row_outputs

__all__ = ["AutoencoderMember"]


class AutoencoderMember:
    """A trained autoencoder, as a member of a blend; its name is what its rows are.

    Parameters
    ----------
    scorer : scoring.scorer.Scorer
    objective : Objective
        That it was trained with.
    missing_rating : float
        The baseline of its targets.
    """

    def __init__(self, scorer, objective, missing_rating):
        self.name, self.scorer = scorer.rows, scorer
        self._objective, self._missing_rating, self._solver = objective, missing_rating, None

    def of_users(self, users):
        """As `closed.ClosedMember.of_users`: by a product of matrices, to rounding the model's outputs."""
        scorer = self.scorer
        decoder = scorer.outputs.decoder
        if decoder.nonlinearity is None:  # one that NumPy doesn't know
            return scorer.grid_outputs(users, np.arange(len(scorer.items_rated)))
        W, b = scorer.outputs.W_on_host(), decoder.b.get_value(borrow=True)
        if scorer.rows == "users":
            found = scorer.hidden(users).dot(W.T)
            found += b
        else:
            found = W[users].dot(scorer.hidden(np.arange(len(scorer.items_rated))).T)
            found += b[users][:, np.newaxis]
        return found if decoder.is_linear else decoder.nonlinearity.ufunc(found)

    def of_people(self, people):
        """As `closed.ClosedMember.of_people`, by `scoring.fold_in`."""
        scorer = self.scorer
        if scorer.rows == "users":
            outputs = row_outputs(scorer, people, self._missing_rating)
        else:
            if self._solver is None:
                self._solver = ColumnSolver(scorer, self._objective)
            outputs = column_outputs(scorer, self._solver, people)
        items = np.arange(len(scorer.items_rated))
        return np.stack([of_person(items) for of_person in outputs])
