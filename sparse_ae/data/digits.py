"""Numbers out of the bytes of text, a column of fields at a time; None where a field is none that is read so."""
import numpy as np

_POWERS = 10.0 ** np.arange(16)


def parse_whole(letters, starts, stops):
    """Parse whole numbers as int64; None where a field isn't up to 15 digits without a leading zero."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 15 or np.any((letters[starts] == ord("0")) & (widths > 1)):
        return None
    values = np.zeros(len(starts), np.int64)
    for place in range(widths.max()):
        # As uint8, anything below "0" wraps around to more than 9.
        digits = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)] - np.uint8(ord("0")), 0)
        if digits.max() > 9:
            return None
        values += digits.astype(np.int64) * 10 ** place
    return values


def parse_decimals(letters, starts, stops):
    """Numbers as float64, or None where a field isn't up to 15 digits with or without a point and a minus."""
    negative = letters[starts] == ord("-")
    widths = stops - starts - negative
    if widths.min() < 1 or widths.max() > 16:
        return None
    digits, pointed, decimals = np.zeros(len(starts), np.int64), np.zeros(len(starts), bool), 0
    zero = np.uint8(ord("0"))
    for place in range(widths.max()):
        letter = np.where(widths > place, letters[np.maximum(stops - 1 - place, 0)], zero)
        point = letter == ord(".")
        if point.any():
            if (point & (pointed | (widths == 1))).any():
                return None
            letter, pointed, decimals = np.where(point, zero, letter), pointed | point, decimals + place * point
        digit = letter - zero  # as uint8, in which anything below "0" wraps around to more than 9
        if digit.max() > 9:
            return None
        digits += digit.astype(np.int64) * np.where(pointed, 10 ** max(place - 1, 0), 10 ** place)
    if digits.max() >= 10 ** 15:
        return None
    # Both are float64 without an error, so that what is nearest to their quotient is what float() gives.
    values = digits / _POWERS[decimals]
    return np.where(negative, -values, values) if negative.any() else values


def parse_floats(letters, starts, stops):
    """Numbers of any form as float64, or None."""
    widths = stops - starts
    if widths.min() < 1 or widths.max() > 32:
        return None
    places = np.arange(widths.max())
    fields = letters[np.minimum(starts[:, np.newaxis] + places, len(letters) - 1)]
    inside = places < widths[:, np.newaxis]
    # float() allows blanks around a number and an underscore between its digits.
    if np.any(inside & ((fields <= ord(" ")) | (fields == ord("_")))):
        return None
    fields[~inside] = 0
    try:
        return fields.view("S%d" % len(places)).ravel().astype(np.float64)
    except ValueError:
        return None
