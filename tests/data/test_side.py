"""The way between rows and columns, and users and items."""
import json
import pickle

import numpy as np
import pytest

from sparse_ae.data.side import ITEMS, USERS, Side


@pytest.mark.parametrize("side, users, items", [(USERS, "r", "c"), (ITEMS, "c", "r")])
def test_users_and_items_are_rows_and_columns_and_back(side, users, items):
    assert side.users_items("r", "c") == (users, items)
    assert side.rows_columns(users, items) == ("r", "c")
    assert side.other.users_items("c", "r") == (users, items) and side.other.other == side


def test_a_grid_is_turned_where_items_are_rows_and_can_be_written_to_so():
    grid = np.zeros((2, 3))
    assert USERS.turned(grid) is grid and ITEMS.turned(grid).shape == (3, 2)
    ITEMS.turned(grid)[2, 0] = 5
    assert grid[0, 2] == 5


@pytest.mark.parametrize("word", ["", "both", "Items", None, [], 1])
def test_no_other_word_is_a_side(word):
    with pytest.raises(ValueError, match="the rows are .*; expected 'users' or 'items'"):
        Side(word)


def test_a_side_is_its_word_in_dicts_in_files_and_in_messages():
    assert {"items": 1}[ITEMS] == 1 and Side("items") == ITEMS
    assert json.dumps({"rows": ITEMS}) == '{"rows": "items"}' and "%s %r" % (USERS, USERS) == "users 'users'"
    assert pickle.loads(pickle.dumps(ITEMS)).rows_columns(1, 2) == (2, 1)
