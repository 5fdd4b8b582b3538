"""Settings of Sphinx: ``python -m sphinx -W docs build/docs`` builds the guide and the reference."""
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import sparse_ae  # noqa: E402  (from this checkout; and before theano)

project = "sparse_ae"
author = "sparse_ae contributors"
copyright = "sparse_ae contributors"
version = release = sparse_ae.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # so that pages can link to each other's sections, here as in a forge
html_theme = "alabaster"
html_theme_options = {"description": sparse_ae.__doc__.partition("\n")[0], "page_width": "1100px"}

autodoc_default_options = {"members": True, "member-order": "bysource", "no-value": True}
autodoc_inherit_docstrings = False  # Theano's, of an Op's methods, are no reStructuredText
autodoc_mock_imports = ["pygpu"]  # which few machines have
numpydoc_show_class_members = False  # they are documented where they stand
# Names in single backticks are code, as everywhere in numpydoc.
default_role = "code"


def public_modules():
    """Return the modules that say what is public of them, by their room or, where they are in none, by themselves.

    Of a room itself comes what it defines; what it takes from its modules has a place there.
    """
    found = {}
    for path in sorted((ROOT / "sparse_ae").rglob("*.py")):
        module, source = path.relative_to(ROOT).with_suffix("").parts, path.read_text(encoding="utf-8")
        if not re.search(r"^__all__ =", source, re.MULTILINE):
            continue
        if path.stem != "__init__":
            found.setdefault(module[1], []).append((".".join(module), []))
        elif len(module) > 2:
            own = re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)
            found.setdefault(module[1], []).insert(0, (
                ".".join(module[:-1]), ["   :members: " + ", ".join(own) if own else "   :no-members:"]))
    return found


def write_reference(app):
    """Write a page for each room, made anew at each build: no module is forgotten."""
    folder = Path(app.srcdir) / "reference" / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for room, modules in public_modules().items():
        lines = ["# `%s`" % room, ""]
        for module, options in modules:
            lines += ["## `%s`" % module, "", "```{eval-rst}", ".. automodule:: " + module] + options
            # What a recommender answers stands where people look for it.
            lines += ["   :inherited-members: object, Exception, tuple", "   :exclude-members: with_traceback, add_note"
                      ] * (module == "sparse_ae.recommender.recommender") + ["```", ""]
        (folder / (room + ".md")).write_text("\n".join(lines), encoding="utf-8")


def show_formulas(app, what, name, obj, options, lines):
    """Have the indented formulas of a module's docstring shown as they stand, and its titles as no sections."""
    if what != "module":
        return
    shown, before = [], ""
    for number, line in enumerate(lines):
        if line and not line.strip("-") and before == lines[number - 1]:
            shown[-1:] = [".. rubric:: " + before, ""]
            continue
        begins = line.startswith("    ") and (number == 0 or not lines[number - 1].strip())
        if begins and not before.endswith("::") and not before.startswith("    "):
            shown += ["::", ""]
        before = line if line.strip() else before
        shown.append(line)
    lines[:] = shown


def setup(app):
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", show_formulas)
