"""Classes by the names that files have: models and objectives register themselves by inheriting."""


def kind_of(settings, key, base, what):
    """Take the name of an heir of `base` out of settings from a file, and return that class; ValueError for others."""
    name, heirs = settings.pop(key, None), list(_heirs(base))
    found = [kind for kind in heirs if name_of_kind(kind) == name]
    if not found and isinstance(name, str):  # it has moved, or the file is of version 1.0, which left modules out
        own = name.rpartition(".")[2]
        found = [kind for kind in heirs if not _is_ours(kind) and kind.__name__ == own]
    if not found:
        check_not_gone(name)
        imported = ", ".join(sorted(map(name_of_kind, heirs))) or "none"
        raise ValueError("the %s is %.80r, a class that isn't imported; import its module first, such as "
                         "sparse_ae.model. Imported: %s" % (what, name, imported))
    return found[-1]


def check_not_gone(name):
    """Raise ValueError for a class that only files of version 1.0 name."""
    if name in ("Ordinal", "OrdinalLayer"):
        raise ValueError("%s, an output of ordered levels, is gone in version 2.0; predict with sparse_ae 1.0, or "
                         "train again without it: Recommender() has a lower error" % name)


def name_of_kind(kind):
    """The name of a class, with its module unless it is the library's."""
    return kind.__name__ if _is_ours(kind) else "%s.%s" % (kind.__module__, kind.__name__)


def _heirs(base):
    for kind in base.__subclasses__():
        yield kind
        yield from _heirs(kind)


def _is_ours(kind):
    return kind.__module__.partition(".")[0] == "sparse_ae"
