"""A look for more than one distribution that has put its files into the package `theano`, and words for it. Installers
don't see Theano within sparse_ae's wheel, from Python 3.12 on; before that, pip overlooks forks of other names."""

import importlib.util
import os

SEVERAL = (
    "{those} are installed over each other in {folder}, so that `import theano` finds a mixture of them. To fix it: "
    "pip uninstall sparse_ae, then pip uninstall {names}, and install sparse_ae again (with uv: uv pip)")
# Only these distributions on the package index have a package `theano`.
_NAMES = ("theano", "theano-pymc")


def installed_over_each_other():
    """Say it to the user, or None where all is well: of the `theano` that is found, which need not be imported."""
    spec = importlib.util.find_spec("theano")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = os.path.dirname(spec.submodule_search_locations[0])
    from importlib import metadata  # takes its time
    found = [each for name in _NAMES for each in metadata.distributions(name=name, path=[folder])]
    if len(found) < 2:  # nearly always; reading the metadata takes longer than finding it
        return None
    # The rest of an uninstallation has no metadata.
    those = sorted({(each.metadata["Name"], each.version) for each in found if each.metadata and each.metadata["Name"]})
    if len(those) < 2:
        return None
    return SEVERAL.format(those=" and ".join("%s %s" % each for each in those), folder=folder,
                          names=" ".join(sorted({name.lower() for name, _ in those})))
