"""Classes by the names that files have: models and objectives register themselves by inheriting."""


def kind_of(settings, key, base, what):
    """Take the name of an heir of `base` out of settings from a file, and return that class; ValueError for others."""
    name, kinds = settings.pop(key, None), {name_of_kind(kind, base): kind for kind in _heirs(base)}
    if not isinstance(name, str) or name not in kinds:
        raise ValueError("the %s is %.80r; expected one of %s: for your own class import its module first"
                         % (what, name, ", ".join(sorted(kinds))))
    return kinds[name]


def name_of_kind(kind, base):
    """The name of a class; with its module if it isn't the library's, and the library has one of this name."""
    taken = kind.__name__ in {each.__name__ for each in _heirs(base) if _is_ours(each)}
    return "%s.%s" % (kind.__module__, kind.__name__) if taken and not _is_ours(kind) else kind.__name__


def _heirs(base):
    for kind in base.__subclasses__():
        yield kind
        yield from _heirs(kind)


def _is_ours(kind):
    return kind.__module__.partition(".")[0] == "sparse_ae"
