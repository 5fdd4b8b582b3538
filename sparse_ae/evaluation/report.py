"""A report as one HTML file that loads nothing: its parts, and how it is saved. All text is escaped."""
import html
import re

from sparse_ae.checks import AnyPath, check_path
from sparse_ae.files.storage import check_own, replacing

__all__ = ["Report"]

# By these bytes a report is known.
_START = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta name="generator" content="sparse_ae'

# Characters of a title or an id that are shown.
_LONGEST = 80

_STYLE = """
:root { color-scheme: light dark; --soft: #58616c; --line: #d5dae0; --hit: #0a6640; --bar: #98a2ad }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; font: 16px/1.5 system-ui, sans-serif }
bdi, .facts td { overflow-wrap: anywhere }
h2 { margin-top: 2.5rem; border-bottom: 2px solid var(--line) }
h3, h4 { margin: 0 }
h4, small, .soft { color: var(--soft); font-weight: normal }
small { display: block; white-space: nowrap }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { padding: .35rem 0 .35rem .25rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th:first-child, td:first-child, .facts td { text-align: left }
ul, ol { margin: .25rem 0; padding-left: 1.75rem }
.short, .person { margin: 1rem 0; padding: .5rem 1rem; border: 1px solid var(--line); break-inside: avoid }
.short { border-left: 4px solid }
.columns { display: grid; gap: 0 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(14rem, 100%), 1fr)) }
.hit { color: var(--hit); font-weight: bold }
figure { margin: 1rem 0; break-inside: avoid }
.bars svg { display: block; max-width: 32rem; margin-top: .5rem }
.bars text { font-size: 13px; fill: currentColor }
.bars rect { fill: var(--bar) }
.bars rect:first-of-type { fill: var(--hit) }
.bars line { stroke: currentColor; stroke-width: 2 }
@media screen and (prefers-color-scheme: dark) {
  :root { --soft: #a7b0bb; --line: #3b434d; --hit: #6fd3a2; --bar: #77818c }
}
"""


class Report:
    """A page that tells how good a model's recommendations are; `Recommender.report` makes it. A notebook shows it.

    Attributes
    ----------
    html : str
        The page, without scripts, and without anything that a browser would have to load.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def save(self, path: AnyPath) -> None:
        """Write the page to a file, in UTF-8, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            An old report of sparse_ae is replaced; any other file is an error.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        path = check_path(path, "path")
        check_replaceable(path)
        with replacing(path) as file:
            file.write(self.html.encode("utf-8", "replace"))

    def _repr_html_(self):
        """The page in a frame: its style stays within."""
        return ('<iframe sandbox title="report" srcdoc="%s" style="width: 100%%; height: 45em; border: 0"></iframe>'
                % html.escape(self.html))


def check_replaceable(path):
    """OSError for a path that can't be written, or has a file that isn't a report."""
    check_own(path, "a report", _is_report)


def _is_report(path):
    with open(path, "rb") as file:
        return file.read(len(_START)) == _START.encode()


class Html(str):
    """Text that is HTML already."""


def tag(name, *parts, **attributes):
    """An element with text, which is escaped, and other elements in it."""
    attributes = "".join(' %s="%s"' % (key.rstrip("_"), _escaped(value)) for key, value in attributes.items())
    return Html("<%s%s>%s</%s>" % (name, attributes, joined(*parts), name))


def joined(*parts):
    """Text, which is escaped, and elements, one after the other."""
    return Html("".join(part if isinstance(part, Html) else _escaped(part) for part in parts))


def _escaped(text):
    """Text for HTML; characters that it can't have are replaced."""
    return html.escape(re.sub("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", str(text)))


def name_of(text):
    """A title or an id, of any length and direction of writing; one of blanks in quotes."""
    text = str(text) if str(text).strip() else repr(text)
    return tag("bdi", text if len(text) <= _LONGEST else text[:_LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}")


def table(head, rows, **attributes):
    """A table; `head` may be empty."""
    first = tag("thead", tag("tr", *[tag("th", each, scope="col") for each in head])) if head else Html()
    return tag("table", first, tag("tbody", *[tag("tr", *[tag("td", each) for each in row]) for row in rows]),
               **attributes)


def bars(described, rows):
    """A figure with a bar for each row: a label, a share, and the ends of its interval, None without one."""
    width, height, shapes = 360, 42, []
    per_share = width / max([0.01] + [max(share, high or 0) for _, share, _, high in rows])
    for y, (label, share, low, high) in zip(range(0, height * len(rows), height), rows):
        shapes += [tag("text", label, x=0, y=y + 14), tag("text", "%.1f%%" % (100 * share), x=width, y=y + 14,
                                                          **{"text-anchor": "end"}),
                   tag("rect", x=0, y=y + 20, width="%.1f" % (share * per_share), height=12)]
        if low is not None:
            shapes.append(tag("line", x1="%.1f" % (low * per_share), x2="%.1f" % (high * per_share), y1=y + 26,
                              y2=y + 26))
    return tag("figure", tag("figcaption", described), tag(
        "svg", *shapes, viewBox="0 0 %d %d" % (width, height * len(rows)), role="img"), class_="bars")


def page(heading, version, *parts):
    """The `Report` of some elements."""
    return Report("%s %s\">\n<meta charset=\"utf-8\">\n"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "style-src 'unsafe-inline'\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n%s\n<style>%s</style>\n"
                  "</head>\n<body>\n%s\n</body>\n</html>\n"
                  % (_START, _escaped(version), tag("title", heading), _STYLE, "\n".join(parts)))
