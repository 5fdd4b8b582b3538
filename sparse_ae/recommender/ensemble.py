"""Top-N recommendations by an ensemble, weighted by rankings of validation users: docs/explanation/blend.md."""
import time

import numpy as np

from sparse_ae.checks import check_number
from sparse_ae.recommender.defaults import bounded
from sparse_ae.recommender.fit_result import FitResult
from sparse_ae.recommender.guard import standard_score
from sparse_ae.recommender.members import CLOSED, AutoencoderMember, ClosedForm
from sparse_ae.recommender.settings import as_line, label_of, validation_line
from sparse_ae.recommender.side_trainer import SideTrainer
from sparse_ae.recommender.weights import by_strata, ensemble_metric, greedy_weights, pooled
from sparse_ae.runtime.interrupts import sigint_as_flag
from sparse_ae.runtime.processors import in_threads
from sparse_ae.scoring.ranking import top_n
from sparse_ae.scoring.ranking_ensemble import RankingEnsemble, mean_weight, weight_line
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.training.patience import AT_FIRST


def check_ensemble(factory, seconds, on_disk):
    """Whether a fit is an ensemble's: with a closed form as network, and with "lists" and "clicks" if rows="auto",
    biases aren't False and ratings are in memory."""
    only, objective = factory.closed_form, factory.settings["objective"]
    if only is not None and factory.objective.clips:
        raise ValueError("network is %r and objective %r; expected objective='lists' or 'clicks': this network ranks "
                         "items, and predicts no ratings" % (only, objective))
    by_name = isinstance(objective, str) and objective in ("lists", "clicks") and factory.settings["rows"] == "auto"
    ensemble = only is not None or (by_name and not on_disk and factory.residual_mode)
    if seconds is not None:
        check_number(seconds, "seconds", alternative=", or None for no limit")
        if not ensemble or factory.ranks.size > 1:
            raise ValueError("seconds is %r; expected None: a limit needs objective='lists' or 'clicks', rows='auto', "
                             "and ratings in the memory of one process" % (seconds,))
    return ensemble


class Budget:
    """Seconds for a fit since `begun`, without a limit by default. `costs` are the seconds that each member, by name,
    took to be fitted and judged; as many are put aside to fit it again. `to_come` is the number of forms to fit yet."""

    def __init__(self, seconds=None, begun=0.0):
        self._end, self.costs, self.to_come = np.inf if seconds is None else begun + seconds, {}, 0

    @property
    def left(self):
        """The seconds that are left; infinitely many without a limit."""
        return self._end - time.monotonic()

    def free(self, names=None):
        """The seconds that are left beside those put aside for some members, by default all."""
        return self.left - sum(self.costs[name] for name in (self.costs if names is None else names))

    def allows(self, n_forms, seconds=0.0):
        """Whether time is left to fit n more forms twice, by the median of the costs, and for more seconds."""
        return self.free() >= 2 * n_forms * np.median(list(self.costs.values())) + seconds


def fit_ensemble(factory, data, rng, run, refit, budget):
    """Fit members, weigh them, and fit those with a weight again on all ratings: a `FitResult`. The `Budget` tells what
    is left out; `run` goes on to `Trainer.fit`."""
    fit, problem = _EnsembleFit(factory, data, rng, run, budget), data.problem
    members, lists, found = fit.closed_forms(), fit.lists, None
    if lists is None:
        weights = _shares(members, "initial_weight")
    elif len(members) == 1:
        simplest = fit_closed(CLOSED["popular"], fit.train, problem.missing_rating)
        judge, judged = fit.judge(), {each.name: each for each in [simplest] + members}
        weights, found = [1.0], {name: float(judge(each).mean()) for name, each in judged.items()}
    else:
        members, weights, values, value = fit.with_autoencoders(members)
        found = dict(zip([each.name for each in members], values), blend=value)
    ensemble, counts = RankingEnsemble(members, weights, fit.train), problem.ratings.counts[0]
    if not fit.interrupted:
        _tell(factory, fit.lists, ensemble, counts, found)
    weights = dict.fromkeys([each.side for each in fit.trained], 0.0)
    weights.update((each.name, mean_weight(of_member, counts)) for each, of_member in zip(members, ensemble.weights))
    used, of_used = zip(*ensemble.used())
    members, more = fit.for_all_ratings(used, refit)
    history = [record for each in fit.trained for record in each.history] + more
    scorer = RankingEnsemble(members, of_used, problem.ratings.by("users"))
    return FitResult.of(problem, scorer, history,
                        next((each.epoch for each in fit.trained if weights[each.side]), 0),
                        {each.side: each.choice for each in fit.trained}, fit.objective,
                        validation_lists=found, weights=weights, interrupted=fit.interrupted)


class _EnsembleFit:
    """The data and time of a fit, the autoencoders `trained` so far, and whether Ctrl-C came."""

    interrupted = False

    def __init__(self, factory, data, rng, run, budget):
        self.factory, self.data, self.problem, self.objective = factory, data, data.problem, factory.objective.at(0.0)
        self.lists, self.train, self.trained = data.list_validation(), data.train.by("users"), []
        self._run, self._budget, sides = run, budget, data.problem.sides
        self._seeds = [dict(zip(sides, seeds)) for seeds in rng.randint(2 ** 31 - 1, size=(2, len(sides)))]

    def closed_forms(self):
        """Fit the closed forms while there is time: a list of members."""
        only, factory, missing_rating, members = self.factory.closed_form, self.factory, self.problem.missing_rating, []
        # Rankings are evaluated by the highest ratings; counts are compressed by a logarithm.
        powers = (1, 0, 2) if self.objective.counts else (2, 1)
        forms = [CLOSED[only]] if only else [
            form for form in CLOSED.values()
            if self.train.shape[1] <= form.most_items and not (form.centred and not np.ptp(self.train.data))]
        if not only:
            factory.tell("to fit: %s, and an autoencoder" % ", ".join(form.name for form in forms))
        for k, form in enumerate(forms):
            if k > 1 and not self._budget.allows(1):  # the most popular items and EASE are always there
                factory.tell("no time is left for %s" % ", ".join(each.name for each in forms[k:]))
                break
            self._budget.to_come = len(forms) - k - 1
            # A form without an initial weight gets one only if it is among the best by itself.
            judge = self.judge([each for each in members if each.initial_weight and form.initial_weight])
            with factory.announced("%s, %d of %d: fitting ..." % (form.name, k + 1, len(forms))):
                member = fit_closed(form, self.train, missing_rating, powers, judge, self._budget)
            if len(powers) > 1 and member.knob is not None:  # EASE's, or local EASE's, for all
                powers = member.values.power,
            members.append(member)
        return members

    def judge(self, beside=()):
        """A function from a member to the metric of each validation user, (n,), for its sum with members `beside`."""
        lists, train = self.lists, self.train
        if lists is None:
            return None
        others = RankingEnsemble(beside, [each.initial_weight for each in beside], train)
        blocks = others.blocks(lists.users)
        before = [others.grid(block) for block in blocks] if beside else [np.float32(0)] * len(blocks)

        def judge(member):
            alone = RankingEnsemble([member], [member.initial_weight or 1.0], train)

            def of_block(part):
                block, scores_before = part
                return top_n(alone.unseen(block) + scores_before, lists.k, lists.popularity)

            best = np.concatenate(list(in_threads(of_block, list(zip(blocks, before)))))
            return lists.by_user(best)

        return judge

    def with_autoencoders(self, members):
        """Weigh closed forms, and train an autoencoder of users, else of items, while there is time: the members, their
        weights by `STRATA`, each one's metric, and the ensemble's."""
        factory, data, n_closed = self.factory, self.data, len(members)
        pool, weighed = self._weighed(members, n_closed)
        for side in sorted(self.problem.sides, reverse=True):  # users first
            if self.interrupted or any(weighed[0][n_closed:]):
                break
            begun, used = time.monotonic(), [each.name for each, weight in zip(members, weighed[0]) if weight]
            seconds = self._budget.free(used + ["weights"]) / 2  # a training on all ratings takes as long
            if seconds < max(self._budget.costs.values()):  # autoencoders are the slowest
                factory.tell("%s as rows: no time is left for an autoencoder" % side)
                break
            trainer = SideTrainer(factory, data.of_side(side, data.biases_under()), self._seeds[0][side], self._run)
            choice = bounded(factory, trainer.choice, trainer.ratings, side)
            if choice is None:
                factory.tell("%s as rows: an autoencoder with %d columns takes too long, and is left out; rows=%r "
                             "trains one" % (side, trainer.n_columns, str(side)))
                continue
            trainer.say(choice)
            # A model improves an ensemble only when it is good itself.
            least = AT_FIRST * choice.patience if factory.is_auto("patience") else 1
            with factory.until_ctrl_c(members) as ended:
                trained = trainer.train(choice, lambda scorer, beside=(pool, weighed[0]), least=least: ensemble_metric(
                    *beside, self._member(scorer), self.train, least), seconds=None if np.isinf(seconds) else seconds)
            if ended:
                self.interrupted = True
                break
            self.trained.append(trained)
            after = sum(record["seconds"] for record in trained.history[trained.epoch:])
            self._budget.costs[side] = time.monotonic() - begun - after
            with sigint_as_flag() as late:
                if not trained.error and trained.epoch:
                    members = members + [self._member(trained.scorer)]
                    pool, weighed = self._weighed(members, n_closed)
                elif not trained.interrupted and not trained.error:
                    factory.tell("%s as rows: no epoch improves the ensemble" % side)
            self.interrupted = trained.interrupted or factory.ranks.any(late)
        weights, value = by_strata(pool, weighed[0])
        return members, weights, weighed[1], value

    def _weighed(self, members, n_closed):
        begun, pool = time.monotonic(), pooled(members, self.train, self.lists)
        first, short = (_shares(members, name) for name in ("initial_weight", "short_weight"))
        weighed = greedy_weights(pool, first, short, range(n_closed, len(members)))
        self._budget.costs["weights"] = time.monotonic() - begun
        return pool, weighed

    def _member(self, scorer):
        return AutoencoderMember(scorer, self.objective, self.problem.missing_rating)

    def for_all_ratings(self, members, refit):
        """The members with all ratings, fitted again if `refit` until Ctrl-C comes; and the epochs that this took."""
        data, everything, found, history = self.data.whole(), self.problem.ratings, [], []
        ratings, biases = everything.by("users"), data.biases_under()

        def for_all(member, refit):
            refit = refit and self._budget.costs[member.name] <= self._budget.left
            if isinstance(member, ClosedForm):
                with self.factory.announced("%s: fitting again on all ratings ..." % member.name):
                    return member.refitted(ratings) if refit else member.knowing(ratings)
            side, model = member.name, member.scorer.model
            best = next(each for each in self.trained if each.side == side)
            if refit:
                again = SideTrainer(self.factory, data.of_side(side, biases), self._seeds[1][side],
                                    self._run).again(best.choice, best.rates)
                history.extend(again.history)
                self.interrupted = again.interrupted
                if not again.error and not again.interrupted:
                    model = again.model
            return self._member(Scorer(model, everything, side, data.targets(biases, side)))

        for member in members:
            with self.factory.until_ctrl_c(members) as ended:
                found.append(for_all(member, refit and not self.interrupted))
            if ended:
                self.interrupted = True
                found.append(for_all(member, False))
        return found, history


def _shares(members, name):
    """The members' weights of this name, with the sum 1; equal ones if all are 0."""
    weights = np.array([getattr(each, name) for each in members])
    return (weights / weights.sum() if weights.any() else np.full(len(members), 1.0 / len(members))).tolist()


def _tell(factory, lists, ensemble, counts, found):
    """Report the results of validation, what is used, and the settings of closed forms that were chosen."""
    used = ", ".join("%s of %s" % (weight_line(weights, counts), label_of(each.name))
                     for each, weights in ensemble.used())
    settings = "; ".join("%s: %s" % (each.name, as_line(each.chosen)) for each in ensemble.members
                         if isinstance(each, ClosedForm) and each.knob is not None)
    if found is not None:
        factory.tell(validation_line(lists.metric.label, found))
    factory.tell("%srankings use %s%s" % ("" if found else "without validation ", used,
                                          " (%s)" % settings if settings else ""))


def fit_closed(form, ratings, missing_rating, powers=(2, 1), judge=None, budget=None):
    """Fit a class of `members.CLOSED` with the knob and the power of ratings that rank best by a `judge` of
    `_EnsembleFit`, without it by the first ones; others are tried if a `Budget` has time beside the forms to come."""
    budget, begun = budget or Budget(), time.monotonic()

    def system_of(power):
        values = form.values_of(ratings, missing_rating, power)
        system = form.system(values(ratings))
        return system, lambda knob: form(form.solve(system, knob), values, knob, ratings)

    system, made = system_of(powers[0])
    if judge is not None and form.factor:
        form.expect(system, [form.first_knob, form.first_knob * form.factor, form.first_knob / form.factor])
    best = made(form.bounded(system, form.first_knob))
    of_users = None if judge is None or best.knob is None else judge(best)
    budget.costs[form.name] = time.monotonic() - begun
    if of_users is None:
        return best.rounded()

    def tried(make, knob):
        begun, other = time.monotonic(), make(knob)
        its_users = judge(other)
        budget.costs[form.name] = max(budget.costs[form.name], time.monotonic() - begun)
        return other, its_users

    def is_time_left():
        return budget.allows(budget.to_come, form.growth * budget.costs[form.name])

    for factor in (form.factor, 1 / form.factor):
        start = best
        while is_time_left():
            knob = form.bounded(system, best.knob * factor)
            if knob == best.knob:
                break
            other, its_users = tried(made, knob)
            if not standard_score(its_users - of_users) > form.worth:
                break
            best, of_users = other, its_users
        if best is not start:  # the other way leads back
            break
    for power in powers[1:] if not form.centred and np.ptp(ratings.data) else ():
        if not is_time_left():
            break
        other, its_users = tried(lambda knob, power=power: system_of(power)[1](knob), best.knob)
        if its_users.mean() > of_users.mean():
            best, of_users = other, its_users
    return best.rounded()
