"""The sections of a report: a fitted model beside simple ones on held-out ratings, for people who decide."""
import platform
import time

import numpy as np

import sparse_ae
from sparse_ae.checks import check_count
from sparse_ae.data.ids import distinct
from sparse_ae.evaluation import plots
from sparse_ae.evaluation.rankings import resampled
from sparse_ae.evaluation.report import joined, name_of, page, picture, table, tag
from sparse_ae.recommender.ensemble import fit_closed
from sparse_ae.recommender.members import CLOSED
from sparse_ae.recommender.settings import as_line
from sparse_ae.recommender.sides import biases_of
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble
from sparse_ae.training.objectives import check_objective

# People who are drawn; entries of the lists of items that they had or took, and of the catalogue's.
_PEOPLE, _MOST = 10, 5


def report_of(fitted, ratings, titles, k, heading, settings):
    """The `Report` of a `FitResult` on held-out ratings; `settings` are lines about the fit."""
    k = check_count(fitted.length(k), "k", " or 'auto'")
    titles = {str(item): title for item, title in (titles or {}).items()}
    held = fitted.held_out(ratings, None, k, None)
    if not len(held.ids):
        raise ValueError("none of the %d held-out ratings is %g or higher, which makes an item relevant; hold out "
                         "others, since lists are judged by such items" % (len(held.values), held.relevant))

    def name(item):
        return name_of(titles.get(str(item)) or item)

    own, asked = held.judge(held.lists, held.candidates), "How good are the recommendations?"
    others = {label: member for label, member in _simple(fitted).items()
              if [member] != [each for each in _members(fitted) if fitted.weights[each.name]]}
    short, tables = _lists(fitted, held, others)
    if held.predicted is not None:
        errors, of_errors = _errors(fitted, held)
        short, tables = errors + short, [of_errors] + tables
    today, trained_on = time.strftime("%Y-%m-%d"), fitted.rating_matrix
    return page(
        heading or asked, sparse_ae.__version__, tag("h1", asked),
        tag("p", *([name_of(heading), ", "] if heading else []), today, class_="soft"),
        tag("div", *[tag("p", each) for each in short], class_="short"), *tables,
        tag("p", "Small figures, and those in brackets, are intervals of 95%: with other people of the same kind, "
                 "figures would nearly always be within them. They say nothing of other times.", class_="soft"),
        *_people(fitted, held, name), *_catalogue(held, fitted.items, own["coverage"], name), *_pictures(fitted, held),
        *_file(fitted, held), tag("h2", "Settings"), table([], [
            ("model", joined(*[tag("div", line) for line in settings])),
            ("trained on", "{:,} {} of {:,} people and {:,} items".format(
                trained_on.matrix.nnz, _pairs(fitted), *map(np.count_nonzero, trained_on.counts))),
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
    """Sentences and tables about lists, beside those of other members."""
    names = "hit_rate", "recall", "ndcg"
    matrix, rankings = fitted.rating_matrix, {"this model": (held.lists, held.candidates)}
    known = (held.listed >= 0) & (held.listed < matrix.shape[0])  # others have attributes only
    for label, member in others.items():
        ranking, lists = RankingEnsemble([member], [1.0], matrix.by("users")), np.full((len(known), held.k), -1)
        lists[known] = ranking.best(held.listed[known], held.k, True, ranking.candidates)[0]
        rankings[label] = lists, ranking.candidates
    of_users = np.array([[found[each] for each in names] for found in (
        held.judge(*each, held.ids) for each in rankings.values())])
    means = of_users.mean(axis=2)
    samples = resampled(of_users.reshape(-1, len(known)).T, np.random.RandomState(0)).reshape((-1,) + means.shape)
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    rows = [[label] + [_with_interval(form, scale * np.array([means[i, j], low[i, j], high[i, j]]))
                       for j, (form, scale) in enumerate((("%.1f%%", 100), ("%.1f%%", 100), ("%.3f", 1)))]
            for i, label in enumerate(rankings)]
    took = _took(fitted)
    short = [joined(tag("b", "%s %s one or more of their %d recommended items"
                        % (of_people(means[0, 0], len(known)), took, held.k)),
                    "; ".join([""] + ["%s with %s" % (of_people(mean, len(known)).replace(" people", ""), label)
                                      for mean, label in zip(means[1:, 0], others)]), ".")]
    for i, label in enumerate(others, 1):
        difference = samples[:, 0, 2] - samples[:, i, 2]
        short.append("By NDCG@%d the model's lists are %s." % (
            held.k, _verdict(label, means[0, 2] - means[i, 2], *np.percentile(difference, [2.5, 97.5]))))
    if held.predicted is not None:
        short.append('The model was fitted to predict ratings. For lists fit one with objective="lists".')
    return short, [
        tag("h2", "Lists"), table(["", "people who %s one or more" % took, "found, of all they %s" % took,
                                   "NDCG@%d" % held.k], rows),
        tag("p", "For {:,} people in the test, each with {} recommended items{}. The second column is the share of the "
                 "items a person {} that are in the list (recall). NDCG is 1 if all of them come first.".format(
                     len(known), held.k, "" if fitted.is_counts else
                     "; an item counts as liked if it was rated %g or higher" % held.relevant, took), class_="soft")]


def _errors(fitted, held):
    """Sentences and a table about predicted ratings, beside those of simple averages."""
    matrix, biases = fitted.rating_matrix, biases_of(fitted.rating_matrix)
    u, i = (np.where(at < n, at, -1) for at, n in zip((held.u, held.i), matrix.shape))
    labels = "this model", "the averages of the person and the item alone", "the average of all ratings"
    errors = [np.abs(held.values - np.clip(each, *fitted.rating_scale)).astype(np.float64)
              for each in (held.predicted, biases.at(u, i), np.full(len(u), matrix.mean))]
    sums = np.array([np.bincount(held.numbers, each) for error in errors for each in (error, error ** 2)]
                    + [np.bincount(held.numbers)]).T
    found = np.vstack([sums.mean(axis=0), resampled(sums, np.random.RandomState(0))])
    found = found[:, :-1] / found[:, -1:]
    found[:, 1::2] **= 0.5
    ends = np.percentile(found[1:], [2.5, 97.5], axis=0)
    rows = [[label] + [_with_interval("%.3f", (found[0, j], *ends[:, j])) for j in (2 * row, 2 * row + 1)]
            for row, label in enumerate(labels)]
    difference = found[:, 2] - found[:, 0]
    short = [joined(tag("b", "A predicted rating is off by %.2f on average" % found[0, 0]),
                    " on a scale from %g to %g. That is %s." % (*fitted.rating_scale, _verdict(
                        labels[1], difference[0], *np.percentile(difference[1:], [2.5, 97.5]))))]
    return short, joined(tag("h2", "Predicted ratings"),
                         table(["", "off by, on average (MAE)", "root mean squared error (RMSE)"], rows))


def _verdict(label, difference, low, high):
    """How a model compares with another, by a difference with its interval: higher is better."""
    if low <= 0 <= high:
        return "neither clearly better nor worse than %s (%+.3f; %+.3f to %+.3f)" % (label, difference, low, high)
    return "%s than %s by %.3f (%.3f to %.3f)" % (
        "better" if low > 0 else "worse", label, abs(difference), *sorted((abs(low), abs(high))))


def _with_interval(form, values):
    """A figure and its interval."""
    return joined(form % values[0], tag("small", "\N{EN DASH}".join(form.replace("%%", "") % each
                                                                    for each in values[1:])))


def of_people(share, n):
    """A share of people, such as "4 of 10 people"; their number if there are few."""
    for of in (10, 100, 1000):
        rounded = round(share * of)
        if 2 * of <= n and 0 < rounded < of and abs(rounded / of - share) <= 0.1 * min(share, 1 - share):
            return "{} of {:,} people".format(rounded, of)
    return "{:,} of {:,} people".format(round(share * n), n)


def _took(fitted):
    """The verb for a relevant item."""
    return "took" if fitted.is_counts else "liked"


def _pairs(fitted):
    """The noun for entries of the file."""
    return "pairs" if fitted.is_counts else "ratings"


def _people(fitted, held, name):
    """The section of some people."""
    known = np.flatnonzero((held.listed >= 0) & fitted.users_rated[held.listed])
    drawn = np.sort(np.random.RandomState(0).permutation(known)[:_PEOPLE])
    took, relevant, values = _took(fitted), held.items[held.wanted], held.values[held.wanted]
    yield tag("h2", "%d people" % len(drawn))
    yield tag("p", "Drawn at random. A check mark (\u2713) is a hit: a recommended item that the person %s in the test."
              % took, class_="soft")
    lists = fitted.recommend(held.ids[drawn], held.k) if len(drawn) else []
    for place, found in zip(drawn, lists):
        user, mine = held.ids[place], held.whose == place
        had = fitted.rating_matrix.of_users(held.listed[[place]])
        hits = set(relevant[mine]) & set(found.items)
        predicted = [""] * held.k if held.predicted is None else ["%.1f" % each for each in found.scores]

        def entries(items, said, hits=hits):
            return [tag("li", "\u2713 " if item in hits else "", name(item), " ", tag("span", each, class_="soft"),
                        **{"class_": "hit"} if item in hits else {}) for item, each in zip(items, said)]

        def most(items, values, hits=hits, entries=entries):
            order = np.lexsort((-values, [item not in hits for item in items]))[:_MOST]
            more = len(items) - len(order)
            return joined(tag("ul", *entries(items[order], [_amount(fitted, values[each]) for each in order])),
                          tag("small", "and {:,} more".format(more)) if more else "")

        reason = _reason(fitted, user, found.items)
        yield tag("div", tag("h3", name_of(user)), tag(
            "div",
            tag("div", tag("h4", "had, {:,} in all".format(had.nnz)), most(fitted.items[had.indices], had.data)),
            tag("div", tag("h4", "would get" + (", predicted" if held.predicted is not None else "")),
                tag("ol", *entries(found.items, predicted)),
                "" if reason is None else tag("small", "the first mainly because of ", name(reason))),
            tag("div", tag("h4", "%s in the test" % took), most(relevant[mine], values[mine])), class_="columns"),
            class_="person")


def _amount(fitted, value):
    """A rating, or a count above 1."""
    if not fitted.is_counts:
        return "%g" % value
    count = round(float(np.exp2(value))) - 1
    return "\N{MULTIPLICATION SIGN} {:,}".format(count) if count > 1 else ""


def _reason(fitted, user, items):
    """The item of a user that speaks most for the first of the recommended ones, or None."""
    if not len(items) or items[0] not in set(fitted.items[fitted.items_rated]):
        return None
    found = fitted.explain(user, items[0])
    return found.items[0] if found.parts[0] > 0 else None


def _catalogue(held, items, coverage, name):
    """The section of items: which are on lists, and which never are."""
    n = np.bincount(held.lists[held.lists >= 0], minlength=len(held.candidates))
    share, items = held.popularity[held.candidates], items[held.candidates]
    most, never = np.argsort(-n, kind="stable")[:_MOST], np.flatnonzero(n == 0)
    never = never[np.argsort(-share[never], kind="stable")[:_MOST]]
    yield tag("h2", "Items")
    yield tag("p", tag("b", "The lists of these {:,} people show {:,} of {:,} items ({:.0%})".format(
        len(held.lists), np.count_nonzero(n), len(n), coverage)), ". The {} that are recommended most often take "
        "{:.0%} of the places.".format(len(most), n[most].sum() / max(1, n.sum())))
    yield table(["recommended most often", "on lists", "people who had it"], [
        (name(items[each]), "{:.1%}".format(n[each] / len(held.lists)), "{:.1%}".format(share[each])) for each in most])
    if len(never):
        yield table(["on none of the lists, the most popular first", "people who had it"], [
            (name(items[each]), "{:.1%}".format(share[each])) for each in never])


def _pictures(fitted, held):
    """The section of plots."""
    yield tag("h2", "Training and calibration")
    drawn = []
    history = [record for record in fitted.history if not record.get("refit")]  # others have no held-out ratings
    if history:
        drawn.append(("Learning curves: how good the models were after each epoch", (6, 4),
                      lambda ax: plots.learning_curves(history, ax=ax)))
    if held.predicted is not None:
        drawn.append(("Calibration: the mean of the ratings against the mean of their predictions", (4.5, 4.5),
                      lambda ax: plots.calibration(held.values, held.predicted, ax=ax)))
    try:
        for described, size, draw in drawn:
            yield tag("figure", tag("figcaption", described), picture(draw, size, described))
    except ImportError as error:
        yield tag("p", "There are no pictures: matplotlib can't be imported (%s). pip install matplotlib" % error)
    if not fitted.history:
        yield tag("p", "All models have closed forms, which are solved at once: there are no learning curves.")


def _file(fitted, held):
    """The section of the file: its size, and the parts that are left out."""
    n_users, n_items = (len(distinct(ids)[0]) for ids in (held.users, held.items))
    unknown = [len(distinct(ids[at < 0])[0]) for ids, at in ((held.users, held.u), (held.items, held.i))]
    facts = [("people whom the model doesn't know", unknown[0], "their lists are empty, and count as misses"),
             ("items that the model doesn't know", unknown[1], "not recommended, they count as misses"),
             ("%s that the model was trained on" % _pairs(fitted), held.n_trained,
              "not recommended again, they count as misses: leave them out of the file"),
             ("people without an item that they %s" % _took(fitted), n_users - len(held.ids), "no list is judged"),
             ("ratings below %g" % held.relevant, len(held.values) - np.count_nonzero(held.wanted), "no hits")]
    yield tag("h2", "The file of the test")
    size = "{:,}, of {:,} people and {:,} items".format(len(held.values), n_users, n_items)
    yield table([], [(_pairs(fitted), size)] + [(fact, "{:,}: {}".format(n, remark) if n else "0")
                                                for fact, n, remark in facts[:5 - fitted.is_counts]], class_="facts")
