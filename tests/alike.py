"""Where two results differ: numbers, arrays, sparse matrices, and dicts and lists of those."""
import numpy as np
import scipy.sparse as sp


def differences(old, new, rounding=0, place=""):
    """The places where two values differ, by a bit or by more than rounding, a share of an array's largest number."""
    if sp.issparse(old) and sp.issparse(new):
        old, new = ({"shape": x.shape, "data": x.data, "indices": x.indices, "indptr": x.indptr}
                    for x in (old.tocsr(), new.tocsr()))
    if isinstance(old, dict) and isinstance(new, dict):
        if set(old) != set(new):
            return ["%s: %s, and %s" % (place, list(old), list(new))]
        return [found for name in old for found in differences(
            old[name], new[name], rounding, "%s[%r]" % (place, name))]
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        return [found for k, pair in enumerate(zip(old, new)) for found in differences(
            *pair, rounding, "%s[%d]" % (place, k))]
    if are_alike(old, new, rounding):
        return []
    return ["%s: %.300s, and %.300s" % (place, *(" ".join(repr(x).split()) for x in (old, new)))]


def are_alike(old, new, rounding):
    numbers = (int, float, np.ndarray, np.generic)
    if not isinstance(old, numbers) or not isinstance(new, numbers):
        return type(old) is type(new) and old == new
    old, new = np.asarray(old), np.asarray(new)
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    if old.dtype == object:
        return old.tolist() == new.tolist()
    if old.dtype.kind != "f" or not rounding:
        return old.tobytes() == new.tobytes()
    largest = np.abs(old[np.isfinite(old)]).max() if np.isfinite(old).any() else 0
    with np.errstate(invalid="ignore"):
        return bool(np.all((old == new) | (np.isnan(old) & np.isnan(new)) | (np.abs(old - new) <= rounding * largest)))


def assert_all_close(found, expected, rtol=0, atol=0):
    """AssertionError unless there are as many arrays, and each is close, or equal, to its own."""
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for x, y in zip(found, expected):
        np.testing.assert_allclose(x, y, rtol, atol)
