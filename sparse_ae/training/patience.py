"""Early stopping by the errors of epochs. With a cut training continues once from its best epoch with smaller steps, as
of L. Bottou, F. E. Curtis, J. Nocedal, SIAM Review 60, 2018."""
import math

#: Factor of patience with a cut, until the error has fallen by `_FALLEN` of the first epoch's.
AT_FIRST = 2

#: Factor of patience after the cut: at a smaller rate the error falls at once or not at all.
SHORTER = 2 / 5

# With a cut, a share of the error by which it must fall within patience.
_LEAST_GAIN = 0.001
_FALLEN = 0.005


class Patience:
    """How many epochs an error may stand still; it isn't over before the epoch `least`. `errors` are those so far;
    `best` is the epoch with the least one, 0 for the start, and `error` that, NaN where it isn't known."""

    def __init__(self, epochs, has_cut=False, least=1, errors=(), best=0, error=math.nan):
        self._epochs, self._has_cut, self._least = epochs, has_cut, least
        self._errors, self.best, self._error, self._cut_at = list(errors), best, error, None

    def record(self, error):
        """Add an epoch's error; return whether it is the least."""
        self._errors.append(error)
        is_best = error < self._error or math.isnan(self._error)
        if is_best:
            self.best, self._error = len(self._errors), error
        return is_best

    def cut(self, epoch):
        """Begin anew after this epoch, at whose end the rate was cut."""
        self._cut_at = epoch

    @property
    def is_over(self):
        """Whether the error has stood still; with a cut, whether it has fallen by less than a thousandth."""
        then = len(self._errors) - self._length
        if then < (self._cut_at or 0) or len(self._errors) < self._least:
            return False
        if self.best <= then or not self._has_cut or then == 0:
            return self.best <= then
        before = min(self._errors[:then])
        return before - self._error < _LEAST_GAIN * abs(before)

    @property
    def _length(self):
        """How many epochs to wait: many before the error has fallen at all, which it may do late and at once."""
        if not self._has_cut:
            return self._epochs
        if self._cut_at is not None:
            return math.ceil(SHORTER * self._epochs)
        first = self._errors[0] if self._errors else 0.0
        has_fallen = first - min(self._errors, default=0.0) > _FALLEN * abs(first)
        return self._epochs if has_fallen else math.ceil(AT_FIRST * self._epochs)
