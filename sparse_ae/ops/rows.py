"""Updates by SGD, Adagrad and Adam of the rows in use only: Ops, and the rewrites that put them into graphs.
docs/develop/compiling.md has a table of the updates that are rewritten; `updates.sparse_adam` uses `RowsStep`, too."""
from typing import NamedTuple

import numpy as np

from sparse_ae.ops.csr import CsrTDot
from sparse_ae.ops.op import (
    C_TYPES,
    CsrOp,
    Layout,
    Updating,
    check_csr,
    check_units,
    csr_matrix,
    float_tensors,
    index_vectors,
)
from sparse_ae.ops.rules import ADAGRAD, SGD
import theano
import theano.tensor as T
from theano import gof, scalar
from theano.tensor.subtensor import AdvancedIncSubtensor1


class RowsStep(Updating, CsrOp):
    """A step of a rule on F (n_items, k) along R' A, in the rows in use. Inputs: F, its state, the rate and settings,
    the block, A (n_rows, k). Outputs: F, its state, and with `growth` that of the sum of F's squares, in float64."""

    __props__ = ("rule", "growth", "inplace")
    headers, function = ("nonlinearities.h", "slices.h", "rules.h", "products.h"), "rows_op"

    def __init__(self, rule, growth=False, inplace=False):
        Updating.__init__(self, inplace)
        self.rule, self.growth = rule, growth

    def layout_of(self, n_inputs):
        return Layout(F=1, state=len(self.rule.state), rate=1, settings=len(self.rule.settings), data=1, indices=1,
                      indptr=1, A=1)

    @property
    def updated(self):
        return {i: i for i in range(1 + len(self.rule.state))}

    def make_node(self, F, *others):
        *others, data, indices, indptr, A = others
        n_state = len(self.rule.state)
        state = {"the %s of F" % name: (x, 2) for name, x in zip(self.rule.state, others)}
        moved = float_tensors(F=(F, 2), **state)
        data, A = (T.cast(T.as_tensor_variable(x), moved[0].dtype) for x in (data, A))  # no wider than F
        data, A = float_tensors(data=(data, 1), A=(A, 2))
        numbers = [T.as_tensor_variable(x) for x in others[n_state:]]
        if len(numbers) != 1 + len(self.rule.settings) or any(x.ndim for x in numbers):
            raise TypeError("the rate%s must be scalars" % "".join(" and " + name for name in self.rule.settings))
        block = [data, *index_vectors(indices, indptr), A]
        return gof.Apply(self, moved + numbers + block, [x.type() for x in moved] + [T.dscalar()] * self.growth)

    def compute(self, *inputs):
        layout = self.layout_of(len(inputs))
        given = layout.named(inputs)
        F, A = given.F, given.A
        check_units(A, F)
        check_csr(given.indices, given.indptr, len(A), len(F), len(given.data))
        if any(inputs[i].shape != F.shape for i in self.updated):
            raise ValueError("the state of F doesn't have its shape")
        used = np.unique(given.indices)
        G = csr_matrix(given.data, np.searchsorted(used, given.indices), given.indptr, len(used)).T.dot(A)
        new, old = self.targets(inputs), F[used]
        self.rule.move(used, G, [float(x) for x in inputs[layout.start("rate"):layout.start("data")]], *new)
        return new + [np.sum((new[0][used] - old) * (new[0][used] + old), dtype="float64")] * self.growth

    def template_arguments(self, node):
        return [int(self.inplace), "sparse_ae::" + self.rule.name, int(self.growth)]

    def infer_shape(self, node, shapes):
        return shapes[:len(self.updated)] + [()] * self.growth


SGD_ROWS, ADAGRAD_ROWS = RowsStep(SGD), RowsStep(ADAGRAD)


def _elementwise(x, *scalar_ops):
    """The inputs of the node that makes x, an Elemwise of one of these scalar Ops; None if it is another."""
    node = x.owner
    if node is None or not isinstance(node.op, T.Elemwise) or not isinstance(node.op.scalar_op, scalar_ops):
        return None
    return node.inputs


def _is_number(x):
    return all(x.broadcastable)


def _as_scalar(x):
    """A number that is broadcast to a matrix, as a scalar."""
    if isinstance(x, T.TensorConstant):
        return T.constant(x.data.reshape(()))
    while x.owner is not None and isinstance(x.owner.op, T.DimShuffle) and not any(
            isinstance(axis, int) for axis in x.owner.op.new_order):
        x = x.owner.inputs[0]
    return x.dimshuffle([]) if x.ndim else x


def _product(numbers, negative, dtype):
    """The product of numbers, negative where asked for, as a scalar."""
    return T.mul(np.asarray(-1 if negative else 1, dtype), *map(_as_scalar, numbers))


def _constant(x):
    """The value of a constant number; NaN for any other variable."""
    try:
        return float(T.get_scalar_constant_value(x))
    except T.NotScalarConstantError:
        return np.nan


def _terms(x, alone=False):
    """The terms of x as a sum: for each the term, the numbers that multiply it, and whether it is subtracted. With
    `alone`, a variable that other nodes of the function read too is one term."""
    if alone and len(getattr(x, "clients", ())) > 1:  # outside a function variables have no clients
        return [(x, [], False)]
    inputs = _elementwise(x, scalar.Add, scalar.Sub, scalar.Neg)
    if inputs:
        terms = [_terms(y, True) for y in inputs]
        if not _elementwise(x, scalar.Add):
            terms[-1] = [(y, numbers, not minus) for y, numbers, minus in terms[-1]]
        return sum(terms, [])
    inputs = _elementwise(x, scalar.Mul)
    if inputs and sum(not _is_number(y) for y in inputs) == 1:
        numbers = [y for y in inputs if _is_number(y)]
        y, = (y for y in inputs if not _is_number(y))
        return [(z, numbers + others, minus) for z, others, minus in _terms(y, True)]
    return [(x, [], False)]


def _is_product(x):
    return x.owner is not None and isinstance(x.owner.op, CsrTDot)


# How a parameter lies: as F (n_items, k), as its transpose, or as a vector, F of one column.
AS_IT_IS, TURNED, VECTOR = "as it is", "turned", "vector"
# The layout beneath a change of axes, by the layout above it, the number of axes, and their new order.
_BENEATH = {(TURNED, 2, (1, 0)): AS_IT_IS, (AS_IT_IS, 2, (1, 0)): TURNED, (VECTOR, 2, (0,)): AS_IT_IS,
            (AS_IT_IS, 1, (0, "x")): VECTOR}


class Gradient(NamedTuple):
    """A gradient of rows in use: the sum of R' A over CSR blocks, lists [data, indices, indptr, A]."""

    layout: str
    blocks: list

    @property
    def block(self):
        """One CSR block (data, indices, indptr, A) whose product is the sum of all."""
        indptr = self.blocks[0][2]
        for block in self.blocks[1:]:
            indptr = T.concatenate([indptr, block[2][1:] + indptr[-1]])
        data, indices, A = (some[0] if len(some) == 1 else T.concatenate(some)
                            for some in ([block[i] for block in self.blocks] for i in (0, 1, 3)))
        return data, indices, indptr, A

    def step(self, op, arrays, *numbers, block=None):
        """Apply a `RowsStep` to the parameter and its state, and return their new values, and what else it gives."""
        there, back = {TURNED: ((1, 0), (1, 0)), VECTOR: ((0, "x"), (0,))}.get(self.layout, (None, None))
        moved = [x.dimshuffle(*there) if there else x for x in arrays]
        outputs = op(*moved, *numbers, *(block or self.block), return_list=True)
        return [x.dimshuffle(*back) if back else x for x in outputs[:len(arrays)]] + outputs[len(arrays):]


def _blocks(x, layout):
    """The blocks of a variable: of a sum those of its terms, times numbers."""
    found = []
    for term, numbers, minus in _terms(x):
        blocks = term.owner and next(filter(None, (read(term, layout) for read in _READ)), None)
        if not blocks:
            return None
        found += _times(blocks, *[_as_scalar(number) for number in reversed(numbers)], *[-1] * minus)
    return found


def _times(blocks, *numbers):
    return blocks and [[T.mul(block[0], *numbers)] + block[1:] for block in blocks] if numbers else blocks


def _of_product(x, layout):
    # csr_t_dot(data, indices, indptr, A, n_items)
    return [x.owner.inputs[:4]] if _is_product(x) and layout is AS_IT_IS else None


def _of_same_numbers(x, layout):
    # cast(G, "float32"), patternbroadcast(G, ...)
    same = isinstance(x.owner.op, theano.compile.Rebroadcast) or _elementwise(x, scalar.Cast, scalar.Identity)
    return _blocks(x.owner.inputs[0], layout) if same else None


def _of_changed_axes(x, layout):
    # csr_t_dot(...).T, where the parameter is read by csr_dot(..., V.T)
    y, order = x.owner.inputs[0], getattr(x.owner.op, "new_order", ())
    beneath = isinstance(x.owner.op, T.DimShuffle) and _BENEATH.get((layout, y.ndim, tuple(order)))
    return _blocks(y, beneath) if beneath else None


def _of_quotient(x, layout):
    # G / n_rows
    inputs = _elementwise(x, scalar.TrueDiv)
    return inputs and _is_number(inputs[1]) and _times(_blocks(inputs[0], layout), 1 / _as_scalar(inputs[1]))


def _of_factors(x, layout):
    # csr_t_dot(...) * 2 * F, of csr_dot(..., (F ** 2).sum(1)): other matrices are read at the rows in use only
    is_second = _elementwise(x, scalar.Second)
    if layout is not AS_IT_IS or not is_second and not _elementwise(x, scalar.Mul):
        return None
    factors = [(i, _blocks(y, layout)) for i, y in enumerate(x.owner.inputs) if i or not is_second]
    factors = [(i, blocks) for i, blocks in factors if blocks]
    return [_at_entries(block, x, i) for i, blocks in factors for block in blocks] if len(factors) == 1 else None


def _of_look_up(x, layout):
    # inc_subtensor(zeros[indices], rows), of F[indices]
    if not _is_of_look_up(x) or layout is TURNED or x.owner.inputs[1].ndim < x.ndim:  # counts add the number 1 to each
        return None
    zeros, rows, indices = x.owner.inputs
    if rows.broadcastable != indices.broadcastable + x.broadcastable[1:]:  # one row, or number, for several indices
        return None
    # An index beyond int32 is beyond the rows of F too, and the Op raises the error.
    indices = T.clip(T.switch(T.lt(indices, 0), indices + zeros.shape[0], indices), -1, np.iinfo("int32").max)
    indices = T.cast(indices, "int32")
    return [[T.ones_like(indices, dtype=x.dtype), indices, T.arange(indices.shape[0] + 1, dtype="int32"),
             rows.dimshuffle(0, "x") if layout is VECTOR else rows]]


# The kinds of nodes that a gradient of rows in use is made of.
_READ = _of_product, _of_same_numbers, _of_changed_axes, _of_quotient, _of_factors, _of_look_up


def _at_entries(block, x, i):
    """The block of x, an elementwise function of input i, whose block is given, and of others: A has a row an entry."""
    data, indices, indptr, A = block
    if not isinstance(indptr.owner and indptr.owner.op, T.ARange):
        A = A[T.repeat(T.arange(indptr.shape[0] - 1), indptr[1:] - indptr[:-1])]
    if x.owner.inputs[i].broadcastable[1]:
        A = T.addbroadcast(A, 1)
    A = x.owner.op(*[A if j == i else _at(y, indices) for j, y in enumerate(x.owner.inputs)])
    return [data, indices, T.arange(indices.shape[0] + 1, dtype="int32"), A]


def _at(x, indices):
    """Rows of x, an elementwise expression in matrices, numbers and rows."""
    if x.broadcastable[0]:
        return x
    if x.owner is not None and isinstance(x.owner.op, T.Elemwise):
        return x.owner.op(*[_at(y, indices) for y in x.owner.inputs])
    return x[indices]


def _is_of_look_up(x):
    """Tell whether x is a gradient of F that ``F[indices]`` gives: rows that are added to zeros."""
    if x.owner is None or not isinstance(x.owner.op, AdvancedIncSubtensor1) or x.owner.op.set_instead_of_inc:
        return False
    return _constant(x.owner.inputs[0]) == 0


def of_rows_in_use(x):
    """The products, and gradients of ``F[indices]``, that the elementwise expression x contains."""
    passed, left, seen, found = (T.Elemwise, T.DimShuffle, theano.compile.Rebroadcast), [x], set(), []
    while left:
        x = left.pop()
        if x not in seen and (_is_product(x) or _is_of_look_up(x)):
            found.append(x)
        elif x not in seen and x.owner is not None and isinstance(x.owner.op, passed):
            left += x.owner.inputs
        seen.add(x)
    return found


def _have_one_client(*variables):
    """Tell whether one node of a function reads each variable, and each product that it contains."""
    return all(len(x.clients) == 1 for y in variables for x in [y, *of_rows_in_use(y)])


def _found(x, old):
    """The `Gradient` of `old` that x is; None where it is none, or where its number of rows may differ, which is
    Theano's to refuse."""
    found, same_shape = rows_in_use(x), old.fgraph.shape_feature.same_shape
    is_for_old = (found and all(term.broadcastable == old.broadcastable for term, _, _ in _terms(x))
                  and all(same_shape(y, old, 0, int(found.layout is TURNED)) for y in of_rows_in_use(x)))
    return found if is_for_old else None


def _sgd(new, old):
    """`new` as steps of SGD on the rows in use of `old`, by products that nothing else reads; None for another."""
    others, moves = [], []
    for x, numbers, minus in _terms(new):
        found = _found(x, old)
        if found and _have_one_client(x):
            moves += [(found, _product(numbers, not minus, x.dtype), block) for block in found.blocks]
        else:
            others.append((x, numbers, minus))
    if not moves or (old, [], False) not in others:
        return None
    others.remove((old, [], False))  # once: a graph may add it twice
    moved = old
    for x, numbers, minus in others:
        if numbers:
            x = T.mul(*numbers + [x])
        moved = moved - x if minus else moved + x
    for gradient, rate, block in moves:
        moved, = gradient.step(SGD_ROWS, [moved], rate, block=block)
    return moved


# Lasagne's Adagrad: the new value of a parameter, and of its sum of squared gradients.
_ADAGRAD = (scalar.Sub, "old", (scalar.TrueDiv, (scalar.Mul, "rate", "gradient"),
                                (scalar.Sqrt, (scalar.Add, "sums", "epsilon"))))
_SUMS = (scalar.Add, "squares", (scalar.Pow, "gradient", "exponent"))


def _matches(x, pattern, found):
    """Whether an elementwise expression is a pattern, whose names are added to `found` with their variables."""
    if isinstance(pattern, str):
        return found.setdefault(pattern, x) is x
    inputs = _elementwise(x, pattern[0]) or []
    return len(inputs) == len(pattern) - 1 and all(_matches(y, part, found) for y, part in zip(inputs, pattern[1:]))


def _adagrad(new, old, updates):
    """The replacements, by a step on the rows in use, of Lasagne's update of `old` and of its sum of squared gradients;
    None for another update."""
    found = {"old": old}
    if not _matches(new, _ADAGRAD, found) or not _matches(found["sums"], _SUMS, found):
        return None
    sums, squares, gradient, rate, epsilon = map(found.get, ("sums", "squares", "gradient", "rate", "epsilon"))
    # With an epsilon of 0 a row without gradients is 0 / 0.
    if (updates.get(squares) is not sums or _constant(found["exponent"]) != 2 or not _is_number(rate)
            or not _constant(epsilon) > 0):
        return None
    # Nothing else reads the gradient, times the rate and squared, or its square.
    square, scaled = sums.owner.inputs[1], new.owner.inputs[1].owner.inputs[0]
    if {client for client, _ in gradient.clients + square.clients} != {square.owner, scaled.owner, sums.owner}:
        return None
    of_rows = _found(gradient, old)
    if not of_rows or not _have_one_client(*[x for x, _, _ in _terms(gradient) if x is not gradient]):
        return None
    outputs = of_rows.step(ADAGRAD_ROWS, [old, squares], _as_scalar(rate), _as_scalar(epsilon))
    return list(zip((new, sums), outputs))


@gof.optimizer
def update_rows(fgraph):
    """Replace updates with arrays of gradients by updates of the rows in use."""
    if not hasattr(fgraph, "shape_feature"):  # a mode without Theano's rewrites of shapes
        return
    updates = {fgraph.inputs[old]: fgraph.outputs[new] for new, old in sorted((fgraph.update_mapping or {}).items())}
    for old, new in updates.items():
        # A random generator has no dimensions. Momentum's velocity reads the new value too.
        if (getattr(old, "ndim", 0) != 2 or any(old.broadcastable) or old.type != new.type
                or old.dtype not in C_TYPES or any(client != "output" for client, _ in new.clients)):
            continue
        moved = _sgd(new, old)
        replacements = [(new, moved)] if moved is not None else _adagrad(new, old, updates)
        if replacements and all(x.type == y.type for x, y in replacements):
            fgraph.replace_all_validate(replacements, reason="sparse_ae_update_rows")


# After the first rewrite, which merges equal nodes, and before all others: updates are as they were written.
theano.compile.optdb.register("sparse_ae_update_rows", update_rows, 0.5, "fast_run")


def rows_in_use(gradient):
    """The `Gradient` that a gradient of `theano.grad` is; None unless it is a sum of `csr_t_dot`s, and of gradients of
    ``F[indices]``, times numbers."""
    for layout in {1: [VECTOR], 2: [AS_IT_IS, TURNED]}.get(gradient.ndim, []):
        blocks = _blocks(gradient, layout)
        if blocks:
            return Gradient(layout, blocks)
    return None
