"""Damaged files, by the thousand: ``python tests/fuzz/files.py FIRST_SEED LAST_SEED KIND ...``.

Each seed is a file of some kind with something wrong in it. What reads it has to say so, in an error that names the
file; or give what the file gave before; or, where there is no checksum, other ratings in their one form. Anything else
ends this process with the seed on stderr: another exception, a hang of 20 seconds, a crash, or other ratings out of a
file with a checksum.
"""
import bz2
import functools
import gzip
import json
import lzma
import sys
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp
from damage import damaged, other_array, other_json
from driver import drive, say
from matrices import as_bytes, replace_array, sealed, zipped

from sparse_ae.data import check_ratings, stores
from sparse_ae.data.datasets import movielens
from sparse_ae.data.load import load_ratings
from sparse_ae.files import storage

# Kinds of files


#: A kind of file: its name, `write` writes a sound one to a path, `change(path, rng)` changes that, `read` gives what
#: it says. Of a file that is `protected` nothing else can come.
Kind = namedtuple("Kind", "name write change read protected")


def matrix():
    rng = np.random.RandomState(0)
    return sp.csr_matrix(np.round(rng.rand(9, 7) * 4 + 1, 1) * (rng.rand(9, 7) < 0.5), dtype="float32")


def columns():
    coo = matrix().tocoo()
    return coo.row, coo.col, coo.data


def lines(delimiter=","):
    rows, cols, data = columns()
    return "".join(delimiter.join(map(str, line)) + "\n" for line in zip(rows + 1, cols + 1, data)).encode()


def of_ratings(ratings):
    """Ratings as something to compare; they have to be in the library's form."""
    assert check_ratings(ratings.matrix) is ratings.matrix and np.isfinite(ratings.matrix.data).all()
    assert ratings.matrix.shape == (len(ratings.users), len(ratings.items))
    dense = sp.coo_matrix(ratings.matrix)
    return [ratings.users[dense.row].tolist(), ratings.items[dense.col].tolist(), dense.data.tolist()]


def parquet_of(file):
    import pyarrow.parquet
    pyarrow.parquet.write_table(pyarrow.table(dict(zip(("user", "item", "rating"), columns()))), file)


def reader(**given):
    return lambda path: of_ratings(load_ratings(path, progress=False, **given))


def read_movielens(path):
    data = movielens(path=path)
    return of_ratings(data.ratings) + [sorted(data.titles.items())]


def of_bytes(name, content, read=reader(), protected=False):
    """Bytes are changed."""
    text = name.endswith(("csv", "tsv", "dat", "txt", "mtx"))
    return Kind(name, lambda path: path.write_bytes(content),
                lambda path, rng: path.write_bytes(damaged(content, rng, text)), read, protected)


def of_npz():
    """A sound `.npz` of SciPy's whose arrays don't go together."""
    def change(path, rng):
        sp.save_npz(str(path), matrix().asformat(rng.choice(["csr", "csc", "coo", "bsr", "dia"])))
        with np.load(str(path), allow_pickle=False) as file:
            parts = dict(file)
        name = sorted(parts)[rng.randint(len(parts))]
        parts[name] = other_array(np.atleast_1d(parts[name]) if rng.rand() < 0.2 else parts[name], rng)
        if rng.rand() < 0.1:
            del parts[name]
        np.savez_compressed(str(path), **parts)

    return Kind("ratings.npz", lambda path: sp.save_npz(str(path), matrix()), change, reader(), False)


def of_store(sound=False, small=stores._SMALL):
    """A store with a changed byte in a file; or, if `sound`, with other arrays or a crafted note, checksums right."""
    def write(folder):
        stores._SMALL = small  # a larger one isn't read when it is opened
        stores.store_ratings([columns()], folder, rows="users")

    def read(folder):
        stored = stores.open_ratings(folder)
        stored.check()
        assert check_ratings(stored.matrix) is stored.matrix
        return [stored.rows, stored.row_ids.tolist(), stored.col_ids.tolist(), stored.matrix.toarray().tolist()]

    def change(folder, rng):
        name, note = ["data", "indices", "indptr", "rows", "cols"][rng.randint(5)], folder / "store.json"
        path = folder / (name + ".npy")
        if not sound:
            path = note if rng.rand() < 0.2 else path
            path.write_bytes(damaged(path.read_bytes(), rng))
        elif rng.rand() < 0.2:
            note.write_text(sealed(other_json(json.loads(note.read_text()), rng)))
        else:
            replace_array(folder, name, other_array(np.load(str(path)), rng))

    return Kind("store", write, change, read, not sound)


def of_storage(name, kind, write, read, sound):
    """A file of the library's own with changed bytes; or, if `sound`, with a part that says something else."""
    def change(path, rng):
        if not sound:
            path.write_bytes(damaged(path.read_bytes(), rng))
            return
        meta, arrays = storage.read(path, kind)
        if rng.rand() < 0.5:
            meta = other_json(meta, rng)
        else:
            which = sorted(arrays)[rng.randint(len(arrays))]
            arrays[which] = other_array(arrays[which], rng)
        storage.write(path, kind, meta, arrays)

    return Kind(name, write, change, read, not sound)


def of_model(sound, is_deep=False):
    from sparse_ae.networks import deep
    from sparse_ae.recommender.recommender import Recommender

    @functools.lru_cache(maxsize=None)
    def content():
        recommender = Recommender(n_hidden=2, n_epochs=2, batch_size=3, progress=False, formulation="sparse",
                                  rng=np.random.RandomState(0), rows="both", biases="unguarded",
                                  network=functools.partial(deep, depth=3, hide=0.2) if is_deep else "shallow")
        with tempfile.TemporaryDirectory() as folder:
            recommender.fit(columns(), validation=None).save(Path(folder, "model.npz"))
            return Path(folder, "model.npz").read_bytes()

    def read(path):
        """What a recommender says to a few questions."""
        recommender = Recommender.load(path)
        users, items = recommender.users_[:3], recommender.items_[:3]
        predicted = recommender.predict(users[:1].repeat(len(items)), items)
        best = recommender.recommend(users[0] if users.dtype.kind == "U" else int(users[0]), n=2, exclude_seen=False)
        recommender.similar_items(best.items[0].item(), n=1)
        person = recommender.fold_in({best.items[0].item(): recommender.rating_scale_[0]})
        found = [predicted.tolist(), best.items.tolist(), best.scores.tolist(), person.predict(items).tolist()]
        assert np.isfinite(np.array(found[0] + found[2] + found[3])).all()
        recommender.set_params(**recommender.get_params())
        repr(recommender)
        return found

    return of_storage("model.npz", "recommender", lambda path: path.write_bytes(content()), read, sound)


def of_checkpoint(sound):
    from sparse_ae.model import AutoEncoder
    from sparse_ae.trainer import Trainer
    first = {}

    def run(path, n_epochs, resume):
        made = Trainer(AutoEncoder(7, 2, rating_scale=(1, 5), rng=0), "adam", 0.01, batch_size=4, formulation="sparse",
                       progress=False)
        made.model, made.step = first.get("model", made.model), first.get("step")  # compiled once
        made.fit(matrix(), n_epochs, validation=matrix(), patience=3, checkpoint=path, resume=resume)
        first.update(model=made.model, step=made.step)
        return [[dict(record, seconds=0) for record in made.history],
                [each.get_value().tolist() for each in made.model.params], made.rng.get_state()[2:]]

    def write(path):
        if not first:
            run(path, 2, False)
            first["content"] = path.read_bytes()
        path.write_bytes(first["content"])

    return of_storage("run.npz", "checkpoint", write, lambda path: run(path, 3, True), sound)


LISTS = b"".join(b"%d %s\n" % (k, b" ".join(b"%d" % (j * k % 23) for j in range(k))) for k in range(2, 20))
OBJECTS = b"".join(b'{"user": %d, "item": "%d", "rating": %s}\n' % (row, col, str(rating).encode())
                   for row, col, rating in zip(*columns()))
MOVIES = b"".join(b"%d::Film %d (1999)::Drama\n" % (k, k) for k in range(1, 8))
KINDS = {
    "csv": lambda: of_bytes("ratings.csv", b"user,item,rating\n" + lines()),
    "tsv": lambda: of_bytes("ratings.tsv", lines("\t")),
    "dat": lambda: of_bytes("ratings.dat", lines("::")),
    "jsonl": lambda: of_bytes("ratings.jsonl", OBJECTS),
    "json": lambda: of_bytes("ratings.json", b"[%s]" % OBJECTS.strip().replace(b"\n", b", ")),
    "bz2": lambda: of_bytes("ratings.csv.bz2", bz2.compress(lines()), protected=True),
    "xz": lambda: of_bytes("ratings.csv.xz", lzma.compress(lines()), protected=True),
    "zip": lambda: of_bytes("ratings.zip", zipped({"a/ratings.csv": lines()})),
    "parquet": lambda: of_bytes("ratings.parquet", as_bytes(parquet_of)),
    "gz": lambda: of_bytes("ratings.csv.gz", gzip.compress(lines()), protected=True),
    "lines": lambda: of_bytes("ratings.csv", b"user,item,rating\n" + lines(), reader(missing=3)),
    "lists": lambda: of_bytes("ratings.txt", LISTS, reader(lists=True)),
    "mtx": lambda: of_bytes("ratings.mtx", as_bytes(lambda file: scipy.io.mmwrite(file, matrix(), symmetry="general"))),
    "npz": lambda: of_bytes("ratings.npz", as_bytes(lambda file: sp.save_npz(file, matrix())), protected=True),
    "sound npz": of_npz,
    "movielens": lambda: of_bytes("ml-1m.zip", zipped({"ml-1m/ratings.dat": lines("::"), "ml-1m/movies.dat": MOVIES}),
                                  read_movielens),  # a name may change, and with it what is read
    "lzma": lambda: of_bytes("ml-100k.zip", zipped(
        {"a/ml-100k.inter": b"user_id:token\titem_id:token\trating:float\n" + lines("\t")}, zipfile.ZIP_LZMA),
        read_movielens),
    "store": of_store, "sound store": lambda: of_store(True), "large store": lambda: of_store(small=0),
    "model": lambda: of_model(False), "sound model": lambda: of_model(True),
    "sound network": lambda: of_model(True, is_deep=True),
    "checkpoint": lambda: of_checkpoint(False), "sound checkpoint": lambda: of_checkpoint(True),
}


def limit_memory():
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2 ** 30,) * 2)
    except (ImportError, ValueError):
        pass


def case(name, kind, before, rng, folder):
    path = folder / kind.name
    kind.write(path)
    kind.change(path, rng)
    try:
        found = kind.read(path)
    except ArithmeticError as error:
        assert type(error).__name__ == "TrainingDiverged"  # from moments of Adam that are none
        return name, "refused"
    except (ValueError, TypeError, OSError) as error:
        assert str(path) in str(error) and len(str(error)) < 2000, "an error without the file's name: %r" % error
        return name, "refused"
    assert not kind.protected or found == before, "other ratings than were written"
    return name, "as before" if found == before else "others"


if __name__ == "__main__":
    for each in sys.argv[3:]:
        say(each)
        kind = KINDS[each]()
        with tempfile.TemporaryDirectory() as folder:
            kind.write(Path(folder, kind.name))
            before = kind.read(Path(folder, kind.name))
        limit_memory()
        # Damage is there to be refused: a checksum lets none pass, and JSON, or three numbers in each line of
        # MatrixMarket, hardly any.
        drive(functools.partial(case, each, kind, before), "refused", "as before", "others", seconds=20,
              most_refused=1 if kind.protected or each in ("mtx", "json", "jsonl") else 0.95)
