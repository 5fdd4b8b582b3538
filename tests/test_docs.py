"""The guide: its code runs and prints what it says, and its links lead somewhere."""
import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def name(page):
    return page.relative_to(ROOT / "docs").as_posix()


def blocks(page):
    """(language, text) of each block, in their order; of Python with as many empty lines before it as the page has."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        language, code = block.groups()
        yield language, "\n" * text.count("\n", 0, block.start(2)) * (language == "python") + code


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(language == "python" for language, _ in blocks(page))],
                         ids=name)
def test_the_code_of_a_page_prints_what_it_says(page, tmp_path, monkeypatch):
    """All blocks of a page are one program. A block without a language, after one of Python, is what that prints."""
    monkeypatch.chdir(tmp_path)
    names, found = {"__name__": "__main__"}, list(blocks(page))
    for (language, code), (follows, said) in zip(found, found[1:] + [("end", "")]):
        if language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(page), "exec"), names)
            if follows == "":
                assert printed.getvalue() == said


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
