"""Damage, from a seed: to bytes, to JSON, to arrays."""
import copy
import struct

import numpy as np

NUMBERS = [0, 1, 2, 3, 7, 127, 128, 255, 2 ** 15, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 40, 2 ** 62,
           2 ** 63 - 1, -1, -2, -2 ** 31, -2 ** 63]
TEXTS = [b"", b"\0", b"nan", b"inf", b"-1", b"1e400", b"99999999999999999999", b"1_0", b'"', b"'", b",", b"::", b"\t",
         b"\n", b"\r", b"\r\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"%", b"#", b"[" * 50, b"{}", b"x" * 300,
         b"\x1a"]
DTYPES = ["int8", "int64", "float16", "float64", "complex64", "<U3", ">i4", "bool"]


def damaged(content, rng, text=False):
    """Bytes with one to four places changed."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        size = len(content)
        if not size:
            break
        at = rng.randint(size)
        kind = rng.randint(8)
        if kind <= 1:
            content[at] ^= 1 << rng.randint(8)
        elif kind == 2:
            content[at] = rng.randint(256)
        elif kind == 3:
            del content[at:at + rng.choice([1, 2, 8, size])]
        elif kind == 4:
            content[at:at] = content[rng.randint(size):][:rng.choice([1, 4, 16, 200])]
        elif kind == 5 and text or rng.rand() < 0.2:
            content[at:at + rng.randint(4)] = TEXTS[rng.randint(len(TEXTS))]
        elif kind == 6:
            number = NUMBERS[rng.randint(len(NUMBERS))]
            width, order = rng.choice([1, 2, 4, 8]), "<>"[rng.randint(2)]
            packed = struct.pack(order + "q", number)
            content[at:at + width] = packed[:width] if order == "<" else packed[-width:]
        else:
            content[at:at + rng.randint(1, 9)] = bytes(rng.randint(256, size=rng.randint(9)).astype(np.uint8))
    return bytes(content)


def other_json(value, rng):
    """A JSON value with one place changed, or gone."""
    value = copy.deepcopy(value)
    holder, key = [value], 0
    while isinstance(holder[key], (dict, list)) and holder[key] and rng.rand() < 0.85:
        holder = holder[key]
        key = sorted(holder)[rng.randint(len(holder))] if isinstance(holder, dict) else rng.randint(len(holder))
    if holder is not value and not isinstance(holder, list) and rng.rand() < 0.2:
        del holder[key]
        return value
    choices = [None, True, "", "x", "items", [], {}, [1, 2], {"x": 1}, 0.5, float("nan"), float("inf"), 1e308] + NUMBERS
    if holder[key] is value:
        return choices[rng.randint(len(choices))]
    holder[key] = choices[rng.randint(len(choices))]
    return value


def other_array(array, rng):
    """An array with something changed: entries, order, shape, or dtype."""
    kind, flat = rng.randint(9), array.ravel()
    if kind <= 3 and flat.size and array.dtype.kind in "iuf":
        changed = array.copy()
        numbers = NUMBERS + ([np.nan, np.inf, 1e30] if array.dtype.kind == "f" else [])
        with np.errstate(all="ignore"):
            number = np.array(numbers[rng.randint(len(numbers))]).astype(array.dtype)
            changed.ravel("K")[rng.randint(flat.size)] = number
        return changed
    if kind == 4 and array.ndim:
        return array[::-1]
    if kind == 5:
        return flat[:rng.randint(flat.size + 1)]
    if kind == 6:
        return np.concatenate([flat, flat[:3]])
    if kind == 7 and array.dtype.kind not in "US":
        with np.errstate(all="ignore"):
            return array.astype(DTYPES[rng.randint(len(DTYPES))])
    return rng.permutation(flat).reshape(array.shape)
