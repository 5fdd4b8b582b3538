"""A trained autoencoder as a member of a `scoring.list_blend.ListBlend`."""
import numpy as np

from sparse_ae.scoring.fold_in import FoldIn


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
        self.label = "%s as rows" % self.name
        self._fold_in = FoldIn(scorer, objective, missing_rating)

    def of_users(self, users):
        """As `closed.ClosedMember.of_users`: by a product of matrices, to rounding the model's outputs."""
        scorer, items = self.scorer, np.arange(len(self.scorer.items_rated))
        decoder = scorer.outputs.decoder
        if decoder.nonlinearity is None:  # one that NumPy doesn't know
            return scorer.grid_outputs(users, items)
        rows, columns = scorer.rows.rows_columns(users, items)
        found = scorer.hidden(rows).dot(scorer.outputs.W_on_host()[columns].T)
        found += decoder.b.get_value(borrow=True)[columns]
        return scorer.rows.turned(found if decoder.is_linear else decoder.nonlinearity.ufunc(found))

    def of_people(self, people):
        """As `closed.ClosedMember.of_people`, by `scoring.fold_in`."""
        items = np.arange(len(self.scorer.items_rated))
        return np.stack([of_person(items) for of_person in self._fold_in(people)])
