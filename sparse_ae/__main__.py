"""``python -m sparse_ae``: what runs here, as a bug report needs it; and a recommender from files, without a program.

    python -m sparse_ae fit ratings.csv -o model.npz
    python -m sparse_ae recommend model.npz --user 42
    python -m sparse_ae evaluate model.npz held_out.csv

A command is a parser and a function of its parsed arguments, and does no more than call the library.
"""

import argparse
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys

import numpy as np

import sparse_ae
from sparse_ae import theano_compat

__all__ = ["info", "main"]

_REQUIRED = ("Theano", "Lasagne", "numpy", "scipy", "tqdm", "pooch")
_OPTIONAL = ("matplotlib", "pygpu")


def info():
    """What a bug report needs.

    Returns
    -------
    text : str
        A line "name: value" for each fact, then a line for each thing that is missing, which says what to do.
    """
    facts = [("sparse_ae", sparse_ae.__version__), ("python", "%s, %s" % (platform.python_version(), sys.executable))]
    missing = []
    for name in _REQUIRED + _OPTIONAL:
        version = _version(name)
        facts.append((name, version or "not installed"))
        if version is None and name in _REQUIRED:
            missing.append("%s: pip install . in sparse_ae's folder brings it" % name)
        if version is None and name == "matplotlib":
            missing.append("matplotlib, for figures: pip install matplotlib")
    facts += [("platform", platform.platform()), ("cores", _cores())]
    facts += [(name, os.environ.get(name, "not set")) for name in ("OMP_NUM_THREADS", "THEANO_FLAGS", "THEANORC")]
    facts += _theano_facts(missing)
    facts.append(("data cache", _data_cache()))
    lines = ["%s: %s" % fact for fact in facts]
    lines += ["missing: %s" % each for each in missing] or ["missing: nothing"]
    return "\n".join(lines)


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores():
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "%s usable of %s" % (usable, os.cpu_count())


def _data_cache():
    try:
        from sparse_ae.data.download import cache_folder
        return cache_folder()
    except ImportError as error:
        return "unknown (%s)" % error


def _theano_facts(missing):
    # What Theano logs while it is imported is said below in its place.
    logging.disable(logging.ERROR)
    try:
        import theano
    except Exception as error:
        missing.append("a theano that can be imported (%s: %s)" % (type(error).__name__, error))
        return []
    finally:
        logging.disable(logging.NOTSET)
    config = theano.config
    return [
        ("device", _device(config.device, missing)),
        ("floatX", config.floatX),
        ("compiler", _compiler(config.cxx, missing)),
        ("OpenMP", _openmp(config.cxx, missing)),
        ("BLAS", _blas(config.blas.ldflags)),
        ("base_compiledir", config.base_compiledir),
    ]


def _device(device, missing):
    if device == "cpu":
        return device
    from theano.gpuarray import pygpu_activated
    if not pygpu_activated:
        missing.append("the GPU: Theano cannot use device=%s. The README's part on GPUs says what that takes" % device)
    return "%s, %s" % (device, "in use" if pygpu_activated else "not usable: everything runs on the CPU")


def _compiler(cxx, missing):
    folder, found = theano_compat.python_headers()
    if cxx:
        said = subprocess.run([cxx, "--version"], stdout=subprocess.PIPE, universal_newlines=True).stdout
        return "%s, %s" % (cxx, said.partition("\n")[0])
    if not theano_compat.any_compiler():
        missing.append(theano_compat.NO_COMPILER)
    elif not found:
        missing.append(theano_compat.NO_HEADERS.format(folder=folder))
    else:
        return "switched off by Theano's flag cxx"
    return "none"


def _openmp(cxx, missing):
    from theano.gof import OpenMPOp
    if not cxx:
        return "not without a compiler"
    if OpenMPOp.test_gxx_support():
        return "yes"
    missing.append("OpenMP, to use more than one core: %s does not compile with -fopenmp" % cxx)
    return "no"


def _blas(ldflags):
    build = getattr(np.__config__, "CONFIG", None)  # since NumPy 1.26
    if build is not None:
        blas = "{name} {version}".format(**build["Build Dependencies"]["blas"])
    else:
        found = [np.__config__.get_info(name).get("libraries", []) for name in ("blas_opt", "blas_ilp64_opt")]
        blas = " ".join(sorted({name for libraries in found for name in libraries})) or "unknown"
    return "Theano links %s; NumPy's is %s" % (ldflags or "none and calls NumPy's", blas)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse prints the usage first."""

    def error(self, message):
        self.exit(2, "%s: error: %s (%s --help says more)\n" % (self.prog, message, self.prog))


def main(arguments=None):
    """Runs a command; without one, ``info``.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the command line by default.

    Raises
    ------
    SystemExit
        With status 2, and one line on stderr, for arguments, files and ratings that can't be used.
    """
    parser = _Parser(prog="python -m sparse_ae", description="Sparse autoencoders for collaborative filtering.")
    parser.set_defaults(run=_run_info)
    parser.add_argument("--version", action="version", version="sparse_ae " + sparse_ae.__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser("info", help="what runs here, as a bug report needs it (the default)")
    _add_fit(commands)
    _add_recommend(commands)
    _add_evaluate(commands)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except (ArithmeticError, ImportError, OSError, TypeError, ValueError) as error:
        parser.exit(2, "%s: error: %s\n" % (parser.prog, " ".join(str(error).split())))


def _run_info(parsed):
    print(info())


# What `fit` takes of Recommender's settings: name, type, help.
_SETTINGS = [
    ("n_hidden", int, "hidden units"),
    ("rows", str, "what is reconstructed: items or users"),
    ("f", str, "output nonlinearity, of lasagne.nonlinearities"),
    ("g", str, "hidden nonlinearity"),
    ("l2", float, "weight decay; or two numbers, of W and of V"),
    ("weight_scale", float, "standard deviation of the first weights"),
    ("update", str, "optimiser, of lasagne.updates"),
    ("learning_rate", float, "of the optimiser"),
    ("batch_size", int, "rows in a mini-batch; 0 for all at once"),
    ("n_epochs", int, "at most so many; without validation exactly so many"),
    ("patience", int, "epochs without a better validation RMSE before training ends; else 10, or 200 mini-batches"),
]


def _add_fit(commands):
    parser = commands.add_parser("fit", help="learn from a file of ratings, and save what was learned",
                                 description="Learn from a file of ratings: user, item, rating in each line, or any "
                                             "other form that load_ratings reads.")
    parser.add_argument("ratings", help="the file")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL", help="the file to write, by convention .npz")
    parser.add_argument("--validation", type=float, default=0.1, metavar="FRACTION",
                        help="of the ratings, to stop early on; 0 for none (default: %(default)s)")
    parser.add_argument("--rating-scale", type=float, nargs=2, metavar=("LOWEST", "HIGHEST"),
                        help="default: that of the ratings")
    parser.add_argument("--unknown", default="mean", metavar="RATING",
                        help="what is predicted for unknown users and items: a number, mean or error (default: mean)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="keep a checkpoint in this file, and go on from it if it is there")
    settings = parser.add_argument_group("settings", "those of Recommender, with its defaults")
    for name, kind, text in _SETTINGS:
        settings.add_argument("--" + name.replace("_", "-"), type=kind, help=text, nargs="+" if name == "l2" else None)
    parser.set_defaults(run=_run_fit)


def _run_fit(parsed):
    from sparse_ae.data.files import load_ratings
    from sparse_ae.recommender import Recommender
    from sparse_ae.storage import check_destination, check_replaceable
    check_destination(parsed.output)
    check_replaceable(parsed.output)
    settings = {name: getattr(parsed, name) for name, _, _ in _SETTINGS if getattr(parsed, name) is not None}
    if "l2" in settings:
        settings["l2"] = settings["l2"][0] if len(settings["l2"]) == 1 else tuple(settings["l2"])
    if settings.get("batch_size") == 0:
        settings["batch_size"] = None
    recommender = Recommender(rating_scale=parsed.rating_scale and tuple(parsed.rating_scale), rng=parsed.seed,
                              unknown=_number_or_word(parsed.unknown), **settings)
    ratings = load_ratings(parsed.ratings)
    recommender.fit(ratings, validation=parsed.validation or None, checkpoint=parsed.checkpoint,
                    resume=parsed.checkpoint is not None)
    recommender.save(parsed.output)
    print("%d ratings from %g to %g, %d users, %d items"
          % ((ratings.matrix.nnz,) + recommender.rating_scale_ + ratings.matrix.shape))
    best = recommender.history_[recommender.best_epoch_ - 1]
    validation = "" if best["validation_rmse"] is None else ", validation RMSE %.4f" % best["validation_rmse"]
    print("epoch %d of %d: training RMSE %.4f%s"
          % (recommender.best_epoch_, len(recommender.history_), best["train_rmse"], validation))
    print("saved to %s" % parsed.output)


def _number_or_word(text):
    try:
        return float(text)
    except ValueError:
        return text


def _add_recommend(commands):
    parser = commands.add_parser("recommend", help="the best items for some users, by a saved model",
                                 description="Print the best items for some users: item and predicted rating, the user "
                                             "before them if there are several, separated by tabs.")
    parser.add_argument("model", help="what fit has written")
    parser.add_argument("--user", required=True, nargs="+", metavar="ID")
    parser.add_argument("-n", type=int, default=10, help="how many (default: %(default)s)")
    parser.add_argument("--items", nargs="+", metavar="ID", help="recommend from these only")
    parser.add_argument("--include-seen", action="store_true", help="recommend what a user has rated, too")
    parser.set_defaults(run=_run_recommend)


def _run_recommend(parsed):
    from sparse_ae.recommender import Recommender
    recommender = Recommender.load(parsed.model)
    users = _ids(parsed.user, recommender.users_, "user")
    items = None if parsed.items is None else _ids(parsed.items, recommender.items_, "item")
    found = recommender.recommend(users, n=parsed.n, exclude_seen=not parsed.include_seen, items=items)
    for user, (items, scores) in zip(parsed.user, found):
        for item, score in zip(items.tolist(), scores.tolist()):
            print("\t".join(([user] if len(parsed.user) > 1 else []) + [str(item), "%.4f" % score]))


def _ids(words, known, name):
    """Ids as the model has them: numbers, or strings."""
    if known.dtype.kind == "U":
        return words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise ValueError("%s %s: the ids of %ss in this model are numbers, such as %d"
                         % (name, ", ".join(words), name, known[0])) from None


def _add_evaluate(commands):
    parser = commands.add_parser("evaluate", help="how well a saved model predicts held-out ratings",
                                 description="Print the errors and the measures of ranking on a file of held-out "
                                             "ratings; Recommender.evaluate says what they are.")
    parser.add_argument("model", help="what fit has written")
    parser.add_argument("ratings", help="a file of ratings that were not in the file for fit")
    parser.add_argument("-k", type=int, default=10,
                        help="length of the ranked lists; 0 for none (default: %(default)s)")
    parser.add_argument("--relevant", type=float, metavar="RATING",
                        help="from which an item is relevant (default: three quarters up the scale)")
    parser.set_defaults(run=_run_evaluate)


def _run_evaluate(parsed):
    from sparse_ae.data.files import load_ratings
    from sparse_ae.recommender import Recommender
    recommender = Recommender.load(parsed.model)
    ratings = load_ratings(parsed.ratings)
    users, items = (ids.astype(str) if known.dtype.kind == "U" else ids  # all numbers in this file, but not in fit's
                    for ids, known in ((ratings.users, recommender.users_), (ratings.items, recommender.items_)))
    measures = recommender.evaluate(ratings._replace(users=users, items=items), k=parsed.k or None,
                                    relevant=parsed.relevant)
    for name, value in measures.items():
        print("%s: %s" % (name, value if isinstance(value, int) else "%.4f" % value))


if __name__ == "__main__":
    main()
