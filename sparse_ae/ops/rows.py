"""Plain SGD, Adagrad and Adam on the rows in use: Ops, and rewrites for any graph that multiplies by a CSR block.

docs/develop/compiling.md has a table of the updates that are rewritten. `AdamRows` is for `updates.sparse_adam`.
"""
import numpy as np

from sparse_ae.ops.csr import CsrTDot
from sparse_ae.ops.op import (
    C_TYPES,
    CsrOp,
    Updating,
    check_csr,
    check_units,
    csr_matrix,
    float_tensors,
    index_vector,
)
from sparse_ae.ops.rules import ADAGRAD, ADAM, SGD
import theano
import theano.tensor as T
from theano import gof, scalar
from theano.tensor.subtensor import AdvancedIncSubtensor1


class RowsStep(Updating, CsrOp):
    """A rule's step of F (n_items, k) along R' A, in the rows that R has entries for. Inputs: F, its state, the rule's
    numbers, data, indices, indptr, A (n_rows, k); outputs: F and its state, new; where it `grows`, by how much the sum
    of F's squares grew, in float64."""

    __props__ = ("inplace",)
    headers, function = ("nonlinearities.h", "slices.h", "rules.h", "products.h"), "rows_op"
    rule, grows = SGD, False

    @property
    def updated(self):
        return {i: i for i in range(1 + len(self.rule.kept))}

    def make_node(self, F, *others):
        *others, data, indices, indptr, A = others
        n_kept = len(self.rule.kept)
        kept = {"the %s of F" % name: (x, 2) for name, x in zip(self.rule.kept, others)}
        moved = float_tensors(F=(F, 2), **kept)
        data, A = (T.cast(T.as_tensor_variable(x), moved[0].dtype) for x in (data, A))  # no wider than F
        data, A = float_tensors(data=(data, 1), A=(A, 2))
        numbers = [T.as_tensor_variable(x) for x in others[n_kept:]]
        if len(numbers) != 1 + len(self.rule.settings) or any(x.ndim for x in numbers):
            raise TypeError("the step%s must be scalars" % "".join(" and " + name for name in self.rule.settings))
        block = [data, index_vector(indices, "indices"), index_vector(indptr, "indptr"), A]
        return gof.Apply(self, moved + numbers + block, [x.type() for x in moved] + [T.dscalar()] * self.grows)

    def compute(self, *inputs):
        F, (data, indices, indptr, A) = inputs[0], inputs[-4:]
        check_units(A, F)
        check_csr(indices, indptr, len(A), len(F), len(data))
        if any(inputs[i].shape != F.shape for i in self.updated):
            raise ValueError("the state of F doesn't have its shape")
        used = np.unique(indices)
        G = csr_matrix(data, np.searchsorted(used, indices), indptr, len(used)).T.dot(A)
        new, old = self.targets(inputs), F[used]
        self.rule.move(used, G, [float(x) for x in inputs[len(new):-4]], *new)
        return new + [np.sum((new[0][used] - old) * (new[0][used] + old), dtype="float64")] * self.grows

    def template_arguments(self, node):
        return [int(self.inplace), "sparse_ae::" + self.rule.name, int(self.grows)]

    def infer_shape(self, node, shapes):
        return shapes[:len(self.updated)] + [()] * self.grows


class SGDRows(RowsStep):
    """F - rate G. Inputs: F, rate, the block, A."""


class SGDRowsGrowth(RowsStep):
    """As `SGDRows`, with how much the sum of F's squares grew."""

    grows = True


class AdagradRows(RowsStep):
    """Adagrad's step. Inputs: F, squares, rate, epsilon, the block, A."""

    rule = ADAGRAD


class AdamRows(RowsStep):
    """Adam's step. Inputs: F, means, squares, step, beta1, beta2, epsilon, the block, A."""

    rule = ADAM


def _elementwise(x, *scalar_ops):
    """The inputs of the Elemwise node of one of these scalar Ops that makes x; None if another does."""
    node = x.owner
    if node is None or not isinstance(node.op, T.Elemwise) or not isinstance(node.op.scalar_op, scalar_ops):
        return None
    return node.inputs


def _is_number(x):
    return all(x.broadcastable)


def _as_scalar(x):
    """The number that is broadcast to a matrix."""
    if isinstance(x, T.TensorConstant):
        return T.constant(x.data.reshape(()))
    while x.owner is not None and isinstance(x.owner.op, T.DimShuffle) and not any(
            isinstance(axis, int) for axis in x.owner.op.new_order):
        x = x.owner.inputs[0]
    return x.dimshuffle([]) if x.ndim else x


def _product(numbers, negative, dtype):
    """The product of numbers as a scalar, with a minus where asked for."""
    return T.mul(np.asarray(-1 if negative else 1, dtype), *map(_as_scalar, numbers))


def _constant(x):
    """The value of a number; NaN where it isn't constant."""
    try:
        return float(T.get_scalar_constant_value(x))
    except T.NotScalarConstantError:
        return np.nan


def _terms(x, alone=False):
    """x as a sum: (term, numbers that it is multiplied by, whether it is taken off) of each. Where `alone`, a variable
    that others of the function want too is a term, whatever it is made of."""
    if alone and len(getattr(x, "clients", ())) > 1:  # there are none before a function is made
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


AS_IT_IS, TURNED, VECTOR = "as it is", "turned", "vector"  # the layout of a parameter, compared with F (n_items, k)


def _blocks(x, layout=AS_IT_IS):
    """The CSR blocks (data, indices, indptr, A) whose products R' A add up to x; None where they don't."""
    found = []
    for term, numbers, minus in _terms(x):
        blocks = _blocks_of_term(term, layout)
        if not blocks:
            return None
        found += _times(blocks, *[_as_scalar(number) for number in reversed(numbers)], *[-1] * minus)
    return found


def _blocks_of_term(x, layout=AS_IT_IS):
    op = x.owner and x.owner.op
    inputs = x.owner.inputs if x.owner else []
    if _is_product(x):
        return [inputs[:4]] if layout is AS_IT_IS else None
    if isinstance(op, theano.compile.Rebroadcast) or _elementwise(x, scalar.Cast, scalar.Identity):
        return _blocks(inputs[0], layout)
    if isinstance(op, T.DimShuffle):
        inner = {(TURNED, 2, (1, 0)): AS_IT_IS, (AS_IT_IS, 2, (1, 0)): TURNED, (VECTOR, 2, (0,)): AS_IT_IS,
                 (AS_IT_IS, 1, (0, "x")): VECTOR}.get((layout, inputs[0].ndim, tuple(op.new_order)))
        return inner and _blocks(inputs[0], inner)
    if _elementwise(x, scalar.TrueDiv) and _is_number(inputs[1]):
        return _times(_blocks(inputs[0], layout), 1 / _as_scalar(inputs[1]))
    if layout is AS_IT_IS and _elementwise(x, scalar.Mul, scalar.Second):
        # A product times other matrices, which are looked up at the rows in use: the gradient of F in a term that is
        # summed over its units, as ``csr_dot(..., (F ** 2).sum(1))``.
        factors = [(i, _blocks(y)) for i, y in enumerate(inputs) if i or not _elementwise(x, scalar.Second)]
        factors = [(i, blocks) for i, blocks in factors if blocks]
        return [_at_entries(block, x, i) for i, blocks in factors for block in blocks] if len(factors) == 1 else None
    if not _is_of_look_up(x) or layout is TURNED or inputs[1].ndim < x.ndim:  # counts add the number 1 everywhere
        return None
    zeros, rows, indices = inputs
    if rows.broadcastable != indices.broadcastable + x.broadcastable[1:]:  # one row, or one number, for many
        return None
    # An index beyond int32 is beyond F, too.
    indices = T.clip(T.switch(T.lt(indices, 0), indices + zeros.shape[0], indices), -1, np.iinfo("int32").max)
    indices = T.cast(indices, "int32")
    return [[T.ones_like(indices, dtype=x.dtype), indices, T.arange(indices.shape[0] + 1, dtype="int32"),
             rows.dimshuffle(0, "x") if layout is VECTOR else rows]]


def _times(blocks, *numbers):
    return blocks and [[T.mul(block[0], *numbers)] + block[1:] for block in blocks] if numbers else blocks


def _at_entries(block, x, i):
    """The block of x, made element by element of its input i, whose block is given: with a row of A for each entry."""
    data, indices, indptr, A = block
    if not isinstance(indptr.owner and indptr.owner.op, T.ARange):
        A = A[T.repeat(T.arange(indptr.shape[0] - 1), indptr[1:] - indptr[:-1])]
    if x.owner.inputs[i].broadcastable[1]:
        A = T.addbroadcast(A, 1)
    A = x.owner.op(*[A if j == i else _at(y, indices) for j, y in enumerate(x.owner.inputs)])
    return [data, indices, T.arange(indices.shape[0] + 1, dtype="int32"), A]


def _at(x, indices):
    """Rows of x, an expression element by element of matrices, numbers and rows."""
    if x.broadcastable[0]:
        return x
    if x.owner is not None and isinstance(x.owner.op, T.Elemwise):
        return x.owner.op(*[_at(y, indices) for y in x.owner.inputs])
    return x[indices]


def _is_of_look_up(x):
    """Whether x is the gradient of F for ``F[indices]``: its rows, added into zeros."""
    if x.owner is None or not isinstance(x.owner.op, AdvancedIncSubtensor1) or x.owner.op.set_instead_of_inc:
        return False
    return _constant(x.owner.inputs[0]) == 0


def of_rows_in_use(x):
    """The products, and gradients of look-ups, that x is made from, element by element and with others."""
    passed, left, seen, found = (T.Elemwise, T.DimShuffle, theano.compile.Rebroadcast), [x], set(), []
    while left:
        x = left.pop()
        if x not in seen and (_is_product(x) or _is_of_look_up(x)):
            found.append(x)
        elif x not in seen and x.owner is not None and isinstance(x.owner.op, passed):
            left += x.owner.inputs
        seen.add(x)
    return found


def _are_wanted_once(*variables):
    """Whether nothing else in a function's graph asks for them, nor for what of rows in use they are made of."""
    return all(len(x.clients) == 1 for y in variables for x in [y, *of_rows_in_use(y)])


def _found(x, old):
    """The layout of a gradient of `old`, and its CSR blocks; None where it has none, or may have another number of
    rows, which Theano refuses."""
    for layout, axis in ((AS_IT_IS, 0), (TURNED, 1)):
        blocks = _blocks(x, layout)
        if (blocks and all(term.broadcastable == old.broadcastable for term, _, _ in _terms(x))
                and all(old.fgraph.shape_feature.same_shape(y, old, 0, axis) for y in of_rows_in_use(x))):
            return layout, blocks
    return None


def turned(arrays, layout):
    """Arrays of a parameter in this layout as the Ops take them, and back."""
    return [x.T for x in arrays] if layout is TURNED else list(arrays)


def _sgd(new, old):
    """The update of `old` by products of CSR blocks that are wanted for nothing else; None where it is no such."""
    others, moves = [], []
    for x, numbers, minus in _terms(new):
        found = _found(x, old)
        if found and _are_wanted_once(x):
            moves += [(found[0], _product(numbers, not minus, x.dtype), block) for block in found[1]]
        else:
            others.append((x, numbers, minus))
    if not moves or (old, [], False) not in others:
        return None
    others.remove((old, [], False))  # once: a graph that adds it twice means that
    moved = old
    for x, numbers, minus in others:
        if numbers:
            x = T.mul(*numbers + [x])
        moved = moved - x if minus else moved + x
    for layout, step, block in moves:
        moved, = turned([SGDRows()(*turned([moved], layout), step, *block)], layout)
    return moved


def _stacked(blocks):
    """A sum of products of CSR blocks (data, indices, indptr, A) as that of one block."""
    indptr = blocks[0][2]
    for block in blocks[1:]:
        indptr = T.concatenate([indptr, block[2][1:] + indptr[-1]])
    data, indices, A = (blocks[0][i] if len(blocks) == 1 else T.concatenate([block[i] for block in blocks])
                        for i in (0, 1, 3))
    return data, indices, indptr, A


def _adagrad(new, old, updates):
    """Lasagne's update of `old` and of its sum of squared gradients by products of CSR blocks, as replacements; or
    None."""
    # new = old - rate * gradient / sqrt(sums + epsilon), sums = squares + gradient ** 2
    difference = _elementwise(new, scalar.Sub)
    quotient = difference and difference[0] is old and _elementwise(difference[1], scalar.TrueDiv)
    root = quotient and _elementwise(quotient[1], scalar.Sqrt)
    under_root, step = root and _elementwise(root[0], scalar.Add), root and _elementwise(quotient[0], scalar.Mul)
    summed = under_root and _elementwise(under_root[0], scalar.Add)
    power = summed and _elementwise(summed[1], scalar.Pow)
    if not power or not step or not len(under_root) == len(summed) == len(step) == 2:
        return None
    (sums, epsilon), (rate, gradient), squares = under_root, step, summed[0]
    # An epsilon of 0 makes of a row without gradients 0 / 0.
    if (updates.get(squares) is not sums or _constant(power[1]) != 2 or not _is_number(rate)
            or not _constant(epsilon) > 0):
        return None
    # power is that of the gradient then, too.
    wanted_by = {client for client, _ in gradient.clients + summed[1].clients}
    if wanted_by != {summed[1].owner, quotient[0].owner, sums.owner}:
        return None
    found = _found(gradient, old)
    if not found or not _are_wanted_once(*[x for x, _, _ in _terms(gradient) if x is not gradient]):
        return None
    layout, blocks = found
    outputs = AdagradRows()(*turned([old, squares], layout), _as_scalar(rate), _as_scalar(epsilon), *_stacked(blocks),
                            return_list=True)
    return list(zip((new, sums), turned(outputs, layout)))


@gof.optimizer
def update_rows(fgraph):
    """Replace updates with arrays of gradients by updates of the rows in use."""
    if not hasattr(fgraph, "shape_feature"):  # a mode without Theano's rewrites of shapes
        return
    updates = {fgraph.inputs[old]: fgraph.outputs[new] for new, old in sorted((fgraph.update_mapping or {}).items())}
    for old, new in updates.items():
        # A plain random generator has no dimensions. Momentum's velocity is made of the new value, too.
        if (getattr(old, "ndim", 0) != 2 or any(old.broadcastable) or old.type != new.type
                or old.dtype not in C_TYPES or any(client != "output" for client, _ in new.clients)):
            continue
        moved = _sgd(new, old)
        replacements = [(new, moved)] if moved is not None else _adagrad(new, old, updates)
        if replacements and all(x.type == y.type for x, y in replacements):
            fgraph.replace_all_validate(replacements, reason="sparse_ae_update_rows")


# Before all rewrites but the first, which merges equal nodes: updates are as they were written.
theano.compile.optdb.register("sparse_ae_update_rows", update_rows, 0.5, "fast_run")


# Gradients as T.grad gives them, before any rewrite

def rows_in_use(gradient):
    """How a gradient, a sum of `csr_t_dot`s and of gradients of ``F[indices]`` times numbers, is laid out, and the CSR
    block (data, indices, indptr, A) whose R' A it is; None for another."""
    for layout in [VECTOR] if gradient.ndim == 1 else [AS_IT_IS, TURNED] if gradient.ndim == 2 else []:
        blocks = _blocks(gradient, layout)
        if blocks:
            return layout, _stacked(blocks)
    return None
