"""How do I fit a shop's model each night? The new one replaces yesterday's, unless it recommends worse.

    python examples/nightly.py orders.csv shop.npz --item-features articles.csv

Yesterday's model is compared with one of all orders before the last day, by what customers bought on that day for the
first time. Then a model is fitted with all orders. The exit status is 2 for an error, 3 if the new model was worse, and
4 if another run is at work; yesterday's model stays then.
"""
import argparse
import fcntl
import logging
import os
import sys
from pathlib import Path
from typing import Any, Dict

import sparse_ae
from sparse_ae.evaluation import compare_lists

SETTINGS: Dict[str, Any] = dict(objective="clicks", rng=0, progress=sys.stderr.isatty())
FEWEST = 20  # customers of the last day: what fewer of them buy doesn't tell which model is worse
log = logging.getLogger("nightly")


def fit(orders, **arguments):
    made = sparse_ae.Recommender(**SETTINGS).fit(orders, **arguments)
    if made.interrupted_:
        raise KeyboardInterrupt
    log.info("fitted with %d pairs of %d customers and %d articles", len(orders), *orders.matrix.shape)
    return made


def write_lists(made, path, new):
    made.recommend(made.users_, new=new).to_frame().to_csv(path + ".part", index=False)  # needs pandas
    os.replace(path + ".part", path)  # readers see a whole file
    log.info("%s has ten articles for each of %d customers", path, len(made.users_))


def run(orders, model, lists, new, **arguments):
    # Returned goods are taken off what was bought.
    bought = sparse_ae.load_ratings(orders, pairs=True, duplicates="sum", returns="drop")
    if Path(model).exists():
        if bought.timestamps is None:
            raise ValueError("%s has no dates; expected a column such as order_date, as 2024-05-31" % orders)
        midnight, present = bought.timestamps.max() // 86400 * 86400, sparse_ae.Recommender.load(model)
        before, last_day, *_ = sparse_ae.split_by_time(bought, at=midnight)  # as orders were then; what was new
        old = present.evaluate(last_day, per_user=True)
        if not old["recall"].any() and present.evaluate(last_day)["n_trained"] == len(last_day):
            log.info("%s stays: it knows all purchases", model)  # which are never hits
            return 0
        now = fit(before, **arguments).evaluate(last_day, per_user=True)
        mean, low, high = compare_lists(now, old)["ndcg"]
        log.info("last day, %d customers: NDCG@10 %.3f, yesterday's model %.3f",
                 len(now["user"]), now["ndcg"].mean(), old["ndcg"].mean())
        log.info("the difference is %.3f (%.3f to %.3f)", mean, low, high)
        if high < 0 and len(now["user"]) >= FEWEST:  # the whole interval of 95%
            log.error("%s stays: the new model is worse", model)
            return 3
    made = fit(bought, **arguments)
    made.save(model)  # writes another file and renames it: readers see the old model or the new one
    log.info("%s is new", model)
    if lists is not None:
        write_lists(made, lists, new)
    return 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", help="the file of all orders")
    parser.add_argument("model", help="the file of the model, made in the first night")
    parser.add_argument("--item-features", help="a file of articles: new ones are recommended by their attributes")
    parser.add_argument("--user-features", help="a file of customers: new ones get recommendations by their attributes")
    parser.add_argument("--seconds", type=float, help="for each of the two fits (default: no limit)")
    parser.add_argument("--lists", help="a CSV file to write: ten articles for each customer, if the model is new")
    parser.add_argument("--new", type=int, help="how many of the ten are new articles (default: their share of late)")
    parsed = parser.parse_args(arguments)
    if parsed.new is not None and not (parsed.lists and parsed.item_features):
        parser.error("--new needs --lists and --item-features")
    try:
        with open(parsed.model + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends, however it does
            return run(**vars(parsed))
    except BlockingIOError:
        log.error("another run is at work: %s.lock is locked", parsed.model)
        return 4
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 2


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%F %T", stream=sys.stdout)
    log.setLevel(logging.INFO)
    sys.exit(main())
