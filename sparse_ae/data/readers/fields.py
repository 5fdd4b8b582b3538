"""The fields of a block of text, by NumPy: numbers, and the distinct ones among ids."""
import numpy as np

_POWERS = 10 ** np.arange(16, dtype=np.int64)

# The longest fields that are compared by NumPy; and what leaves the first 0 to 8 bytes of eight.
_LONGEST = 64
_FIRST, _ODD = np.array([2 ** (8 * n) - 1 for n in range(9)], np.uint64), np.uint64(0x9E3779B97F4A7C15)


def parse_numbers(letters, starts, stops, plain):
    """Numbers in text, int64 if `plain` (7, not -7 or 007), else float64; None for other forms and 16 digits."""
    zero, negative = np.uint8(ord("0")), letters[starts] == ord("-")
    widths = stops - starts - negative
    if widths.min() < 1 or widths.max() > 16 - plain:
        return None
    if plain and (negative.any() or np.any((letters[starts] == zero) & (widths > 1))):
        return None
    digits, pointed, decimals = np.zeros(len(starts), np.int64), 0, 0
    for place in range(widths.max()):
        letter = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)], zero)
        if not plain:
            point = letter == ord(".")
            if point.any():
                if (point & ((pointed > 0) | (widths == 1))).any():
                    return None
                letter, pointed, decimals = np.where(point, zero, letter), pointed + point, decimals + place * point
        digit = letter - zero  # as uint8, in which anything below "0" wraps around to more than 9
        if digit.max() > 9:
            return None
        digits += digit.astype(np.int64) * _POWERS[place - pointed]
    if plain:
        return digits
    if digits.max() >= 10 ** 15:
        return None
    # Both are exact in float64, so that the rounded quotient is float()'s result.
    values = digits / _POWERS[decimals]
    return np.where(negative, -values, values) if negative.any() else values


def distinct_fields(text, starts, stops, decode):
    """The fields between some places of a text, bytes without a NUL: a list, most of them distinct, and where each is
    in it. Eight bytes at a time are a number; where there are more, fields with equal hashes are compared, too."""
    widths = stops - starts
    first, places = np.arange(len(starts)), np.arange(len(starts))
    if widths.max() <= _LONGEST:
        words = np.ndarray((len(text) + 1,), "<u8", text + bytes(8), strides=(1,))
        parts = [words[np.minimum(starts + k, len(text))] & _FIRST[np.clip(widths - k, 0, 8)]
                 for k in range(0, max(int(widths.max()), 1), 8)]
        keys = parts[0]
        for part in parts[1:]:
            keys = (keys ^ (keys >> np.uint64(29))) * _ODD + part
        order = np.argsort(keys)
        is_new = np.append(True, np.diff(keys[order]) != 0)
        found = np.empty(len(keys), np.intp)
        found[order] = np.cumsum(is_new) - 1
        if not any((part != part[order[is_new]][found]).any() for part in parts[:-1]):
            first, places = order[is_new], found
    texts = b"\n".join([text[start:stop] for start, stop in zip(starts[first].tolist(), stops[first].tolist())])
    return decode(texts).split("\n"), places
