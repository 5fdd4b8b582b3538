"""Code in the fences of a page, and what it prints beside what the page says that it prints."""
import contextlib
import io
import re

import numpy as np

NUMBER = re.compile(r"-?\d+\.\d*(?:e[+-]?\d+)?")


def blocks(page):
    """(language, text) of each fence, in order; Python keeps the page's line numbers by empty lines before it."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        language, code = block.groups()
        yield language, "\n" * text.count("\n", 0, block.start(2)) * (language == "python") + code


def check_printed(printed, said):
    """Words, ids and counts are the same; numbers with a point are within 2%, since threads and BLAS move digits."""
    def words(text):
        return NUMBER.sub("#", " ".join(text.replace("[", "[ ").replace("]", " ]").split()))

    assert words(printed) == words(said)
    found, expected = ([float(number) for number in NUMBER.findall(text)] for text in (printed, said))
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.002)


def run_page(page, names=None):
    """Run the Python of a page as one program; a fence without a language after one of Python is what that prints."""
    names, found = dict(names or {}, __name__="__main__"), list(blocks(page))
    for (language, code), (follows, said) in zip(found, found[1:] + [("end", "")]):
        if language == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(page), "exec"), names)
            if follows == "":
                check_printed(printed.getvalue(), said)
    return names
