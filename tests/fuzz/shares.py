"""How many cases of a fuzz are refused: those test little, and a family of which nearly all are tests nothing."""


def table(counts, refused, most=0.6, reasons=()):
    """(lines to print, of counts of words by family; a line for each family of which too many are refused).

    From 30 cases on at most a share of them may be; `reasons` has other shares by family, and why.
    """
    lines, too_many = [], []
    for family, found in sorted(counts.items()):
        n, (largest, why) = sum(found.values()), dict(reasons).get(family, (most, "by default"))
        share = found.get(refused, 0) / n
        lines.append("%s: %s; %d%% refused" % (
            family, ", ".join("%d %s" % (count, word) for word, count in found.items()), 100 * share))
        if n >= 30 and share > largest:
            too_many.append("%s: %d%% of %d cases are refused; at most %d%% may be, %s" % (
                family, 100 * share, n, 100 * largest, why))
    return lines, too_many
