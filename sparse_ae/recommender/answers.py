"""The answers of a fitted recommender, in the ids that came in."""
from sparse_ae.recommender.settings import not_fitted


def _of_fitted(name):
    return property(lambda self: getattr(self.answering(), name), doc="`Fitted.%s`." % name)


class Answers:
    """Predictions, lists and measures, and all that was fitted: what a recommender's `fitted_` says.

    The attributes are described where `Recommender` is.
    """

    users_ = _of_fitted("users")
    items_ = _of_fitted("items")
    users_rated_ = _of_fitted("users_rated")
    items_rated_ = _of_fitted("items_rated")
    rating_scale_ = _of_fitted("rating_scale")
    mean_ = _of_fitted("mean")
    missing_rating_ = _of_fitted("missing_rating")
    biases_ = _of_fitted("biases")
    models_ = _of_fitted("models")
    model_ = _of_fitted("model")
    weights_ = _of_fitted("weights")
    validation_rmse_ = _of_fitted("validation_rmse")
    validation_lists_ = _of_fitted("validation_lists")
    n_hidden_ = _of_fitted("n_hidden")
    batch_size_ = _of_fitted("batch_size")
    l2_ = _of_fitted("l2")
    choices_ = _of_fitted("choices")
    history_ = _of_fitted("history")
    best_epoch_ = _of_fitted("best_epoch")

    def answering(self):
        """Return the `Fitted` that is there now; NotFittedError before `fit`."""
        fitted = vars(self).get("fitted_")
        if fitted is None:
            raise not_fitted("this Recommender is not fitted yet; call fit with ratings first, or load a saved one")
        return fitted

    # Predictions

    def predict(self, users, items=None):
        """Predict ratings of pairs of users and items.

        Parameters
        ----------
        users, items : ids, or array_like of ids, shape (n,)
            One of the two may be a single id, which then goes with all of the other. Without `items`, `users` is a
            table or an array of pairs, (n, 2): the X of scikit-learn.

        Returns
        -------
        numpy.ndarray, shape (n,); a float for two single ids
            In the ratings' unit, clipped to `rating_scale_`. Pairs that were rated in `fit` are predicted like others.
            Of lists they are scores: the lower, the less likely it is that the user picks the item, and mostly near
            `missing_rating_`. Don't read them as ratings. In the order asked for, so that they become a
            column of a table: ``table["predicted"] = recommender.predict(table[["user", "item"]])``.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for columns of different lengths, and, with ``unknown="error"``, for pairs of which
            nothing is known.

        Notes
        -----
        Of a user or an item without a rating in `fit` nothing is known, and `unknown` says what is predicted. Beside
        biases that is so only where both are without: where one is, the mean and the other's offset are predicted.
        Among scores, "mean" is `missing_rating_`.
        """
        return self.answering().predict(users, items)

    def recommend(self, users, n=10, exclude_seen=True, items=None):
        """The items with the highest predicted ratings.

        Parameters
        ----------
        users : an id, or array_like of ids, shape (n_users,)
        n : int
            How many items; there are fewer where no more can be recommended.
        exclude_seen : bool
            Whether to leave out what the user rated in `fit`.
        items : array_like of ids, optional
            Recommend from these only. Items that had no rating in `fit` are never recommended: nothing is known of
            them.

        Returns
        -------
        Recommendations; for several users RecommendationLists
            The latter is a sequence with one Recommendations for each user, in the order asked for, and has `users`,
            `items` and `scores` itself. Either has `to_frame`, where pandas is there.
            Items are ordered by the model's output *before* it is clipped to the rating scale, lest all favourites tie
            at the top of it, and equal ones by id, ascending. Scores are clipped: they are what `predict` gives.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what can't be ids, for a user who isn't among `users_` (see `fold_in`), and, with ``unknown="error"``,
            for an item without a rating in `fit`.

        Notes
        -----
        A user who is among `users_` but had no rating in `fit` (see `users_rated_`) gets the items with the highest
        offsets of `baselines`, which are the smaller the fewer ratings an item has: those rated best by many. With a
        "lists" or "clicks" as the objective it is the most popular items.

        Examples
        --------
        >>> import sparse_ae
        >>> ratings = [("ann", "tea", 5), ("ann", "jam", 4), ("bob", "tea", 4), ("bob", "ale", 1), ("cem", "jam", 2)]
        >>> recommender = sparse_ae.Recommender(n_hidden=4, n_epochs=2, progress=False).fit(ratings, validation=None)
        >>> recommender.recommend("ann").items.tolist()  # all that ann has not rated
        ['ale']
        >>> [each.items.tolist() for each in recommender.recommend(["ann", "bob"], n=1)]
        [['ale'], ['jam']]
        """
        return self.answering().recommend(users, n, exclude_seen, items)

    def fold_in(self, ratings):
        """A person whom the model has never seen, from some ratings, without training.

        With ``rows="users"`` the ratings go through the encoder as any user's do: nothing is approximated, yet it
        predicts strangers worse. With ``rows="items"`` the person's own parameters are solved for, by least squares
        with the model's weight decay. See `scoring.fold_in`, also for how good either is.

        Parameters
        ----------
        ratings : dict of item id to rating, or list of such dicts
            Items that had no rating in `fit` tell nothing and are passed over; with ``unknown="error"`` a ValueError
            names one. So are those whose rating is masked.
            A list is of several people, who are folded in together, which is quicker, and changes nothing.

        Returns
        -------
        NewUser; a list of them for a list, in its order
            With methods `predict` and `recommend`. The recommender stays as it is.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For ratings that are no dict, no numbers, outside the rating scale, or all of unknown items. Of a list the
            message names the entry, counted from 0.

        Examples
        --------
        >>> import sparse_ae
        >>> ratings = [("ann", "tea", 5), ("ann", "jam", 4), ("bob", "tea", 4), ("bob", "ale", 1), ("cem", "jam", 2)]
        >>> recommender = sparse_ae.Recommender(n_hidden=4, n_epochs=2, progress=False).fit(ratings, validation=None)
        >>> new = recommender.fold_in({"tea": 5, "ale": 2})
        >>> new.recommend().items.tolist()
        ['jam']
        >>> new.predict(["tea", "jam"]).shape
        (2,)
        """
        return self.answering().fold_in(ratings)

    def similar_items(self, item, n=10):
        """The items that the model takes to be most like an item.

        Parameters
        ----------
        item : an id
        n : int

        Returns
        -------
        Recommendations
            Scores are cosines, from -1 to 1, of the items' factors less the mean of all items: with items as rows
            their hidden units, with users as rows their rows of the decoder, W. Of two models it is the one with the
            larger weight. Of a blend they are the scores of somebody who has rated the item as high as can be, and
            nothing else. Equal ones are ordered by id.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            For what is no id, or an item that had no rating in `fit`.
        """
        return self.answering().similar_items(item, n)

    # Measures

    def score(self, X, y=None):
        """Minus the RMSE over ratings: higher is better, as scikit-learn wants it.

        Parameters
        ----------
        X : ratings in any form that `fit` takes, or pairs of user and item, (n, 2)
        y : array_like of float, shape (n,), optional
            The ratings, if X has only users and items.

        Returns
        -------
        float

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            As `predict`, and for ratings that aren't finite numbers.
        """
        return self.answering().score(X, y)

    def evaluate(self, ratings, y=None, k=10, relevant=None):
        """Measure how well held-out ratings are predicted, and how well items are ranked.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.
        k : int or None
            Length of the lists that are judged; None leaves ranking out, which takes most of the time.
        relevant : float, optional
            The rating from which a held-out item is relevant; by default three quarters up the scale: 4 on 1 to 5. Of
            counts all are.

        Returns
        -------
        dict
            "rmse", "mae"
                Over all ratings; see `metrics`. Scores of lists are far from ratings.
            "n_ratings", "n_unknown", "n_trained"
                How many there are; how many are of a user or an item without a rating in `fit`, which are predicted as
                `predict` says and count like the others; and how many are of pairs that were rated in `fit`: they say
                nothing of how well others are predicted, and on no list, so that they count as missed. Leave them out,
                as of clicks that come again after a split by time.
            "precision", "recall", "ndcg", "hit_rate", "map", "mrr"
                At k, by the formulas of `metrics`. A user's list is what `recommend` gives: the best of all items that
                the user has not rated in `fit`. Relevant are the user's held-out items with a rating of at least
                `relevant`; what nobody knows to be relevant counts as a miss. Users without a relevant item are left
                out, users without a rating in `fit` have k misses. NaN if no user has a relevant item.
            "coverage", "popularity"
                The share of the items with a rating in `fit` that are on at least one of these users' lists, and for
                what share of the users in `fit` an item on these lists was rated, in the mean.
            "n_users"
                How many users these are means over.

        Raises
        ------
        NotFittedError
        TypeError, ValueError
            As `predict`, and for ratings that aren't finite numbers.
        """
        return self.answering().evaluate(ratings, y, k, relevant)
