"""Tables of figures stand on pages between lines that name their example, which writes them there."""
import argparse
import re

import programs
import pytest
from programs import BENCHMARKS, ROOT

pages = programs.load("pages")
PAGES = [ROOT / "README.md"] + sorted((ROOT / "docs").rglob("*.md"))
FIGURE = re.compile(r"\| \**~?\d+\.\d+( ± \d+\.\d+)?\**( MB)? \|")
# Versions of Python, a search that is told as a decision, and a measurement that was made once.
NO_FIGURES_OF_EXAMPLES = {"docs/guide/theano.md", "docs/develop/decisions.md", "docs/guide/machines.md"}

PAGE = """# Results

<!-- table: race, small, k=5 -->
| k=5 | error | seconds: of training |
|---|---|---|
| ours | 0.9 | 1 |
| **theirs (*): the best of them** | **0.8** | |
| nobody's | | |
<!-- end -->

<!-- table: race, whole -->
<!-- end -->

<!-- table: another, small, k=5 -->
| k=5 | error |
|---|---|
| ours | 0.9 |
<!-- end -->
"""


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def written_to(paths):
    """The pages of an example that is called race."""
    return pages.Pages("examples/race.py", paths)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_table_of_figures_is_one_of_an_example_that_writes(page):
    text = page.read_text(encoding="utf-8")
    for found, form in pages.SECTION.findall(text):
        source = (BENCHMARKS / (found.partition(", ")[0] + ".py")).read_text(encoding="utf-8")
        assert "pages.add_argument(parser, __file__)" in source, found
        header, rule, *rows = form.splitlines()
        assert re.fullmatch(r"\|(-+\|)+", rule) and rows
        assert {line.count("|") for line in rows} == {header.count("|")} == {rule.count("|")}, found
    for mark in ("<!-- table: ", pages.END):
        assert ("\n" + text).count("\n" + mark) == len(pages.SECTION.findall(text))
    elsewhere = [line for line in pages.SECTION.sub("", text).splitlines() if FIGURE.search(line.replace("|", "| |"))]
    assert not elsewhere or name(page) in NO_FIGURES_OF_EXAMPLES


def test_there_are_tables_to_look_at():
    counts = {name(page): len(pages.SECTION.findall(page.read_text(encoding="utf-8"))) for page in PAGES}
    assert counts["README.md"] == 3 and all(counts["docs/results/%s.md" % each] for each in
                                            ("lists", "ratings", "speed"))
    assert FIGURE.search("| | **0.8 ± 0.1** | 1 |") and not FIGURE.search("| 3.8.18 | 1.17.5 |")


def test_figures_go_where_the_page_shows_them(page, capsys):
    table = written_to([page]).table("small, k=5", "", "seconds", "more", "error")
    table.row("theirs", "2.50", "-", "0.7")
    table.row("not shown", "3.50", "-", "0.6")
    now = PAGE.replace("| **theirs (*): the best of them** | **0.8** | |",
                       "| **theirs (*): the best of them** | **0.7** | 2.50 |")
    assert page.read_text(encoding="utf-8") == now
    table.row("ours", "100%", "", "0.5 ± 0.1")
    assert page.read_text(encoding="utf-8") == now.replace("| ours | 0.9 | 1 |", "| ours | 0.5 ± 0.1 | 100% |")
    out = capsys.readouterr().out
    assert re.sub(r" +\|", " |", out) == ("\n### small, k=5\n\n| | seconds | more | error |\n|---|---|---|---|\n"
                                          "| theirs | 2.50 | - | 0.7 |\n| not shown | 3.50 | - | 0.6 |\n"
                                          "| ours | 100% | | 0.5 ± 0.1 |\n")


def test_what_is_empty_becomes_the_whole_table_and_the_rest_is_told(page, capsys):
    for paths in ([], [page]):  # without pages nothing is written
        assert page.read_text(encoding="utf-8") == PAGE
        written = written_to(paths)
        table = written.table("whole", "set", "error")
        for label, error in (("first", 1), ("second", 2.5)):
            table.row(label, error)
        written.close()
    assert page.read_text(encoding="utf-8") == PAGE.replace(
        "<!-- table: race, whole -->\n",
        "<!-- table: race, whole -->\n| set | error |\n|---|---|\n| first | 1 |\n| second | 2.5 |\n")
    out, said = capsys.readouterr()
    assert said == "%s: written but for race, small, k=5\n" % page
    assert re.search(r" \d+ CPUs; Python [\d.]+, NumPy [\d.]+\S*; \d{4}-\d\d-\d\d\n$", out)


def test_a_page_without_such_a_table_is_refused_before_the_run(page, capsys):
    parser = argparse.ArgumentParser()
    pages.add_argument(parser, "examples/other.py")
    for path, message in ((page, r"shows no table of this example; expected a line <!-- table: other, NAME -->"),
                          (page.with_name("none.md"), "No such file")):
        with pytest.raises(SystemExit):
            parser.parse_args(["--write", str(path)])
        assert re.search(message, capsys.readouterr().err)


def test_a_row_of_another_length_is_refused(page):
    with pytest.raises(ValueError, match="1 cells beside a label; expected 2, one for each column"):
        written_to([page]).table("small, k=5", "", "error", "seconds").row("ours", 1)
