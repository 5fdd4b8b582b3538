"""Damaged files, random inputs to Ops and wrong arguments, each batch in a process that a crash or a hang ends."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
OF_DATA = ["csv", "tsv", "dat", "gz", "table", "lines", "lists", "mtx", "npz", "csr", "csc", "coo", "bsr", "dia", "mat",
           "mat packed", "mat 4", "dense mat", "movielens", "lzma", "store", "sound store", "parts"]
OF_MODELS = ["model", "sound model", "checkpoint", "sound checkpoint"]


def run(program, *arguments):
    done = subprocess.run([sys.executable, str(FOLDER / program)] + list(map(str, arguments)), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_damaged_files_of_ratings():
    assert run("files.py", 0, 10, *OF_DATA).count("refused") == len(OF_DATA)


def test_damaged_files_of_hdf5():
    pytest.importorskip("h5py")
    assert "refused" in run("files.py", 0, 20, "mat 7.3", "dense mat 7.3")


def test_masked_columns_and_long_ids():
    assert "taken" in run("columns.py", 0, 200)


def test_text_of_known_truth():
    assert "refused" in run("forms.py", 0, 150)


@pytest.mark.nightly
def test_much_text_of_known_truth():
    run("forms.py", 150, 2150)


@pytest.mark.nightly
def test_many_masked_columns_and_long_ids():
    run("columns.py", 200, 5200)


def test_damaged_models_and_checkpoints():
    assert run("files.py", 0, 8, *OF_MODELS).count("refused") == len(OF_MODELS)


def test_crafted_networks():
    assert "refused" in run("networks.py", 0, 150)


def test_streams_that_are_closed_or_without_a_reader():
    assert "in silence" in run("streams.py", 0, 200)


def test_random_inputs_to_ops():
    assert "taken" in run("ops.py", 0, 40, "float32")


def test_wrong_arguments():
    assert "refused" in run("arguments.py", 0, 60)


def test_settings_to_a_file_and_back():
    assert " 0 there" not in run("settings.py", 0, 30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the ranks are forks, which Windows hasn't")
def test_arguments_that_differ_by_rank(monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", os.environ.get("THEANO_FLAGS", "") + ",device=cpu,cxx=")  # as test_ranks.py
    assert "returned" in run("by_rank.py", 0, 60)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", OF_DATA + OF_MODELS)
def test_many_damaged_files(kind):
    run("files.py", 8, 520, kind)


@pytest.mark.nightly
def test_many_crafted_networks():
    run("networks.py", 150, 5000)


@pytest.mark.nightly
def test_many_random_inputs_to_ops():
    run("ops.py", 40, 5150)


@pytest.mark.nightly
def test_many_wrong_arguments():
    run("arguments.py", 60, 1100)


@pytest.mark.nightly
def test_many_settings_to_a_file_and_back():
    run("settings.py", 30, 1560)


@pytest.mark.nightly
def test_many_arguments_that_differ_by_rank(monkeypatch):
    monkeypatch.setenv("THEANO_FLAGS", os.environ.get("THEANO_FLAGS", "") + ",device=cpu,cxx=")
    run("by_rank.py", 60, 2100)


@pytest.mark.nightly
def test_ops_under_sanitizers():
    run("sanitize.py")
