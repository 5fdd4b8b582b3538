"""Settings of Sphinx: ``python -m sphinx -W docs build/docs`` builds the guide and the reference."""
import importlib
import inspect
import re
import shutil
import sys
import types
from pathlib import Path

from latex2mathml import converter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import sparse_ae  # noqa: E402  (from this checkout; and before theano)

project = "sparse_ae"
author = "sparse_ae contributors"
copyright = "sparse_ae contributors"
version = release = sparse_ae.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3  # so that pages can link to each other's sections, here as in a forge
html_theme = "furo"
html_title = "sparse_ae %s" % release
html_last_updated_fmt = "%Y-%m-%d"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_math_renderer = "mathml"
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

autodoc_default_options = {"no-value": True}
autodoc_inherit_docstrings = False  # Theano's, of an Op's methods, are no reStructuredText
autodoc_mock_imports = ["pygpu"]  # which few machines have
autodoc_typehints = "none"
numpydoc_show_class_members = False  # they are documented where they stand
# Names in single backticks are code, as everywhere in numpydoc.
default_role = "code"

#: Which part of the reference a module's names are in, by how its name begins.
ROOMS = [("recommender", "Recommender"), ("data", "Data"), ("evaluation", "Evaluation"), ("model", "Model"),
         ("trainer", "Training"), ("training", "Training"), ("baselines", "Baselines"), ("networks", "Networks"),
         ("layers", "Layers"), ("updates", "Layers"), ("ops", "Ops"), ("scoring", "Scoring"),
         ("parameters", "Model"), ("contract", "Model"),
         ("ranks", "Ranks"), ("theano_compat", "Theano")]
#: The pages that explain a part of the reference, below its title.
EXPLAINED = {
    "Recommender": ["guide/recommender", "explanation/auto", "explanation/blend", "explanation/fold-in"],
    "Data": ["guide/data"], "Evaluation": ["guide/evaluation", "guide/report"], "Model": ["tutorial/post"],
    "Training": ["tutorial/extending", "explanation/missing", "explanation/decay"],
    "Baselines": ["explanation/biases", "explanation/baselines"], "Networks": ["tutorial/network"],
    "Layers": ["tutorial/sparse_input"], "Ops": ["explanation/ops", "develop/pass"], "Scoring": ["explanation/fold-in"],
    "Ranks": ["guide/machines"], "Theano": ["guide/theano"]}
#: Methods to document of classes that have others for the library's own use.
METHODS = {
    "AutoEncoder": ["step", "scan", "loss", "ae_batch", "predict_pairs", "predict_blocks", "save", "load"],
    "Network": [], "Decoder": [], "Batch": [], "Ranks": [], "Targets": [], "AsRated": [], "LBFGS": [],
    "TrainingStep": [], "Choice": []}


def public_objects():
    """{room: [(name by which users know it, object)]}: all that an `__all__` names, once, `Recommender` first."""
    modules = [path.relative_to(ROOT).with_suffix("").parts for path in sorted((ROOT / "sparse_ae").rglob("*.py"))
               if re.search(r"^__all__ =", path.read_text(encoding="utf-8"), re.MULTILINE)]
    rooms, known = {}, set()
    # The shortest name of an object is the one that pages use.
    for parts in sorted(modules, key=lambda parts: (len(parts) - (parts[-1] == "__init__"), parts)):
        module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        for name in module.__all__:
            found = getattr(module, name)
            if id(found) in known or not (inspect.isclass(found) or callable(found)):
                continue
            known.add(id(found))
            room = next((title for start, title in ROOMS if found.__module__.split(".")[1] == start), "Training")
            rooms.setdefault(room, []).append(("%s.%s" % (module.__name__, name), found))
    return {title: sorted(rooms[title], key=lambda each: each[0] != "sparse_ae.Recommender")
            for title in dict.fromkeys(title for _, title in ROOMS) if title in rooms}


def members(name, found, classes):
    """[(kind, name)] of a class's members to document, properties first: those with a docstring, also of bases of ours
    that have no page."""
    if name in METHODS:
        return [("method", each) for each in METHODS[name]]
    kinds = {property: "property", types.FunctionType: "method", classmethod: "method", staticmethod: "method"}
    bases = [base for base in found.__mro__ if base.__module__.startswith("sparse_ae.") and base not in classes]
    own = [(kinds[type(value)], each) for base in [found] + bases for each, value in vars(base).items()
           if type(value) in kinds and not each.startswith("_") and value.__doc__]
    # A layer or an Op is called as Lasagne and Theano call theirs.
    called_by_others = {"lasagne", "theano"} & {base.__module__.split(".")[0] for base in found.__mro__}
    return [] if called_by_others else sorted(own, key=lambda member: member[0], reverse=True)


def write_reference(app):
    """Write a page for each public object and one for each room, made anew at each build: none is forgotten."""
    folder = Path(app.srcdir) / "reference" / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rooms = public_objects()
    classes = {found for objects in rooms.values() for _, found in objects if inspect.isclass(found)}
    for room, objects in rooms.items():
        pages = ", ".join("[](../../%s.md)" % page for page in EXPLAINED[room])
        lines = ["# %s" % room, "", "Explained in %s." % pages, "", "| name | |", "|---|---|"]
        for path, found in objects:
            name = path.rpartition(".")[2]
            first = (inspect.getdoc(found) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            first = PAGE.sub(r"[\1](../../\1.md)", first)
            lines.append("| [`%s`](%s.md) | %s |" % (name, path, first))
            page = ["# %s" % name, "", "```{eval-rst}",
                    ".. auto%s:: %s" % ("class" if found in classes else "function", path)]
            for kind, member in members(name, found, classes) if found in classes else ():
                page += ["", "   .. auto%s:: %s.%s" % (kind, path, member)]
            (folder / (path + ".md")).write_text("\n".join(page + ["```", ""]), encoding="utf-8")
        lines += ["", "```{toctree}", ":hidden:", ""] + [path for path, _ in objects] + ["```", ""]
        (folder / (room.lower() + ".md")).write_text("\n".join(lines), encoding="utf-8")


#: Pages of the guide that docstrings name.
PAGE = re.compile(r"`*docs/((?:explanation|guide|tutorial|develop)/[\w-]+)\.md`*")


def link_pages(app, what, name, obj, options, lines):
    """Make links of the pages that a docstring names."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", line) for line in lines]


def show_formula(self, node):
    """Write a formula as MathML, which browsers show without a script."""
    self.body.append(converter.convert(node.astext(), display="block" if node.tagname == "math_block" else "inline"))
    from docutils.nodes import SkipNode
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (show_formula, None), (show_formula, None))
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", link_pages)
