"""The sections of a report: a fitted model beside simple ones on held-out ratings, for people who decide."""
import platform
import time
from collections.abc import Mapping
from typing import Any, Dict, Optional, Union

import numpy as np

import sparse_ae
from sparse_ae.checks import check_count
from sparse_ae.data.ids import distinct
from sparse_ae.data.times import dates_of
from sparse_ae.evaluation.rankings import resampled
from sparse_ae.evaluation.report import Report, bars, joined, name_of, page, table, tag
from sparse_ae.recommender.ensemble import fit_closed
from sparse_ae.recommender.fit_data import biases_of
from sparse_ae.recommender.fitted_attributes import FittedAttributes
from sparse_ae.recommender.held_out import HeldOut, length_of, nothing_known
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import as_line
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.training.objectives import check_objective

# People who are drawn; entries of the lists of items that they had or chose, and of the catalogue's; people by whom
# models can be compared: of 20, intervals of 95% by the bootstrap hold the true figure 88 times of 100, of 60 96 times.
_PEOPLE, _MOST, _FEWEST = 10, 5, 60


def _members(fitted):
    """The members of an ensemble; no others have any."""
    return getattr(fitted.scorer_of_fit, "members", [])


def _simple(fitted):
    """The most popular items and EASE, by name: the ensemble's own, or fitted to the ratings of the fit."""
    own, missing = {each.name: each for each in _members(fitted)}, fitted.missing_rating
    if missing is None:
        missing = check_objective("lists").missing_rating(fitted.rating_scale)
    train, powers = fitted.rating_matrix.by("users"), (1,) if fitted.is_counts else (2,)
    ease = "ease" if train.shape[1] <= CLOSED["ease"].most_items else "local"
    return {label: own.get(name) or fit_closed(CLOSED[name], train, missing, powers)
            for label, name in (("the most popular items", "popular"), ("EASE (a linear model)", ease))}


def _lists(fitted, held, others):
    """Sentences and a section about lists, beside those of other members."""
    matrix, n = fitted.rating_matrix, len(held.ids)
    known, judged = (held.listed >= 0) & (held.listed < matrix.shape[0]), []  # others have attributes only
    rankings = [held.lists]
    for member in others.values():
        ranking, lists = RankingEnsemble([member], [1.0], matrix.by("users")), np.full((n, held.k), -1)
        lists[known] = ranking.best(held.listed[known], held.k, True, ranking.candidates)[0]
        places = np.searchsorted(held.judge.candidates, ranking.candidates)
        rankings.append(np.where(lists < 0, -1, places[lists]))
    for lists in rankings:
        found = held.judge.metrics(lists, held.k, users=held.ids)
        judged.append([100 * found["hit_rate"], 100 * found["recall"], found["ndcg"]])
    found, chose = _resampled(np.array(judged), np.ones(n)), _words(fitted)[0]
    of, counts = of_people(found[0, :, 0] / 100, n)
    new = "something" if held.n_trained else "something new"
    short = [joined(tag("b", "Of {} people who {} {}{}, {} {} an item that would have been on their list of {}".format(
        of, chose, new if fitted.is_counts else "%s (%g or higher)" % (new, held.relevant), _when(fitted, held),
        counts[0], chose, held.k)),
                    *["; %s with %s" % pair for pair in zip(counts[1:], others)], ".")]
    short += [_verdict(label, (found[:, 0, 0] - found[:, i, 0]) / 100, n, int(of.replace(",", "")))
              for i, label in enumerate(others, 1)]
    who = list(_who(fitted, held))
    if held.judge.few_judged(held.relevant):
        short.append(joined(*who))
    return short, [
        tag("h2", "Lists"), bars(
            "The share of people with a hit: an item that they %s, and that would have been on their list" % chose,
            [(label, *each) for label, each in zip(["this model", *others], _with_interval(found[..., 0] / 100, n))]),
        _figures(["", "people with a hit", "share of all they %s (recall)" % chose, "NDCG@%d" % held.k],
                 others, ("%.1f%%", "%.1f%%", "%.3f"), found, n),
        tag("p", *who, " NDCG is 1 if all that a person %s comes first." % chose, class_="soft")]


def _who(fitted, held):
    """Sentences about how many people are judged, and why no more."""
    n, n_in_all, unknown = len(held.ids), len(held.ids) + held.judge.n_left_out, np.count_nonzero(~held.judge.known)
    yield "All {:,} people in the test are judged.".format(n) if n == n_in_all else (
        "{:,} of the {:,} people in the test are judged; the others have no item that they {}.".format(
            n, n_in_all, _words(fitted)[0]))
    if unknown:
        yield " The model doesn't know {:,} of them: no method has a list for them, which counts as a miss.".format(
            unknown)
    if dates_of(held.span) and dates_of(fitted.span) and held.span[0] < fitted.span[1]:
        yield " The test isn't later than the ratings of the training: of the days to come models often know less."


def _when(fitted, held):
    """The dates of the test as text, after a space; "" if there are none, or if it isn't later than training."""
    if not dates_of(held.span) or fitted.span is not None and held.span[0] < fitted.span[1]:
        return ""
    return " " + _dates(held.span, "between %s and %s")


def _dates(span, between="from %s to %s"):
    """The dates of a first and a last time, as text."""
    dates = dates_of(span)
    return "no dates" if dates is None else "on %s" % dates[1] if dates[0] == dates[1] else between % dates


def of_people(shares, n):
    """Shares of n people as numbers of 100, or of all if they are few, or all shares are small: "100" and ["35"]."""
    of = 100 if n >= 100 and shares.max() >= 0.05 else n
    return "{:,}".format(of), ["{:,.0f}".format(share * of) for share in shares]


def _errors(fitted, held):
    """A paragraph and a section about predicted ratings, beside those of simple averages."""
    u, i = (np.where(at < n, at, -1) for at, n in zip((held.u, held.i), fitted.rating_matrix.shape))
    averages = np.clip(biases_of(fitted.rating_matrix).at(u, i), *fitted.rating_scale)
    sums = [[np.bincount(held.numbers, np.abs(held.values - each) ** power) for power in (1, 2)]
            for each in (held.predicted, averages)]
    found, n = _resampled(np.array(sums), np.bincount(held.numbers)), len(sums[0][0])
    found[..., 1] = np.sqrt(found[..., 1])
    label = "averages of the person and the item"
    said = joined(tag("b", "A predicted rating is off by %.2f on average" % found[0, 0, 0]), (
        " on a scale from %g to %g; the %s alone are off by %.2f%s. RMSE, which counts large errors more, is %.2f, and "
        "%.2f with the averages%s.") % (
            *fitted.rating_scale, label, found[0, 1, 0], _lower_by(found[:, 1, 0] - found[:, 0, 0], n),
            found[0, 0, 1], found[0, 1, 1], _lower_by(found[:, 1, 1] - found[:, 0, 1], n)),
                  " {:,} of the {:,} ratings are of a person or an item that the model doesn't know.".format(
                      held.n_unknown, len(held.values)) if held.n_unknown else "")
    return said, [tag("h2", "Ratings"), _figures(
        ["", "mean absolute error (MAE)", "root mean squared error (RMSE)"], [label], ("%.3f", "%.3f"), found, n)]


def _lower_by(differences, n):
    """By how much an error is lower, in brackets, by a difference and those of samples of n people."""
    if n < _FEWEST:
        return ""
    low, high = np.percentile(differences[1:], [2.5, 97.5])
    if low <= 0 <= high:
        return " (no difference that can be seen)"
    return " (a difference of %.3f, %.3f to %.3f)" % (abs(differences[0]), *sorted((abs(low), abs(high))))


def _with_interval(found, n):
    """Figures, (n_models,), with the ends of their intervals, None of few people, from those of `_resampled`."""
    low, high = np.percentile(found[1:], [2.5, 97.5], axis=0)
    return zip(found[0], *((low, high) if n >= _FEWEST else [[None] * len(low)] * 2))


def _figures(head, others, forms, found, n):
    """A table of the figures of this model and others, with intervals unless people are few."""
    def cell(form, figure, low, high):
        return form % figure if low is None else joined(
            form % figure, tag("small", form % low, "\N{EN DASH}", form % high))

    columns = [[cell(form, *each) for each in _with_interval(found[..., k], n)] for k, form in enumerate(forms)]
    return table(head, zip(["this model", *others], *columns))


def _resampled(sums, weights):
    """Means by weights, (n_users,), of figures of users, (n_models, n, n_users), and those of 2000 samples."""
    users = np.vstack([sums.reshape(-1, len(weights)), weights]).T
    found = np.vstack([users.mean(axis=0), resampled(users, np.random.RandomState(0))])
    return (found[:, :-1] / found[:, -1:]).reshape((-1,) + sums.shape[:2])


def _verdict(label, differences, n, of):
    """A sentence that compares a model with another, by a difference of shares of n people, and those of samples."""
    if n < _FEWEST:
        return "Not compared with %s: too few people (%d)." % (label, n)
    low, high = np.percentile(differences[1:], [2.5, 97.5])
    seen = max(abs(low), abs(high)) if low <= 0 <= high else abs(differences[0])
    form, ends = "{:,.%df}" % (seen * of < 1), []
    for each in low, high:
        ends.append(form.format(abs(each) * of) + (" more" if each > 0 else " fewer") * bool(low <= 0 <= high))
    said = "Compared with %s: " % label
    if low <= 0 <= high:
        return said + "no difference that can be seen ({} to {} of {:,} people have a hit).".format(*ends, of)
    return said + "{} {} of {:,} people have a hit ({} to {}).".format(
        form.format(abs(differences[0]) * of), "more" if low > 0 else "fewer", of, *ends[::1 if low > 0 else -1])


def _words(fitted):
    """The verb for a relevant item, and the noun for entries of the file."""
    return ("chose", "pairs") if fitted.is_counts else ("liked", "ratings")


def _people(fitted, held, name):
    """The section of some people."""
    known = np.flatnonzero((held.listed >= 0) & fitted.users_rated[held.listed])
    chose = _words(fitted)[0]
    whose, relevant, values = (each[held.wanted] for each in (held.numbers, held.items, held.values))
    yield tag("h2", "Some people")
    yield tag("p", "Drawn at random. A check mark (\u2713) is a hit: a recommended item that the person %s in the test."
              % chose, class_="soft")
    for place in np.sort(np.random.RandomState(0).permutation(known)[:_PEOPLE]):
        mine, had = whose == held.judge.users[place], fitted.rating_matrix.of_users(held.listed[[place]])
        best = fitted.items[held.judge.candidates[held.lists[place][held.lists[place] >= 0]]]
        hits = set(relevant[mine]) & set(best)

        def entry(item, rating="", hits=hits):
            hit = item in hits
            return tag("li", "\u2713 " * hit, name(item), rating, **{"class_": "hit"} if hit else {})

        def most(head, items, ratings, hits=hits, entry=entry):
            order = np.lexsort((-ratings, [item not in hits for item in items]))[:_MOST]
            return tag("div", tag("h4", "{}, {:,} in all".format(head, len(items))), tag("ul", *[
                entry(items[each], "" if fitted.is_counts else ": %g" % ratings[each]) for each in order]))

        yield tag("div", tag("h3", name_of(held.ids[place])), tag(
            "div", most("had", fitted.items[had.indices], had.data),
            tag("div", tag("h4", "would get"), tag("ol", *map(entry, best))),
            most("%s in the test" % chose, relevant[mine], values[mine]), class_="columns"), class_="person")


def _catalogue(held, items, name):
    """The section of items: which are on lists, and which never are."""
    n = np.bincount(held.lists[held.lists >= 0], minlength=len(held.judge.candidates))
    share, items = held.judge.popularity, items[held.judge.candidates]
    most = [each for each in np.argsort(-n, kind="stable")[:_MOST] if n[each]]
    never = [each for each in np.argsort(-share, kind="stable") if not n[each]][:_MOST]
    yield tag("h2", "Items")
    yield tag("p", tag("b", "The lists of people in the test show {:,} of {:,} items ({:.0%})".format(
        np.count_nonzero(n), len(n), np.count_nonzero(n) / len(n))), ". The {} that are recommended "
        "most often take {:.0%} of the places.".format(len(most), n[most].sum() / max(1, n.sum())))
    yield table(["recommended most often", "on lists", "people who had it"], [
        (name(items[each]), "{:.1%}".format(n[each] / len(held.lists)), "{:.1%}".format(share[each])) for each in most])
    if never:
        yield table(["on none of the lists, the most popular first", "people who had it"], [
            (name(items[each]), "{:.1%}".format(share[each])) for each in never])


def _facts(fitted, held):
    """The file's size, and the parts that are left out."""
    n_users, n_items = (len(distinct(ids)[0]) for ids in (held.users, held.items))
    unknown = [len(distinct(ids[at < 0])[0]) for ids, at in ((held.users, held.u), (held.items, held.i))]
    (chose, pairs), n_low = _words(fitted), len(held.values) - np.count_nonzero(held.wanted)
    yield pairs, "{:,}, of {:,} people and {:,} items, {}".format(len(held.values), n_users, n_items,
                                                                  _dates(held.span))
    for fact, n, remark in (
            ("people whom the model doesn't know", unknown[0], "their lists are empty, and count as misses"),
            ("items that the model doesn't know", unknown[1], "not recommended, they count as misses"),
            ("%s that the model was trained on" % pairs, held.n_trained,
             "not recommended again, they count as misses: leave them out of the file"),
            ("people without an item that they %s" % chose, n_users - len(held.ids), "no list is judged"),
            ("ratings below %g" % held.relevant, n_low, "their items don't count as hits")):
        if n:
            yield fact, "{:,}: {}".format(n, remark)


class Reported(FittedAttributes):
    """Base of `Recommender`."""

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
        fitted = self._answering()
        k = check_count(length_of(fitted, k), "k", " or 'auto'")
        if not isinstance(titles or {}, Mapping):
            raise TypeError("titles are %s; expected a dict of item id to title" % type(titles).__name__)
        titles = {str(item): title for item, title in (titles or {}).items()}
        held = HeldOut(fitted, ratings, None, k, None)
        if not len(held.ids):
            raise ValueError("none of the %d held-out ratings is %g or higher, which makes an item relevant; hold out "
                             "others, since lists are judged by such items" % (len(held.values), held.relevant))
        if held.n_unknown == len(held.values):
            raise ValueError(nothing_known(held.users, held.items))

        def name(item):
            return name_of(titles.get(str(item)) or item)

        others = {label: member for label, member in _simple(fitted).items()
                  if [member] != [each for each in _members(fitted) if fitted.weights[each.name]]}
        short, section = _lists(fitted, held, others)
        if held.predicted is not None:
            said, of_ratings = _errors(fitted, held)
            section = of_ratings + section
            short = [said, *short, 'The model was fitted to predict ratings. For lists fit one with objective="lists".']
        asked, trained_on, pairs = "How good are the recommendations?", fitted.rating_matrix, _words(fitted)[1]
        return page(
            heading or asked, sparse_ae.__version__, tag("h1", asked),
            tag("p", *([name_of(heading), ", "] if heading else []), time.strftime("%Y-%m-%d"), class_="soft"),
            tag("div", *[tag("p", each) for each in short], class_="short"), *section,
            tag("p", "Small figures, those in brackets, and thin lines are intervals of 95%: with other people of the "
                     "same kind, figures would nearly always be within them. They say nothing of other times."
                if len(held.ids) >= _FEWEST else
                "There are no intervals, and methods aren't compared: that takes %d people or more." % _FEWEST,
                class_="soft"),
            *_people(fitted, held, name), *_catalogue(held, fitted.items, name),
            tag("h2", "The file of the test"), table([], _facts(fitted, held), class_="facts"),
            tag("h2", "Settings"), table([], [
                ("model", joined(*[tag("div", line) for line in str(self).split("\n")])),
                ("trained on", "{:,} {} of {:,} people and {:,} items, {}".format(
                    trained_on.matrix.nnz, pairs, *map(np.count_nonzero, trained_on.counts), _dates(fitted.span))),
                *[(label, "%s; %s" % (as_line(member.chosen), "of this model" if member in _members(fitted) else
                                      "not tuned")) for label, member in others.items() if member.knob],
                ("versions", "sparse_ae %s, Python %s, NumPy %s"
                 % (sparse_ae.__version__, platform.python_version(), np.__version__))], class_="facts"))
