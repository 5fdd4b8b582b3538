"""The methods of a fitted `Recommender`, with their documentation."""
from typing import Any, Dict, List, Optional, Sequence, Union, overload

from sparse_ae.checks import Id
from sparse_ae.evaluation.report import Report
from sparse_ae.recommender import held_out, items as of_items, known_users, new_users
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.recommender.report import report_of
from sparse_ae.runtime.progress import reporting, say
from sparse_ae.scoring.people import Explanation, RankedUsers, Vectors
from sparse_ae.scoring.ranking import ListArguments, RecommendationLists, Recommendations


class Answers(FittedAttributes):
    """Base of `Recommender`: methods that ask the current `FitResult`."""

    def predict(self, users: Any, items: Any = None) -> Any:
        """Predict ratings of pairs of users and items.

        Parameters
        ----------
        users, items : ids, or array_like of ids, shape (n,)
            One of the two may be a single id, for all of the other. Without `items`, `users` is a table or an array of
            pairs, (n, 2): the X of scikit-learn.

        Returns
        -------
        numpy.ndarray, shape (n,); a float for two single ids
            In the ratings' unit, clipped to `rating_scale_`, in the order asked for. Pairs that were rated in `fit` are
            predicted like others. With "lists" or "clicks" as the objective they are scores to rank by, not ratings.

        Raises
        ------
        ValueError
            For columns of different lengths, and, with ``unknown="error"``, for pairs without ratings in `fit`.

        Notes
        -----
        In residual mode, if only one of the two has ratings in `fit`, the prediction is the mean plus that one's
        offset. For scores ``unknown="mean"`` is `missing_rating_`.

        Examples
        --------
        >>> print(recommender.predict(["cem", "eve"], "tea").round(1))
        [4.8 3.7]
        >>> round(recommender.predict("dan", "ale"), 1)
        2.9
        """
        return known_users.predict(self._answering(), users, items)

    @overload
    def recommend(self, users: Id, n: int = ..., exclude_seen: bool = ..., items: Any = ..., exclude: Any = ...,
                  unknown: str = ..., new: Optional[int] = ...) -> Recommendations: ...
    @overload
    def recommend(self, users: Any, n: int = ..., exclude_seen: bool = ..., items: Any = ..., exclude: Any = ...,
                  unknown: str = ..., new: Optional[int] = ...) -> RecommendationLists: ...

    @reporting
    def recommend(self, users, n=10, exclude_seen=True, items=None, exclude=None, unknown="auto", new=None):
        """List the items with the highest predicted ratings.

        Parameters
        ----------
        users : an id, or array_like of ids, shape (n_users,)
        n : int
            Number of items; fewer if no more can be recommended.
        exclude_seen : bool
            Whether to leave out items that the user rated in `fit`.
        items : array_like of ids, optional
            Recommend only these. Unknown ids, without a rating in `fit`, are ignored, unless all are.
        exclude : array_like of ids, or dict of user id to array_like of ids, optional
            Recommend none of these to any user, such as items that are sold out; or none of these to that user, such as
            those bought in the last 30 days, with ``exclude_seen=False``. Unknown ids are ignored.
        unknown : {"auto", "popular", "error"}
            What a user gets who isn't among `users_`: the most popular items, or an error. "auto" is an error for a
            single user and with the setting ``unknown="error"``; among several users it is the most popular items, and
            a line on stderr.
        new : int, optional
            How many of the n places, the last ones, are kept for items without ratings in `fit` that have attributes;
            0 lists none. By default it is the share that new items had in the last tenth of the ratings of `fit`, if
            these have times, else a tenth of n; at least 1 for lists of ten or more.

        Returns
        -------
        Recommendations; for several users RecommendationLists
            The latter is a sequence of Recommendations, one for each user in the order asked for, and has `users`,
            `items` and `scores` itself. Both have `to_frame`, which needs pandas. Items are ordered by the model's
            output before it is clipped to the rating scale, of equal ones the most rated first. Scores are those of
            `predict`, with objective="lists" or "clicks" to rounding. Those of new items, which come last, by their own
            order, are regressions on attributes, which don't compare with those of other items. Where there are too few
            of one kind, more of the other are listed.

        Raises
        ------
        ValueError
            For a user who isn't among `users_` (see `unknown`, and `fold_in`), and, with the setting
            ``unknown="error"``, for an item without a rating in `fit`; if all ids in `items` are unknown, as those
            of another form are; for a `new` above n, or where `fit` had no `item_features`.

        Notes
        -----
        A user who is among `users_` but had no rating in `fit` (see `users_rated_`) gets the items with the highest
        biases, which are shrunk for items with few ratings; with objective="lists" or "clicks" the most popular items.
        New items among them are those whose attributes say so.

        Examples
        --------
        >>> shop.recommend("cid", n=2, items=["cup", "jam", "oil"]).items.tolist()
        ['oil', 'cup']
        >>> [found.items.tolist() for found in shop.recommend(["bob", "dan"], n=2)]
        [['jam', 'cup'], ['pot', 'jam']]
        """
        return known_users.recommend(self._answering(), users, ListArguments(n, exclude_seen, items, exclude, new),
                                     unknown, say if self.progress else None)

    @reporting
    def fold_in(self, ratings: Any, features: Any = None) -> Any:
        """Make a `NewUser` from the ratings of a user who was not in `fit`, without training.

        With users as rows the ratings go through the encoder. With items as rows the user's parameters are solved for:
        docs/explanation/fold-in.md.

        Parameters
        ----------
        ratings : dict of item id to rating, or list of such dicts
            Unknown items are ignored (with ``unknown="error"`` a ValueError names one).
            Items that only have attributes count if there are no others, by the known items that are most like them.
            A list of users is quicker than one at a time. A user without ratings, {}, gets the most
            popular items, or what the attributes say.
        features : dict of column to word, words or number, or list of words; for a list of ratings a list; optional
            Attributes of the user, if `fit` had `user_features`; None in a list stands for none. A line on stderr tells
            of unknown words.

        Returns
        -------
        NewUser; a list of them for a list, in its order
            With methods `predict` and `recommend`. The recommender isn't changed.

        Raises
        ------
        TypeError, ValueError
            For ratings that aren't a dict of numbers within the rating scale, or are all of unknown items, and for
            unknown columns. The message names the entry of a list, counted from 0.

        Examples
        --------
        >>> shop.fold_in({"tea": 1}).recommend(n=2).items.tolist()
        ['pot', 'cup']
        """
        return new_users.fold_in(self._answering(), ratings, features, say if self.progress else None)

    @overload
    def explain(self, user: Id, item: Id) -> Explanation: ...
    @overload
    def explain(self, user: Id, item: Any) -> List[Explanation]: ...

    def explain(self, user, item):
        """Tell which of a user's ratings speak for an item, and which against it.

        Parameters
        ----------
        user : an id
        item : an id, or array_like of ids, shape (n_items,)
            With ratings in `fit`, or with attributes. The user need not have rated the item.

        Returns
        -------
        Explanation; a list of them for several items, in their order
            The ids of the rated items, by their parts in the score, descending; the `rest` of the score; and
            `to_frame`, which needs pandas. Parts and rest add up to the score: the prediction of `predict` before it is
            clipped. Of an item without ratings its attributes, such as "genre=Drama", take the place of rated items.

        Raises
        ------
        TypeError, ValueError
            For several users, for a user without a rating in `fit`, and for an unknown item.

        Notes
        -----
        Parts are exact for "ease", "local" and "filter", whose scores are sums over ratings, and for "factors" and
        "explicit", where it is given which items are rated. So are the means and standard deviations that an ensemble
        scales a user's scores by; means are in the rest. A part of an autoencoder is the output by `fold_in` minus that
        without the rating, where a user's biases are given. With items as rows and a linear f all parts come from one
        system of equations; with another f, or with l2=0, the user is folded in as often as there are ratings, which
        takes seconds. Several items take hardly more time than one.

        Examples
        --------
        >>> reasons = shop.explain("bob", "jam")
        >>> print(reasons.items, reasons.parts.round(1), round(reasons.score, 1))
        ['pot' 'tea'] [1.3 1.1] 1.5
        """
        return known_users.explain(self._answering(), user, item)

    @overload
    def similar_items(self, item: Id, n: int = ..., items: Any = ...) -> Recommendations: ...
    @overload
    def similar_items(self, item: Any, n: int = ..., items: Any = ...) -> List[Recommendations]: ...

    def similar_items(self, item, n=10, items=None):
        """List the n items that are most similar to an item.

        Parameters
        ----------
        item : an id, or array_like of ids, shape (n_items,)
            With a rating in `fit`, or with attributes.
        n : int
        items : array_like of ids, optional
            List only these; unknown ids as in `recommend`.

        Returns
        -------
        Recommendations; a list of them for several items, in their order
            Scores are cosines, from -1 to 1, of the items' mean-centred factors, from the model with the larger weight:
            hidden units with items as rows, rows of the decoder, W, with users as rows. An ensemble's are the scores of
            a user who has rated only this item, with the highest rating; of an item without ratings they are cosines of
            attributes. Of equal ones the most rated come first.

        Examples
        --------
        >>> shop.similar_items("tea", n=2).items.tolist()
        ['pot', 'cup']
        """
        return of_items.similar_items(self._answering(), item, n, items)

    def similar_users(self, user: Id, n: int = 10) -> RankedUsers:
        """List the n users with ratings in `fit` who are most similar to one of them.

        Parameters
        ----------
        user : an id
        n : int

        Returns
        -------
        RankedUsers
            Scores are cosines of the users' mean-centred factors, as in `similar_items`; with an ensemble of their
            mean-centred scores of all items, which takes twice the time of lists for all users.
        """
        return known_users.similar_users(self._answering(), user, n)

    @overload
    def users_for(self, item: Id, n: int = ..., users: Any = ...) -> RankedUsers: ...
    @overload
    def users_for(self, item: Any, n: int = ..., users: Any = ...) -> List[RankedUsers]: ...

    def users_for(self, item, n=10, users=None):
        """List the n users with the highest predictions for an item, without those who rated it in `fit`.

        Parameters
        ----------
        item : an id, or array_like of ids, shape (n_items,)
            With a rating in `fit`, or with attributes.
        n : int
        users : array_like of ids, optional
            List only these, such as subscribers. Unknown ids as in `recommend`.

        Returns
        -------
        RankedUsers; a list of them for several items, in their order
            Scores and their order are as in `recommend`. An ensemble's scores have mean 0 and variance 1 for each user;
            predicted ratings are higher for generous users. With an ensemble it takes the time of lists for all these
            users, once for several items.

        Examples
        --------
        >>> shop.users_for("jam", n=2).users.tolist()
        ['eve', 'bob']
        """
        return of_items.users_for(self._answering(), item, n, users)

    def vectors(self) -> Vectors:
        """Give vectors of users and items whose inner products are the scores, for an index such as Faiss's.

        Returns
        -------
        Vectors
            The ids of users and items with ratings, and an array for each of the two. Biases, and a user's mean score,
            are further columns. In an index of inner products a user's best items are those of `recommend`, rated ones
            among them, to rounding.

        Raises
        ------
        ValueError
            For networks whose scores aren't such products: those with a non-linear output, and ensembles with members
            other than "factors", "explicit" and "filter".

        Examples
        --------
        >>> users, items, of_users, of_items = recommender.vectors()
        >>> print((of_users[users == "cem"] @ of_items[items == "tea"][0]).round(1))
        [4.8]
        """
        return of_items.vectors(self._answering())

    def score(self, ratings: Any, y: Any = None) -> float:
        """Return the objective's `measure` of held-out ratings: higher is better, as in scikit-learn.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.

        Returns
        -------
        float
            As `evaluate` has it: minus the RMSE for ratings, NDCG@10 for "lists" and "clicks".
        """
        return held_out.score(self._answering(), ratings, y)

    @reporting
    def evaluate(self, ratings: Any, y: Any = None, k: Union[int, Sequence[int], str, None] = "auto",
                 relevant: Optional[float] = None, per_user: bool = False, users: str = "all") -> Dict[str, Any]:
        """Evaluate on held-out ratings: errors of predicted ratings, and ranking metrics.

        If fewer than half of the users with held-out ratings can be judged by rankings, a line on stderr says how
        many, and why, unless `progress` is False.

        Parameters
        ----------
        ratings, y
            Held-out ratings, in any form that `fit` takes.
        k : int, list of int, "auto" or None
            Number of recommendations for each user; "auto" is that of the objective's measure, 10 for RMSE. None skips
            ranking, which takes most of the time, if the measure is RMSE. With several each metric of lists has its k
            in its name, such as "ndcg@5".
        relevant : float, optional
            The rating, or the total count, from which a held-out item is relevant; by default three quarters up the
            scale: 4 on 1 to 5, and any count, as in `evaluation.evaluate_lists`.
        per_user : bool
            Return the first seven ranking metrics and "auc" of each user: a dict of arrays, (n_users,), first "user",
            for ``pandas.DataFrame`` or `evaluation.compare_lists`.
        users : "all" or "known"
            With "known" the held-out ratings of users without a rating, or attributes, in `fit` are left out.

        Returns
        -------
        dict
            The objective's measure comes first.

            "rmse", "mae"
                Over all ratings; not with objectives whose predictions are scores.
            "n_ratings", "n_unknown", "n_trained"
                Numbers of ratings: all; those with a user or an item without a rating in `fit`, which count like the
                others; and those of pairs that were rated in `fit`. These are never recommended, so that they count as
                misses: leave them out.
            "precision", "recall", "ndcg", "hit_rate", "map", "mrr", "f1"
                At k, for the list of `recommend`, by the formulas of docs/guide/evaluation.md. Users without a relevant
                item are left out; users without a rating in `fit` have k misses. NaN if no user has a relevant item.
            "coverage", "popularity", "novelty", "gini", "entropy", "user_coverage", "auc", "n_users", ...
                As in `evaluation.evaluate_lists`; the candidates are the items with a rating, or attributes, in `fit`.

        Examples
        --------
        >>> held_out = [("bob", "jam", 4), ("eve", "tea", 4)]
        >>> round(recommender.evaluate(held_out)["rmse"], 1)
        0.6
        >>> found = shop.evaluate([("bob", "jam"), ("dan", "oil")], k=2)
        >>> found["n_users"], found["hit_rate"]
        (2, 0.5)
        """
        return held_out.evaluate(self._answering(), ratings, y, k, relevant, per_user, users,
                                 say if self.progress else None)

    def report(self, ratings: Any, titles: Optional[Dict[Any, str]] = None, k: Union[int, str] = "auto",
               heading: Optional[str] = None) -> Report:
        """Write a page about this model on held-out ratings, for people who decide.

        docs/guide/report.md shows one.

        Parameters
        ----------
        ratings
            Held-out ratings, in any form that `fit` takes.
        titles : dict of item id to str, optional
            They are shown in place of ids.
        k : int or "auto"
            Number of recommendations for each user, as for `evaluate`, whose figures the page has.
        heading : str, optional
            A line under the title, such as the names of the files.

        Returns
        -------
        Report
            A notebook shows it; `Report.save` writes it to a file.

        Raises
        ------
        TypeError, ValueError
            As of `evaluate`; also if no user has a relevant item.

        Examples
        --------
        >>> shop.report([("bob", "jam"), ("dan", "pot")]).save("report.html")
        """
        return report_of(self._answering(), ratings, titles, k, heading, str(self).split("\n"))
