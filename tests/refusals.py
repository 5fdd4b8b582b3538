"""What refuses wrong input has to leave everything as it was."""
import numpy as np
import pytest


def refuser(step, block, two, *first):
    """A function that gives a compiled step wrong input, and judges it.

    `step` has `start`, `shared`, `values` and `function`, which takes `first` and the arrays of `block`; `two` says
    whether there is a second encoder. What is wrong comes as ``shared3=``, a shared variable's value, or ``block1=``.
    """
    def refused(error, match, **changed):
        step.start(*[np.arange(15.0).reshape(3, 5) / 10, np.ones((3, 5)), np.ones(5), np.ones(3)]
                   + [np.ones((3, 5))] * two)
        for position, value in changed.items():
            if position.startswith("shared"):
                step.shared[int(position[6:])].set_value(value)
        before = step.values()
        with pytest.raises(error, match=match):
            step.function(*first, *[changed.get("block%d" % i, x) for i, x in enumerate(block)])
        for x, y in zip(step.values(), before):
            np.testing.assert_array_equal(x, y)

    return refused
