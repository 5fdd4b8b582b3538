"""Writes the tutorial "From a CSV to predictions" as examples/first_hour.ipynb: `python docs/notebook.py`."""
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE, NOTEBOOK = ROOT / "docs/tutorial/csv.md", ROOT / "examples/first_hour.ipynb"
FENCE = re.compile(r"^```(\S*)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)


def cells(page):
    """(kind, text) of each cell: prose, without pictures and links to other pages, and code with its progress on."""
    place = 0
    for fence in FENCE.finditer(page):
        yield "markdown", page[place:fence.start()]
        if fence.group(1) == "python":  # a fence without a language has what the code before it prints
            yield "code", re.sub(",? ?progress=False", "", fence.group(2))
        place = fence.end()
    yield "markdown", page[place:]


def notebook(page):
    """The notebook's text, in the format of Jupyter 4.5, with nothing run."""
    made = []
    for kind, text in cells(page):
        if kind == "markdown":
            text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", re.sub(r"^!\[.*$", "", text, flags=re.MULTILINE))
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        if text:
            cell = {"cell_type": kind, "id": "cell-%d" % len(made), "metadata": {}, "source": text.splitlines(True)}
            made.append(dict(cell, execution_count=None, outputs=[]) if kind == "code" else cell)
    python = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
              "language_info": {"name": "python"}}
    return json.dumps({"cells": made, "metadata": python, "nbformat": 4, "nbformat_minor": 5}, indent=1,
                      ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
