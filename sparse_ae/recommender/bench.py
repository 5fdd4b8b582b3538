"""Steps by which models of the same shape are trained in turn: a fit compiles one for all."""
from sparse_ae.model import AutoEncoder


class Bench:
    """A model and its step, None before it was trained; others of its shape are trained in their place."""

    def __init__(self, model):
        self.model, self.step = model, None

    @classmethod
    def of(cls, model, benches):
        """The bench for models of this shape, perhaps a new one in the list, with the model's parameters and decays."""
        bench = next((each for each in benches if _shape_of(each.model) == _shape_of(model)), None)
        if bench is None:
            values = {each.name: each.variable.get_value(borrow=True) for each in model.parameters}
            bench = cls(AutoEncoder.from_description(model.describe(), values))
            benches.append(bench)
        else:
            _copy(model, bench.model)
            bench.model.l2_W, bench.model.l2_V = model.l2_W, model.l2_V
            if bench.step is not None and not bench.step.begin_anew():
                bench.step = None
        return bench

    def give(self, step, model):
        """Keep a step, and give a model the trained parameters."""
        self.step = step
        if model is not self.model:
            _copy(self.model, model)


def _shape_of(model):
    """All that steps are compiled of, but for the decays."""
    return dict(model.describe(), l2=None)


def _copy(model, to):
    for source, target in zip(model.parameters, to.parameters):
        target.variable.set_value(source.variable.get_value(borrow=True))
