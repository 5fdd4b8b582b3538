"""Files that sparse_ae 1.0.0 wrote are read: 170 ratings of 24 users and 15 items, and a recommender fitted to them."""
import json
from pathlib import Path

import numpy as np

import sparse_ae

HERE = Path(__file__).parent / "data" / "of_1_0"


def test_a_store():
    stored = sparse_ae.open_ratings(HERE / "store")
    assert json.loads((HERE / "store" / "store.json").read_text())["format"] == 2
    assert stored.rows == "items" and stored.matrix.nnz == 170 and stored.matrix.data.sum() == 513
    assert stored.row_ids.tolist() == list(range(10, 151, 10)) and stored.col_ids.tolist() == list(range(1, 25))
    assert stored.matrix[:, 0].toarray().ravel().tolist() == [3, 3, 3, 1, 2, 0, 4, 0, 3, 3, 3, 1, 0, 0, 3]


def test_a_recommender():
    recommender = sparse_ae.Recommender.load(HERE / "recommender.npz")
    users, items = [1, 3, 7, 10, 13, 17, 20, 23], [130, 100, 50, 140, 120, 100, 100, 110]
    np.testing.assert_allclose(recommender.predict(users, items), [
        2.3947241, 3.8435206, 2.32423, 2.6540959, 2.6378851, 3.6363401, 2.2755103, 4.3682775], rtol=1e-5)
    found, scores = recommender.recommend([3], n=3)[0]
    assert found.tolist() == [30, 150, 60]
    np.testing.assert_allclose(scores, [4.3823509, 4.2459927, 3.9990215], rtol=1e-5)
