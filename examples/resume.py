"""What if the training is killed?

    python examples/resume.py                       # MovieLens 100K
    python examples/resume.py --data ratings.csv    # your ratings

With a checkpoint and resume=True the same program continues after the last finished epoch, and ends as if it had not
been killed. Here a training runs three times in its own process: to its end; killed on the way; and again. Then the
parameters of the first and the last run are compared bit for bit.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import sparse_ae


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FILE", help="your ratings (default: MovieLens 100K)")
    parser.add_argument("--epochs", type=int, default=60, metavar="N", help="epochs of the training (default: 60)")
    parser.add_argument("--train", metavar="NAME", help=argparse.SUPPRESS)  # what the processes are started with
    args = parser.parse_args(argv)
    if args.train:
        return train(args.data, args.epochs, args.train)

    with tempfile.TemporaryDirectory(prefix="resume-") as folder:
        command = [sys.executable, __file__, "--epochs", str(args.epochs)] + ["--data", args.data] * bool(args.data)
        whole, killed = (str(Path(folder, name)) for name in ("whole", "killed"))
        epochs, _ = run(command + ["--train", whole])
        print("left alone: epochs %d to %d" % (epochs[0], epochs[-1]))
        epochs, status = run(command + ["--train", killed], kill_after=args.epochs // 3)
        print("killed:     epochs %d to %d, exit status %d" % (epochs[0], epochs[-1], status))
        epochs, _ = run(command + ["--train", killed])
        print("run again:  epochs %d to %d" % (epochs[0], epochs[-1]))
        compare(*(sparse_ae.Recommender.load(name + ".npz") for name in (whole, killed)))


def train(data, n_epochs, name):
    """The program that is killed. It is the same for the first run and later ones."""
    ratings = sparse_ae.load_ratings(data) if data else sparse_ae.movielens("100k").ratings
    # One training, of items; there would be others of users, and of all ratings, each with a checkpoint of its own.
    recommender = sparse_ae.Recommender(rows="items", n_epochs=n_epochs, patience=None, rng=0, progress=False)
    recommender.fit(ratings, checkpoint=name + ".checkpoint", resume=True, refit=False,
                    on_epoch=lambda record: print(record["epoch"], flush=True))
    recommender.save(name + ".npz")


def run(command, kill_after=None):
    """Run a command that prints the number of each epoch, killed after one: the numbers and the exit status."""
    epochs = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, universal_newlines=True) as process:
        for line in process.stdout:
            epochs.append(int(line))
            if epochs[-1] == kill_after:
                process.kill()  # SIGKILL; on Windows TerminateProcess
    if (process.returncode == 0) != (kill_after is None):
        sys.exit("the training ended with exit status %d%s" % (
            process.returncode, "" if kill_after is None else " before it was killed; give it more --epochs"))
    return epochs, process.returncode


def compare(whole, resumed):
    """Print whether two recommenders are equal, bit for bit."""
    for one, other in zip(whole.model_.params, resumed.model_.params):
        name, one, other = one.name, one.get_value(), other.get_value()
        verdict = "the same %d bytes" % one.nbytes if one.tobytes() == other.tobytes() else "DIFFERENT"
        print("%-3s %-12s %s" % (name, "x".join(map(str, one.shape)), verdict))
    errors = [[record["validation_rmse"] for record in each.history_] for each in (whole, resumed)]
    print("validation RMSE of all %d epochs: %s; the last: %.4f"
          % (len(errors[0]), "the same" if errors[0] == errors[1] else "DIFFERENT", errors[1][-1]))


if __name__ == "__main__":
    main()
