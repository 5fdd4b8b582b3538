"""One step of the post's model in PyTorch, as contenders of benchmark.py: masked and dense, or by sparse products."""
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")


class Dense:
    """Every rating in its place, and a mask: what one would write first."""

    name = "PyTorch, dense"

    def __init__(self, start, recipe, l2, name=None):
        self.l2, self.name = l2, name or self.name
        self.f, self.g = ((lambda x: x) if each == "identity" else getattr(torch, each)
                          for each in (recipe.f, recipe.g))
        self.W, self.V = (torch.tensor(x, requires_grad=True) for x in (start[0], np.ascontiguousarray(start[1].T)))
        self.mu, self.b = torch.zeros(len(start[1]), requires_grad=True), torch.zeros(len(start[0]), requires_grad=True)
        optimiser, options = {"sgd": (torch.optim.SGD, {}), "adam": (torch.optim.Adam, dict(fused=True))}[recipe.update]
        self.optimiser = optimiser([self.W, self.V, self.mu, self.b], lr=recipe.learning_rate, **options)

    def squared_error(self, block):
        rating = torch.from_numpy(block.toarray())
        output = self.f(torch.addmm(self.b, self.g(torch.addmm(self.mu, rating, self.V)), self.W.T))
        return (((output - rating) * (rating != 0)) ** 2).sum()

    def run(self, batches):
        errors = []
        for block in batches:
            error = self.squared_error(block)
            self.optimiser.zero_grad()
            (error + self.l2 * ((self.W ** 2).sum() + (self.V ** 2).sum())).backward()
            self.optimiser.step()
            errors.append(error.item())
        return errors

    def parameters(self):
        return [x.detach().numpy() for x in (self.W, self.V.T, self.mu, self.b)]


class Sparse(Dense):
    """Products with the rows in CSR form, and their gradients by sparse products; decay and update move all rows."""

    name = "PyTorch, sparse products"

    def squared_error(self, block):
        rows = _Rows(block)
        h = self.g(_Encode.apply(self.V, rows) + self.mu)
        output = self.f(_Decode.apply(h, self.W, rows) + self.b[rows.columns])
        return ((output - rows.ratings) ** 2).sum()


class _Rows:
    """A block of ratings R; `matrix` and `transposed` lay values of its entries out as R, or as R'."""

    def __init__(self, block):
        self.shape, self.ratings = block.shape, torch.from_numpy(block.data)
        self._places = torch.from_numpy(block.indptr), torch.from_numpy(block.indices)
        self.columns = self._places[1].long()

    def matrix(self, values):
        return torch.sparse_csr_tensor(*self._places, values, size=self.shape, check_invariants=False)

    def transposed(self, values):
        return torch.sparse_csc_tensor(*self._places, values, size=self.shape[::-1],
                                       check_invariants=False).to_sparse_csr()


class _Encode(torch.autograd.Function):
    """R V."""

    @staticmethod
    def forward(context, V, rows):
        context.rows = rows
        return rows.matrix(rows.ratings) @ V

    @staticmethod
    def backward(context, gradient):
        return context.rows.transposed(context.rows.ratings) @ gradient, None


class _Decode(torch.autograd.Function):
    """The entries of h W' at the ratings of R."""

    @staticmethod
    def forward(context, h, W, rows):
        context.save_for_backward(h, W)
        context.rows = rows
        entries = rows.matrix(torch.zeros_like(rows.ratings))
        return torch.sparse.sampled_addmm(entries, h, W.T, beta=0.0).values()

    @staticmethod
    def backward(context, gradient):
        h, W = context.saved_tensors
        return context.rows.matrix(gradient) @ W, context.rows.transposed(gradient) @ h, None
