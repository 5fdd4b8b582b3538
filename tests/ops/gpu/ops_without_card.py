"""All Ops of `sparse_ae.ops.gpu` as they come into graphs, without a card: a program that fails where one is wrong."""
import pickle

import no_card  # noqa: F401  (before theano)

from sparse_ae.ops import csr_dot, csr_t_dot, dense_rows, sampled_dot, stored_arrays
from sparse_ae.ops.fused import AdagradStep, SGDStep, SquaredError
from sparse_ae.ops.gpu import lifts  # noqa: F401
from sparse_ae.ops.gpu.base import GpuCsrOp
import theano
import theano.sparse
import theano.tensor as T
from theano import gof
from theano.gpuarray.type import GpuArrayType


def all_ops(base=gof.Op):
    """The Ops' classes, without those that are only inherited from."""
    classes = base.__subclasses__()
    found = set().union(*map(all_ops, classes)) if classes else {base}
    return {each for each in found if each.__module__.startswith("sparse_ae.ops.gpu.")}


def check_names(kind):
    """No name is a method of one class and a value of another, of those that an Op inherits from."""
    for base in kind.__mro__:
        for name in vars(base):
            is_method = callable(getattr(base, name))
            assert name.startswith("__") or callable(getattr(kind, name)) == is_method, (kind, base, name)


def on_card(*ndims):
    return [GpuArrayType("float32", (False,) * ndim)() for ndim in ndims]


def rewritten(inputs, outputs):
    """The nodes of a graph that the whole optimiser has put on the card."""
    fgraph = gof.FunctionGraph(inputs, outputs, features=[theano.compile.function_module.Supervisor([])])
    theano.Mode("py", "fast_run").optimizer.optimize(fgraph)
    return fgraph.toposort()


def graphs():
    """Inputs and outputs that together need all Ops."""
    indices, indptr = block = T.ivectors(2)
    parameters, squares, (data, target, indicator) = on_card(2, 2, 1, 1, 2), on_card(2, 2, 1, 1, 2), on_card(1, 1, 1)
    numbers, state, (F, A) = T.dscalars(3), T.dvector(), on_card(2, 2)
    units = dict(f="sigmoid", g="tanh", low=1, span=4)
    yield [data, *block, F, A], [csr_dot(data, *block, F), sampled_dot(*block, A, F), csr_t_dot(data, *block, A, 9),
                                 dense_rows(data, *block, 9)]
    x = theano.sparse.csr_matrix(dtype="float32")  # a user's own graph has a matrix of SciPy's
    yield [x, F], [csr_dot(*stored_arrays(x), F)]
    *first, U_t = parameters
    yield parameters + [data, *block, target, indicator], SquaredError(**units)(
        *first, data, *block, target, U_t, indicator)
    yield first + [state, data, *block, *numbers, target], SGDStep(**units)(
        *first, state, data, *block, *numbers, target)
    yield parameters + squares + [data, *block, *numbers, target, indicator], AdagradStep(epsilon=1e-6, **units)(
        *parameters, *squares, data, *block, *numbers, target, indicator)


def check(node):
    """Makes a node's Op again, pickles it, compares it with others, and writes its code."""
    op, copy = node.op, pickle.loads(pickle.dumps(node.op))
    assert copy == op and hash(copy) == hash(op) and copy is not op
    again = copy.make_node(*node.inputs)
    assert [x.type for x in again.outputs] == [x.type for x in node.outputs]
    if getattr(op, "updated", None):
        assert op.inplace and op.destroy_map == {new: [old] for new, old in op.updated.items()}
        twin = op.changed(inplace=False)
        assert twin != op and twin.in_place() == op and not twin.destroy_map
    if isinstance(op, GpuCsrOp):
        inputs, outputs = (["%s%d" % (letter, i) for i in range(len(variables))]
                           for letter, variables in (("x", node.inputs), ("y", node.outputs)))
        code = op.c_code(node, "name", inputs, outputs, {"params": "params", "fail": "fail;"})
        for kernel in op.gpu_kernels(node, "name"):
            assert "%s_call(2, " % kernel.name in code and "KERNEL void %s(" % kernel.name in kernel.code
        for new, old in getattr(op, "updated", {}).items():
            assert "%s = %s;" % (outputs[new], inputs[old]) in code


if __name__ == "__main__":
    theano.config.on_opt_error = "raise"
    kinds = all_ops()
    for kind in kinds:
        check_names(kind)
    ours = [node for graph in graphs() for node in rewritten(*graph) if type(node.op) in kinds]
    for node in ours:
        check(node)
    print(len(kinds), "Ops; not in a graph:", *sorted(kind.__name__ for kind in kinds - {type(x.op) for x in ours}))
