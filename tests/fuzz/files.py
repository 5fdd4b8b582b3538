"""Damaged files, by the thousand: ``python tests/fuzz/files.py FIRST_SEED LAST_SEED KIND ...``.

Each seed is a file of some kind with something wrong in it. What reads it has to say so, in an error that names the
file; or give what the file gave before; or, where there is no checksum, other ratings in their one form. Anything else
ends this process with the seed on stderr: another exception, a hang of 20 seconds, a crash, or other ratings out of a
file with a checksum.
"""
import faulthandler
import functools
import gzip
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]
from mutations import damaged, other_array, other_json  # noqa: E402

from sparse_ae.data import check_ratings  # noqa: E402
from sparse_ae.data.datasets import movielens  # noqa: E402
from sparse_ae.data.load import load_ratings  # noqa: E402
from sparse_ae.data.stores import open_ratings, store_ratings  # noqa: E402
from sparse_ae.files import storage  # noqa: E402

SECONDS, MEMORY = 20, 4 * 2 ** 30


def matrix():
    rng = np.random.RandomState(0)
    return sp.csr_matrix(np.round(rng.rand(9, 7) * 4 + 1, 1) * (rng.rand(9, 7) < 0.5), dtype="float32")


def lines(delimiter=","):
    coo = matrix().tocoo()
    return "".join(delimiter.join(map(str, line)) + "\n" for line in zip(coo.row + 1, coo.col + 1, coo.data)).encode()


def as_bytes(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def of_ratings(ratings):
    """Ratings as something to compare; they have to be in the library's form."""
    assert check_ratings(ratings.matrix) is ratings.matrix and np.isfinite(ratings.matrix.data).all()
    assert ratings.matrix.shape == (len(ratings.users), len(ratings.items))
    dense = sp.coo_matrix(ratings.matrix)
    return [ratings.users[dense.row].tolist(), ratings.items[dense.col].tolist(), dense.data.tolist()]


def of_bytes(content, name, read, protected, text=False):
    """A kind of file: `content` is damaged, and read."""
    def case(rng, folder):
        path = folder / name
        path.write_bytes(damaged(content, rng, text))
        return read(path)

    def whole(folder):
        (folder / name).write_bytes(content)
        return read(folder / name)

    return case, whole, protected, name


def reader(**given):
    return lambda path: of_ratings(load_ratings(path, progress=False, **given))


def read_movielens(path):
    data = movielens(path=path)
    return of_ratings(data.ratings) + [sorted(data.titles.items())]


def npz_parts(save):
    with np.load(io.BytesIO(as_bytes(save)), allow_pickle=False) as file:
        return {name: file[name] for name in file}


def of_npz(kind):
    """A sound `.npz` of SciPy's whose arrays don't go together."""
    parts = npz_parts(lambda file: sp.save_npz(file, matrix().asformat(kind)))

    def write(path, changed):
        path.write_bytes(as_bytes(lambda file: np.savez_compressed(file, **changed)))
        return reader()(path)

    def case(rng, folder):
        changed = dict(parts)
        name = sorted(parts)[rng.randint(len(parts))]
        changed[name] = other_array(np.atleast_1d(parts[name]) if rng.rand() < 0.2 else parts[name], rng)
        if rng.rand() < 0.1:
            del changed[name]
        return write(folder / "ratings.npz", changed)

    return case, lambda folder: write(folder / "ratings.npz", parts), False, "ratings.npz"


def sealed(note):
    """A note's text, with its checksum where there may be one: crafted by somebody who knows the format."""
    if isinstance(note, dict):
        note.pop("checksum", None)
        note["checksum"] = zlib.crc32(json.dumps(note, sort_keys=True).encode())
    return json.dumps(note)


def of_store(sound):
    """A store with a changed byte in a file; or, if `sound`, with other arrays or a crafted note, checksums right."""
    def whole(folder):
        coo = matrix().tocoo()
        store_ratings([(coo.row, coo.col, coo.data)], folder / "store", rows="users")
        return read(folder)

    def read(folder):
        stored = open_ratings(folder / "store")
        stored.check()
        assert check_ratings(stored.matrix) is stored.matrix
        return [stored.rows, stored.row_ids.tolist(), stored.col_ids.tolist(), stored.matrix.toarray().tolist()]

    def case(rng, folder):
        whole(folder)
        names = ["data", "indices", "indptr", "rows", "cols"]
        name, note = names[rng.randint(5)], folder / "store" / "store.json"
        path = folder / "store" / (name + ".npy")
        if not sound:
            path = note if rng.rand() < 0.2 else path
            path.write_bytes(damaged(path.read_bytes(), rng))
        elif rng.rand() < 0.2:
            note.write_text(sealed(other_json(json.loads(note.read_text()), rng)))
        else:
            np.save(str(path), other_array(np.load(str(path)), rng))
            said = json.loads(note.read_text())
            said["checksums"][name] = zlib.crc32(path.read_bytes())
            note.write_text(sealed(said))
        return read(folder)

    return case, whole, not sound, "store"


@functools.lru_cache(maxsize=None)
def fitted(plain):
    from sparse_ae.recommender.recommender import Recommender
    coo = matrix().tocoo()
    settings = dict(biases=False) if plain else dict(rows="both", biases="unguarded")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        recommender = Recommender(n_hidden=2, n_epochs=2, batch_size=3, progress=False, formulation="sparse",
                                  rng=np.random.RandomState(0), **settings)
        recommender.fit((coo.row, coo.col, coo.data), validation=None).save(path)
        return path.read_bytes(), storage.read(path, "recommender")


def ask(recommender):
    """What a recommender says to a few questions."""
    users, items = recommender.users_[:3], recommender.items_[:3]
    predicted = recommender.predict(users[:1].repeat(len(items)), items)
    best = recommender.recommend(users[0] if users.dtype.kind == "U" else int(users[0]), n=2, exclude_seen=False)
    recommender.similar_items(best.items[0].item(), n=1)
    low, high = recommender.rating_scale_
    person = recommender.fold_in({best.items[0].item(): low})
    found = [predicted.tolist(), best.items.tolist(), best.scores.tolist(), person.predict(items).tolist()]
    assert np.isfinite(np.array(found[0] + found[2] + found[3])).all()
    recommender.set_params(**recommender.get_params())
    repr(recommender)
    return found


def written(path, kind, content, parts, sound, rng):
    """A file of `content` that is damaged; or, if `sound`, one of its parts, of which one says something else."""
    meta, arrays = parts
    if not sound:
        path.write_bytes(damaged(content, rng))
    elif rng.rand() < 0.5:
        storage.write(path, kind, other_json(meta, rng), arrays)
    else:
        name = sorted(arrays)[rng.randint(len(arrays))]
        storage.write(path, kind, meta, dict(arrays, **{name: other_array(arrays[name], rng)}))


def of_model(sound):
    from sparse_ae.recommender.recommender import Recommender

    def read(path):
        return ask(Recommender.load(path))

    def whole(folder):
        (folder / "model.npz").write_bytes(fitted(False)[0])
        return read(folder / "model.npz")

    def case(rng, folder):
        written(folder / "model.npz", "recommender", *fitted(bool(sound and rng.randint(2))), sound, rng)
        return read(folder / "model.npz")

    return case, whole, not sound, "model.npz"


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

    def whole(folder):
        path = folder / "run.npz"
        run(path, 2, False)
        first.update(content=path.read_bytes(), parts=storage.read(path, "checkpoint"))
        return run(path, 3, True)

    def case(rng, folder):
        written(folder / "run.npz", "checkpoint", first["content"], first["parts"], sound, rng)
        return run(folder / "run.npz", 3, True)

    return case, whole, not sound, "run.npz"


def mat(compressed, version="5"):
    variables = {"X": matrix().tocsc().astype("float64"), "other": np.arange(5.0), "text": "abc"}
    return as_bytes(lambda file: scipy.io.savemat(file, variables, format=version, do_compression=compressed))


def dense_mat():
    variables = {"M": matrix().toarray().astype("float64"), "Otest": np.eye(3), "text": "abc"}
    return as_bytes(lambda file: scipy.io.savemat(file, variables))


def mat_73(dense=False):
    import h5py
    file, csc = io.BytesIO(), matrix().tocsc()
    with h5py.File(file, "w") as hdf:
        if dense:
            hdf["M"], hdf["Otest"] = matrix().toarray().T.astype("f8"), np.eye(3)
            csc = sp.csc_matrix((1, 1))
        group = hdf.create_group("X")
        group.attrs["MATLAB_sparse"] = csc.shape[0]
        for name, array in (("data", csc.data.astype("f8")), ("ir", csc.indices.astype("u8")),
                            ("jc", csc.indptr.astype("u8"))):
            group[name] = array
    head = bytearray(512)
    head[:128] = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    return bytes(head) + file.getvalue()


MOVIES = b"".join(b"%d::Film %d (1999)::Drama\n" % (k, k) for k in range(1, 8))
KINDS = {
    "csv": lambda: of_bytes(b"user,item,rating\n" + lines(), "ratings.csv", reader(), False, True),
    "tsv": lambda: of_bytes(lines("\t"), "ratings.tsv", reader(), False, True),
    "dat": lambda: of_bytes(lines("::"), "ratings.dat", reader(), False, True),
    "gz": lambda: of_bytes(gzip.compress(lines()), "ratings.csv.gz", reader(), True),
    "table": lambda: of_bytes("\n".join(",".join(map(str, row)) for row in np.where(
        matrix().toarray() == 0, 99, matrix().toarray()).tolist()).encode(), "table.csv",
                               reader(missing=99), False, True),
    "lines": lambda: of_bytes(b"user,item,rating\n" + lines(), "ratings.csv", reader(missing=3), False, True),
    "lists": lambda: of_bytes(b"".join(b"%d %s\n" % (k, b" ".join(b"%d" % (j * k % 23) for j in range(k)))
                                       for k in range(2, 20)), "ratings.txt", reader(lists=True), False, True),
    "mtx": lambda: of_bytes(as_bytes(lambda file: scipy.io.mmwrite(file, matrix(), symmetry="general")), "ratings.mtx",
                            reader(), False, True),
    "npz": lambda: of_bytes(as_bytes(lambda file: sp.save_npz(file, matrix())), "ratings.npz", reader(), True),
    "csr": lambda: of_npz("csr"), "csc": lambda: of_npz("csc"), "coo": lambda: of_npz("coo"),
    "bsr": lambda: of_npz("bsr"), "dia": lambda: of_npz("dia"),
    "mat": lambda: of_bytes(mat(False), "ratings.mat", reader(), False),
    "mat packed": lambda: of_bytes(mat(True), "ratings.mat", reader(), False),  # tags and order of variables
    "mat 4": lambda: of_bytes(mat(False, "4"), "ratings.mat", reader(), False),
    "dense mat": lambda: of_bytes(dense_mat(), "ratings.mat", reader(variable="M", missing=0), False),
    "dense mat 7.3": lambda: of_bytes(mat_73(True), "ratings.mat", reader(variable="M", missing=0), False),
    "mat 7.3": lambda: of_bytes(mat_73(), "ratings.mat", reader(), False),
    "movielens": lambda: of_bytes(zipped({"ml-1m/ratings.dat": lines("::"), "ml-1m/movies.dat": MOVIES}), "ml-1m.zip",
                                  read_movielens, False),  # a name may change, and with it what is read
    "lzma": lambda: of_bytes(zipped({"a/ml-100k.inter": b"user_id:token\titem_id:token\trating:float\n" + lines("\t")},
                                    zipfile.ZIP_LZMA), "ml-100k.zip", read_movielens, False),
    "store": lambda: of_store(False), "sound store": lambda: of_store(True),
    "model": lambda: of_model(False), "sound model": lambda: of_model(True),
    "checkpoint": lambda: of_checkpoint(False), "sound checkpoint": lambda: of_checkpoint(True),
}


def limit_memory():
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError):
        pass


def main(kind, first, last):
    case, whole, protected, name = KINDS[kind]()
    counts = {"refused": 0, "as before": 0, "others": 0}
    base = Path(tempfile.mkdtemp(prefix="sparse_ae-fuzz-"))
    try:
        (base / "whole").mkdir()
        before = whole(base / "whole")
        limit_memory()
        for seed in range(first, last):
            folder = base / "case"
            folder.mkdir()
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            print("%s, seed %d" % (kind, seed), file=sys.stderr, flush=True)
            try:
                found = case(np.random.RandomState(seed), folder)
            except ArithmeticError as error:
                assert type(error).__name__ == "TrainingDiverged"  # from moments of Adam that are none
                counts["refused"] += 1
            except (ValueError, TypeError, OSError) as error:
                assert name.partition(".")[0] in str(error), "an error without the file's name: %r" % error
                counts["refused"] += 1
            else:
                assert not protected or found == before, "other ratings than were written"
                counts["as before" if found == before else "others"] += 1
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(str(folder))
    finally:
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(str(base), ignore_errors=True)
    print("%s: %s" % (kind, ", ".join("%d %s" % (count, what) for what, count in counts.items())))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: files.py FIRST LAST KIND ..., of these kinds: %s" % ", ".join(KINDS))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for each in sys.argv[3:]:
        main(each, int(sys.argv[1]), int(sys.argv[2]))
