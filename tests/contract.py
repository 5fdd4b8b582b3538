"""Tests that the tests of any `Model` inherit: those of `AutoEncoder`, of networks of layers, and of a toy.

    class TestMine(ModelContract):
        def make(self, **settings):
            return MyModel(N_COLUMNS, **settings)
"""
import copy
import pickle

import numpy as np
import pytest
from alike import assert_all_close
from made import stars

from sparse_ae.contract import Model, describe_model
from sparse_ae.scoring.outputs import Outputs
from sparse_ae.scoring.scorer import Scorer
from sparse_ae.trainer import Trainer
from sparse_ae.training.batch import Batch
from sparse_ae.training.formulations import FORMULATIONS
from sparse_ae.training.objectives import Observed
import theano
import theano.tensor as T

N_ROWS, N_COLUMNS = 12, 7


def ratings():
    """Row 4 and column 6 have none."""
    return stars(N_ROWS, N_COLUMNS, 0.6, without_rows=[4], without_columns=[6])


def batch_of(model, matrix):
    """A Batch that has what the model reads."""
    return Batch.of(matrix, indicator=np.ones(matrix.nnz, "float32") if model.channels else None)


class GraphContract:
    """Its tests ask `make` for a model of N_COLUMNS columns, without noise."""

    tolerance = dict(rtol=1e-4, atol=1e-5)

    def make(self):
        raise NotImplementedError

    @pytest.fixture
    def model(self):
        return self.make()

    def graph(self, model, name):
        """The cost, its gradients, and what goes into both."""
        formulation = FORMULATIONS[name]
        with model.building():
            batch = formulation.inputs(model.channels, model.dtype)
            cost = Observed().cost(model, formulation, batch) + model.decay(0.5, formulation.item_counts(model, batch))
            trained = [each.variable for each in model.parameters if each.trainable]
            return theano.function(batch.present, [cost] + T.grad(cost, trained, disconnected_inputs="ignore"))

    def test_parameters_are_records(self, model):
        names = [each.name for each in model.parameters]
        assert len(set(names)) == len(names) and model.params == [each.variable for each in model.parameters]
        for each in model.parameters:
            shape = each.variable.get_value().shape
            assert each.columns_axis is None or shape[each.columns_axis] == model.n_columns
            assert each.variable.dtype == model.dtype and each.decay >= 0

    def test_its_decoder_is_its_last_layer(self, model):
        decoder = model.decoder()
        assert decoder.W.get_value().shape == (model.n_columns, model.n_hidden) == (N_COLUMNS, model.n_hidden)
        assert decoder.b.get_value().shape == (N_COLUMNS,)
        assert [model.decay_of(decoder.W)] == [each.decay for each in model.parameters if each.variable is decoder.W]
        outputs, matrix = Outputs(model), ratings()
        h = outputs.hidden(batch_of(model, matrix))
        assert h.shape == (N_ROWS, model.n_hidden) and h.dtype == model.dtype
        every = outputs.pairs(h, np.tile(np.arange(N_COLUMNS), N_ROWS), np.arange(N_ROWS + 1) * N_COLUMNS)
        np.testing.assert_allclose(every.reshape(N_ROWS, N_COLUMNS), outputs.everywhere(h), **self.tolerance)
        with model.building():
            of_batch = FORMULATIONS["sparse"].inputs(model.channels, model.dtype)
            output = theano.function(of_batch.present, model.decode(model.encode(of_batch), of_batch))
        packed = FORMULATIONS["sparse"].pack(batch_of(model, matrix), model)
        np.testing.assert_allclose(output(*packed), outputs.everywhere(h)[matrix.nonzero()], **self.tolerance)

    def test_dense_and_sparse_are_one_function(self, model):
        batch = batch_of(model, ratings())
        one, other = (self.graph(model, name)(*FORMULATIONS[name].pack(batch, model)) for name in ("dense", "sparse"))
        assert_all_close(one, other, **self.tolerance)

    def test_a_file_gives_it_back(self, model, tmp_path):
        model.save(tmp_path / "m.npz")
        for again in type(model).load(tmp_path / "m.npz"), Model.load(str(tmp_path / "m.npz")):
            assert type(again) is type(model) and describe_model(again) == describe_model(model)
            assert [each[1:] for each in again.parameters] == [each[1:] for each in model.parameters]
            self.same(again, model)

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
    def test_a_copy_is_a_model_of_its_own(self, model, copied):
        Outputs(model).hidden(batch_of(model, ratings()))
        other = copied(model)
        self.same(other, model)
        for each in other.parameters:
            each.variable.set_value(each.variable.get_value() + np.asarray(0.1, model.dtype))
        assert not np.array_equal(self.outputs(other), self.outputs(model))

    def outputs(self, model):
        outputs = Outputs(model)
        return outputs.everywhere(outputs.hidden(batch_of(model, ratings())))

    def same(self, one, other):
        np.testing.assert_array_equal(self.outputs(one), self.outputs(other))


class ModelContract(GraphContract):
    """What models do that read nothing beside the ratings, so that they are trained without targets."""

    def test_it_trains_and_predicts(self, model):
        matrix = ratings()
        trainer = Trainer(model, "adam", 0.02, batch_size=4, progress=False)
        losses = [record["loss"] for record in trainer.fit(matrix, 12)]
        assert losses[-1] < losses[0]
        scorer = Scorer(model, matrix)
        predicted = scorer.predict(*matrix.nonzero(), scorer.rating_matrix.mean)
        assert np.isfinite(predicted).all()
        lists = scorer.best(np.arange(N_ROWS), 3, True, np.arange(6))[0]
        assert lists.shape == (N_ROWS, 3)

    def test_pairs_are_predicted_as_blocks_are(self, model):
        matrix, (rows, columns) = ratings(), ratings().nonzero()
        grid = np.vstack([block for _, block in model.predict_blocks(matrix, 5)])
        assert grid.shape == (N_ROWS, N_COLUMNS)
        np.testing.assert_allclose(model.predict_pairs(matrix, rows, columns), grid[rows, columns], **self.tolerance)

    def test_a_step_puts_its_state_back(self, model):
        trainer = Trainer(model, "adam", 0.02, batch_size=4, progress=False)
        trainer.fit(ratings(), 1)
        state, outputs = trainer.step.get_state(), self.outputs(model)
        trainer.fit(ratings(), 1)
        assert not np.array_equal(self.outputs(model), outputs)
        trainer.step.set_state(state)
        np.testing.assert_array_equal(self.outputs(model), outputs)
        name, variable = model.parameters[0][1], model.parameters[0].variable
        state[name] = np.full_like(state[name], np.nan)
        with pytest.raises(ValueError, match="^%s holds NaN" % name):
            trainer.step.check_state(state)
        variable.set_value(state[name])
        assert trainer.step.ruined() == [name]
