"""The search for a setting: repeat moves while a score improves."""


def climb(start, moves, judge, gain, worth=0.0, most_steps=2):
    """Repeat each move, to another candidate or None, while its `gain` over the best is above `worth`: the best, and
    its score. After the first move that was worth a step, others aren't tried: they lead back."""
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
