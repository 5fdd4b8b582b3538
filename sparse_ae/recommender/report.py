"""The sections of a report: a fitted model beside simple ones on held-out ratings, for people who decide."""
import platform
import time
from collections.abc import Mapping

import numpy as np

import sparse_ae
from sparse_ae.checks import check_count
from sparse_ae.data.ids import distinct
from sparse_ae.evaluation import plots
from sparse_ae.evaluation.rankings import resampled
from sparse_ae.evaluation.report import joined, name_of, page, picture, table, tag
from sparse_ae.recommender.ensemble import fit_closed
from sparse_ae.recommender.held_out import HeldOut, nothing_known
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import as_line
from sparse_ae.recommender.sides import biases_of
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.training.objectives import check_objective

# People who are drawn; entries of the lists of items that they had or took, and of the catalogue's; people by whom
# models can be compared: of fewer, intervals by the bootstrap are too narrow.
_PEOPLE, _MOST, _FEWEST = 10, 5, 20


def report_of(fitted, ratings, titles, k, heading, settings):
    """The `Report` of a `FitResult` on held-out ratings; `settings` are lines about the fit."""
    k = check_count(fitted.length(k), "k", " or 'auto'")
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
        tag("p", "Small figures, and those in brackets, are intervals of 95%: with other people of the same kind, "
                 "figures would nearly always be within them. They say nothing of other times.", class_="soft"),
        *_people(fitted, held, name), *_catalogue(held, fitted.items, name), *_pictures(fitted, held),
        tag("h2", "The file of the test"), table([], _facts(fitted, held), class_="facts"),
        tag("h2", "Settings"), table([], [
            ("model", joined(*[tag("div", line) for line in settings])),
            ("trained on", "{:,} {} of {:,} people and {:,} items".format(
                trained_on.matrix.nnz, pairs, *map(np.count_nonzero, trained_on.counts))),
            *[(label, "%s; %s" % (as_line(member.chosen), "of this model" if member in _members(fitted) else
                                  "not tuned")) for label, member in others.items() if member.knob],
            ("versions", "sparse_ae %s, Python %s, NumPy %s"
             % (sparse_ae.__version__, platform.python_version(), np.__version__))], class_="facts"))


def _members(fitted):
    """The members of an ensemble; no others have any."""
    return getattr(fitted.scorer, "members", [])


def _simple(fitted):
    """The most popular items and EASE, by name: the ensemble's own, or fitted to the ratings of the fit."""
    own, missing = {each.name: each for each in _members(fitted)}, fitted.missing_rating
    if missing is None:
        missing = check_objective("lists").missing_rating(fitted.rating_scale)
    train, powers = fitted.rating_matrix.by("users"), (1,) if fitted.is_counts else (2,)
    return {label: own.get(name) or fit_closed(CLOSED[name], train, missing, powers)
            for label, name in (("the most popular items", "popular"), ("EASE (a linear model)", "ease"))}


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
    found = _resampled(np.array(judged), np.ones(n))
    said, took = of_people(found[0, :, 0] / 100, n), _words(fitted)[0]
    short = [joined(tag("b", "%s people %s one or more of their %d recommended items" % (said[0], took, held.k)),
                    *["; %s with %s" % pair for pair in zip(said[1:], others)], ".")]
    short += ["By NDCG@%d the model's lists are %s." % (held.k, _verdict(label, found[:, 0, 2] - found[:, i, 2], n))
              for i, label in enumerate(others, 1)]
    return short, [
        tag("h2", "Lists"), _figures(
            ["", "people who %s one or more" % took, "share of all they %s (recall)" % took, "NDCG@%d" % held.k],
            others, ("%.1f%%", "%.1f%%", "%.3f"), found),
        tag("p", "People in the test: {:,}. NDCG is 1 if all that a person {} comes first{}.".format(
            n, took, "" if fitted.is_counts else ". Liked means rated %g or higher" % held.relevant), class_="soft")]


def of_people(shares, n):
    """Shares of n people, such as "35 of 100"; their own number if they are few, or all shares are small."""
    of = 100 if n >= 100 and shares.max() >= 0.05 else n
    return ["{:,.0f} of {:,}".format(share * of, of) for share in shares]


def _errors(fitted, held):
    """A paragraph and a section about predicted ratings, beside those of simple averages."""
    u, i = (np.where(at < n, at, -1) for at, n in zip((held.u, held.i), fitted.rating_matrix.shape))
    averages = np.clip(biases_of(fitted.rating_matrix).at(u, i), *fitted.rating_scale)
    sums = [[np.bincount(held.numbers, np.abs(held.values - each) ** power) for power in (1, 2)]
            for each in (held.predicted, averages)]
    found, n = _resampled(np.array(sums), np.bincount(held.numbers)), len(sums[0][0])
    found[..., 1] = np.sqrt(found[..., 1])
    label = "averages of the person and the item"
    verdicts = [_verdict("these averages", found[:, 1, k] - found[:, 0, k], n) for k in (0, 1)]
    said = joined(tag("b", "A predicted rating is off by %.2f on average" % found[0, 0, 0]), (
        " on a scale from %g to %g; the %s alone are off by %.2f. The model is %s. By RMSE, which counts large errors "
        "more, it is %s.") % (*fitted.rating_scale, label, found[0, 1, 0], *verdicts))
    return said, [tag("h2", "Ratings"), _figures(
        ["", "mean absolute error (MAE)", "root mean squared error (RMSE)"], [label], ("%.3f", "%.3f"), found)]


def _figures(head, others, forms, found):
    """A table of the figures of this model and others, with intervals, from those of `_resampled`."""
    low, high = np.percentile(found[1:], [2.5, 97.5], axis=0)
    return table(head, [
        [label] + [joined(form % figure, tag("small", form % least, "\N{EN DASH}", form % most))
                   for form, figure, least, most in zip(forms, found[0, i], low[i], high[i])]
        for i, label in enumerate(["this model", *others])])


def _resampled(sums, weights):
    """Means by weights, (n_users,), of figures of users, (n_models, n, n_users), and those of 2000 samples."""
    users = np.vstack([sums.reshape(-1, len(weights)), weights]).T
    found = np.vstack([users.mean(axis=0), resampled(users, np.random.RandomState(0))])
    return (found[:, :-1] / found[:, -1:]).reshape((-1,) + sums.shape[:2])


def _verdict(label, differences, n):
    """How a model compares with another, by a difference and those of samples of n people: higher is better."""
    if n < _FEWEST:
        return "not compared with %s: too few people (%d)" % (label, n)
    low, high = np.percentile(differences[1:], [2.5, 97.5])
    if low <= 0 <= high:
        return "neither clearly better nor worse than %s (%+.3f; %+.3f to %+.3f)" % (label, differences[0], low, high)
    return "%s than %s by %.3f (%.3f to %.3f)" % (
        "better" if low > 0 else "worse", label, abs(differences[0]), *sorted((abs(low), abs(high))))


def _words(fitted):
    """The verb for a relevant item, and the noun for entries of the file."""
    return ("took", "pairs") if fitted.is_counts else ("liked", "ratings")


def _people(fitted, held, name):
    """The section of some people."""
    known = np.flatnonzero((held.listed >= 0) & fitted.users_rated[held.listed])
    took = _words(fitted)[0]
    whose, relevant, values = (each[held.wanted] for each in (held.numbers, held.items, held.values))
    yield tag("h2", "Some people")
    yield tag("p", "Drawn at random. A check mark (\u2713) is a hit: a recommended item that the person %s in the test."
              % took, class_="soft")
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
            most("%s in the test" % took, relevant[mine], values[mine]), class_="columns"), class_="person")


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


def _pictures(fitted, held):
    """The section of plots, if there are any; a notebook shows no figure of pyplot's beside the page."""
    history = [record for record in fitted.history if not record.get("refit")]  # others have no held-out ratings
    try:
        if history:
            yield picture("Learning curves: how good the models were after each epoch",
                          plots.learning_curves(history, ax=plots.own_axes(8, 5)))
        if held.predicted is not None:
            yield picture("Calibration: the mean of the ratings against the mean of their predictions",
                          plots.calibration(held.values, held.predicted, ax=plots.own_axes(5.5, 5.5)))
    except ImportError as error:
        yield tag("p", "There are no pictures: %s" % error)


def _facts(fitted, held):
    """The file's size, and the parts that are left out."""
    n_users, n_items = (len(distinct(ids)[0]) for ids in (held.users, held.items))
    unknown = [len(distinct(ids[at < 0])[0]) for ids, at in ((held.users, held.u), (held.items, held.i))]
    (took, pairs), n_low = _words(fitted), len(held.values) - np.count_nonzero(held.wanted)
    yield pairs, "{:,}, of {:,} people and {:,} items".format(len(held.values), n_users, n_items)
    for fact, n, remark in (
            ("people whom the model doesn't know", unknown[0], "their lists are empty, and count as misses"),
            ("items that the model doesn't know", unknown[1], "not recommended, they count as misses"),
            ("%s that the model was trained on" % pairs, held.n_trained,
             "not recommended again, they count as misses: leave them out of the file"),
            ("people without an item that they %s" % took, n_users - len(held.ids), "no list is judged"),
            ("ratings below %g" % held.relevant, n_low, "their items don't count as hits")):
        if n:
            yield fact, "{:,}: {}".format(n, remark)
