"""The guide and the README: their code runs and prints what it says, and their links lead somewhere."""
import ast
import contextlib
import inspect
import io
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import programs
import pytest

import sparse_ae
from sparse_ae.data.datasets import movielens
from sparse_ae.theano_compat.compilers import NO_COMPILER

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "generated")


NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")
#: The time of a line in a log.
LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", re.MULTILINE)
#: The pages print what this Python and NumPy give, which is what pip chooses for it.
AS_PRINTED = sys.version_info[:2] == (3, 11) and np.lib.NumpyVersion(np.__version__) >= "2.4.0"


def blocks(page):
    """(language, text) of each fence, in order; Python keeps the page's line numbers by empty lines before it."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        language, code = block.groups()
        yield language, "\n" * text.count("\n", 0, block.start(2)) * (language == "python") + code


def check_printed(printed, said):
    """The same to the last digit; with other versions numbers with a point differ by 0.2% at most."""
    def words(text):
        return NUMBER.sub("#", " ".join(text.replace("[", "[ ").replace("]", " ]").split()))

    assert words(printed) == words(said)
    found, expected = ([float(number) for number in NUMBER.findall(text)] for text in (printed, said))
    np.testing.assert_allclose(found, expected, *([0, 0] if AS_PRINTED else [0.002, 0.001]))


def code_and_output(page, languages=("python",)):
    """The code of a page, [(code, what it prints, or None)]: a fence without a language after it has that."""
    found = list(blocks(page))
    return [(code, said if follows == "" else None) for (language, code), (follows, said) in
            zip(found, found[1:] + [("end", "")]) if language in languages]


def run_commands(text):
    """What the commands of a console fence print, by a shell."""
    commands = re.findall(r"^\$ ((?:.*\\\n)*.*\n)", text, re.MULTILINE)
    commands = "python() { %s \"$@\"; }\n" % sys.executable + "".join(commands)
    return subprocess.run(["sh", "-e", "-c", commands], env=dict(os.environ, PYTHONPATH=str(ROOT)), check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout


def with_progress(code):
    """The code of a page with progress on, as it is by default."""
    return re.sub(",? ?progress=False", "", code)


def run_page(page):
    """Run the Python of a page as one program, and its commands, in the current folder."""
    names = {"__name__": "__main__"}
    for code, said in code_and_output(page, ("python", "console")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if code.startswith("$ "):
                print(run_commands(code))
            else:
                exec(compile(code, str(page), "exec"), names)
        if said is not None:
            check_printed(*(re.sub(LOGGED, "", text) for text in (printed.getvalue(), said)))


def name(page):
    return page.relative_to(ROOT / "docs").as_posix()


def as_case(page):
    """A page with code, in its group: those that fit a recommender share most of what is compiled, and so do others."""
    recommends = any(language == "python" and "Recommender(" in text for language, text in blocks(page))
    return pytest.param(page, marks=pytest.mark.xdist_group("recommenders" if recommends else "graphs"), id=name(page))


@pytest.mark.slow
@pytest.mark.parametrize("page", [as_case(page) for page in PAGES
                                  if any(language == "python" for language, _ in blocks(page))])
def test_the_code_of_a_page_prints_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run_page(page)


@pytest.mark.slow
def test_the_code_of_the_readme_prints_what_it_says(shared_data, monkeypatch):
    monkeypatch.setitem(sparse_ae.__dict__, "movielens", lambda name: movielens(name, path=shared_data / "ml-100k"))
    run_page(README)


def test_the_readme_is_short_and_has_two_commands_that_show_that_all_is_well():
    """By .ci/commands.py, with which .ci/run begins."""
    text = README.read_text(encoding="utf-8")
    found = programs.module_of(ROOT / ".ci" / "commands.py").commands(text)
    assert text.count("\n") <= 120 and [re.sub("^.* && ", "", command) for command in found] == [
        "python examples/movielens.py", "python -m pytest -n 2 --dist loadfile"]
    assert [re.search(r"\[(.*)\]", command).group(1) for command in found] == ["examples", "test,examples"]


def said_by(call):
    """The message of the error that a call raises, or what it says on stderr."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            call()
    except (MemoryError, TypeError, ValueError) as error:
        return str(error)
    return said.getvalue()


def test_the_messages_of_the_page_of_errors_are_the_librarys(tmp_path):
    def load(text, **given):
        def call():
            (tmp_path / "r.csv").write_text(text)
            sparse_ae.load_ratings(tmp_path / "r.csv", **given)

        return call

    def no_memory(shape):
        raise MemoryError

    model = sparse_ae.Recommender(network="popular", objective="lists", progress=False)
    fitted = sparse_ae.Recommender(network="popular", objective="lists", progress=False).fit(
        [("ann", "tea", 5), ("bob", "jam", 4)], validation=None)
    ratings = ["user", "item"], ["tea", "jam"], [5, 5]
    calls = [
        load("custmer,sku,quantity\nann,tea,2\n"), load("customer,sku,quantity\nann,tea,2\n"),
        load("user;item;rating\nann;tea;3,5\n"), load("user,item,rating\nann,tea,1\nann,tea,2\n"),
        load("user,item,quantity\nann,tea,-1\n", pairs=True), lambda: sparse_ae.Recommender().fit(ratings),
        lambda: sparse_ae.Recommender(rating_scale=(1, 5)).fit(([1, 2], [1, 2], [0, 5])),
        lambda: fitted.recommend("dan"), lambda: model.recommend("ann"),
        lambda: sparse_ae.Recommender.load(tmp_path / "r.csv"), lambda: sparse_ae.AutoEncoder(3, 2, W=no_memory)]
    messages = [text for language, text in blocks(ROOT / "docs/guide/errors.md") if language == "text"]
    found = ["error: externally-managed-environment", NO_COMPILER] + list(map(said_by, calls))
    assert len(messages) == len(found)
    for message, said in zip(messages, found):
        pattern = re.escape(" ".join(message.split())).replace(r"\.\.\.", ".*")
        assert re.fullmatch(pattern, " ".join(said.split())), said


#: Words of our own, and turns of phrase, for which the field has others; docs/develop/glossary.md has those.
HOUSE_WORDS = [
    r"strangers?", r"somebody", r"nobody", r"anybody", r"everybody", r"whoever", r"lest", r"made[- ]up", r"mend(s|ed)?",
    r"errs?( less)?", r"first weights", r"joined fits", r"fits? (are|is) joined", r"tastes", r"the guard",
    r"beside biases", r"one's own", r"in words", r"dear(er|est)?", r"equal graphs", r"what is missing",
    r"what so strong", r"less what is luck", r"measures? of lists", r"(make|makes|making|better|worse|good|best) lists",
    r"lists? of what people", r"of which", r"of what", r"for it is", r"comes? twice", r"(is|are) said", r"held against",
    r"cut off for it", r"(?<=[.:] )Of (?!course)", r"(?<=[.] )What (is|it|was|comes|becomes|a) (?!.*\?)"]


def prose(text):
    """A page without its code, tables' marks, formulas and targets of links."""
    for pattern in (r"^```.*?^```$", r"^\$\$.*?^\$\$$", r"^<!-- table: .*?<!-- end -->$", r"<!--.*?-->"):
        text = re.sub(pattern, "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`+[^`]*`+|\]\([^)]*\)", "", text)


def house_words(text):
    return [found.group(0) for found in re.finditer(r"\b(?:%s)(?!\w)" % "|".join(HOUSE_WORDS), text, re.IGNORECASE)]


@pytest.mark.parametrize("page", PAGES + [ROOT / ("%s.md" % each) for each in (
                                          "README", "CONTRIBUTING", "SECURITY", "CHANGELOG")],
                         ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_in_the_words_of_the_field(page):
    assert house_words(prose(page.read_text(encoding="utf-8"))) == []


SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "sparse_ae").rglob("*.py"))}
LISTS = [re.search(r"^__all__ = (\[.*?\])", source, re.DOTALL | re.MULTILINE) for source in SOURCES.values()]
PUBLIC = {name for found in LISTS if found for name in ast.literal_eval(found.group(1))}
PUBLIC -= {"__version__", "theano_compat"}


def test_errors_help_and_docstrings_are_in_the_words_of_the_field():
    """All texts of the package and the how-tos, except C code: errors, progress lines, help, docstrings."""
    texts = [("%s:%d" % (path.relative_to(ROOT), node.lineno), prose(node.value))
             for path in sorted((ROOT / "sparse_ae").rglob("*.py")) + sorted((ROOT / "examples").glob("*.py"))
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
             and "GA_NO_ERROR" not in node.value]
    assert len(texts) > 1500
    assert [(where, house_words(text)) for where, text in texts if house_words(text)] == []


def test_house_words_are_found():
    assert house_words("Of few ratings, as somebody said. Of course mended.") == ["somebody", "mended"]
    assert house_words(prose("`tastes` and [x](tastes.md)\n```\nstrangers\n```\n")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_fits_the_column_of_a_page(page):
    fences = re.findall(r"^```[^\n]*\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [line for text in fences for line in text.splitlines() if len(line) > 84] == []


def without_a_page():
    """Public names that the reference passes over: functions and classes without a docstring, data without ``#:``."""
    told = set()
    for source in SOURCES.values():
        for node in ast.parse(source).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
                told.add(node.name)
            elif (isinstance(node, (ast.Assign, ast.AnnAssign))
                  and source.splitlines()[node.lineno - 2].startswith("#: ")):
                targets = getattr(node, "targets", [getattr(node, "target", None)])
                told |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return sorted(PUBLIC - told)


def test_every_public_name_has_a_place_in_the_reference():
    assert without_a_page() == []


def members_of_recommender():
    """{name: what it is in the class or a base} of the public methods and attributes."""
    return {each: inspect.getattr_static(sparse_ae.Recommender, each) for each in dir(sparse_ae.Recommender)
            if not each.startswith("_")}


def first_line(member):
    """The first line of a docstring, which has to be more than another name, such as "`FitResult.weights`."."""
    line = (inspect.getdoc(member) or "").partition("\n")[0]
    assert len(line.split()) > 3, member
    return line


def test_methods_and_attributes_of_the_recommender_are_plain():
    """Editors and type checkers see a ``def`` in a class; help() shows it with a line of its own."""
    shown = pydoc.render_doc(sparse_ae.Recommender, renderer=pydoc.plaintext)
    members = members_of_recommender()
    assert {"fit", "predict", "weights_", "settings_", "get_params"} <= set(members)
    for each, member in members.items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", inspect.unwrap(member))
        owner = next(base for base in sparse_ae.Recommender.__mro__ if each in vars(base))
        assert inspect.isfunction(function) and function.__code__.co_name == each
        assert function.__qualname__ == "%s.%s" % (owner.__name__, each)
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} or each == "set_params"
        assert re.search(r"^ \|  %s\b" % each, shown, re.MULTILINE) and first_line(member) in shown
    assert len(set(map(first_line, members.values()))) == len(members)


def test_the_names_of_the_package_lead_to_theirs():
    index = (ROOT / "docs/reference/index.md").read_text(encoding="utf-8")
    assert [name for name in sparse_ae.__all__ if "`%s`" % name not in index] == []


def test_the_map_has_every_room():
    """And every module that is in none."""
    package = ROOT / "sparse_ae"
    rooms = {path.parent.name + "/" for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    page = (ROOT / "docs/develop/architecture.md").read_text(encoding="utf-8")
    table = page.partition("| `sparse_ae/` | |\n|---|---|\n")[2].partition("\n\n")[0]
    drawn = [name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(drawn) == sorted(rooms | modules)


def anchors(page):
    """The headings of a page, as a forge and MyST name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES + [ROOT / "README.md"], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_commands_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if there.parent.name == "generated":  # by docs/conf.py, when the pages are built
                continue
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target
    for path in re.findall(r"\b(?:examples|tests)/[\w/]+\.(?:py|png)", text):
        assert (ROOT / path).exists(), path
    for program, arguments in re.findall(r"`python\s+(examples/[\w/]+\.py)([^`]*)`", text):
        # `common.parser_of` adds the dashes.
        source = "".join((ROOT / each).read_text(encoding="utf-8")
                         for each in (program, "examples/benchmarks/common.py"))
        unknown = [each for each in re.findall(r"--([a-z][\w-]*)", arguments)
                   if each != "write" and not re.search('"(--)?%s"' % each, source)]
        assert unknown == [], program
