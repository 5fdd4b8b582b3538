"""The search for a setting: repeat moves while a score improves."""


def climb(start, moves, judge, gain, worth=0.0, most_steps=2):
    """Repeat each move while its outcome is better than the best so far: the best, and its score.

    A move makes another candidate of the best, or None where there is no more to try. `gain` compares what `judge` says
    of two, the new one first, and has to be above `worth`. After the first move that was worth a step, others aren't
    tried: they lead back.
    """
    best, value = start, judge(start)
    for move in moves:
        moved = False
        for _ in range(most_steps):
            other = move(best)
            if other is None:
                break
            its_value = judge(other)
            if not gain(its_value, value) > worth:
                break
            best, value, moved = other, its_value, True
        if moved:
            break
    return best, value
