"""Updates of shared variables in one loop: it reads parameters, the optimiser's state and gradients once, and writes
in place. docs/develop/compiling.md tells how the updates of a function are found."""
import zlib
from collections import OrderedDict

from sparse_ae.ops.ahead import runs_in_c
from sparse_ae.ops.op import CsrOp, InC
from sparse_ae.ops.rewrites import register
import theano
import theano.tensor as T
from theano import gof

_MOST = 31  # inputs and outputs of an Elemwise: NumPy's limit


class Together(theano.scalar.Composite):
    """Several expressions in one number of each array, all computed before one is written: it may replace an input."""

    headers = ()

    def c_code(self, node, name, inputs, outputs, sub):
        new = ["new_%d" % i for i in range(len(outputs))]
        return "\n".join(["%s %s;" % (x.type.dtype_specs()[1], y) for x, y in zip(node.outputs, new)]
                         + [super().c_code(node, name, inputs, new, sub)]
                         + ["%s = %s;" % pair for pair in zip(outputs, new)])

    def c_code_contiguous(self, node, name, inputs, outputs, sub):
        """The loop for arrays in the same memory order: vectorised, on all cores."""
        before, within = [], []
        # Equal constants are one input twice after Theano has merged them: it is declared once.
        for x, variable in OrderedDict(zip(inputs + outputs, node.inputs + node.outputs)).items():
            c_type, is_number = variable.type.dtype_specs()[1], all(variable.broadcastable)
            before.append("%s *const %s_all = (%s *)PyArray_DATA(%s);" % (c_type, x, c_type, x))
            (before if is_number else within).append("%s %s%s_i = %s_all[%s];" % (
                c_type, "" if is_number else "&", x, x, "0" if is_number else "i"))
        body = self.c_code(node.tag.fake_node, name, *([x + "_i" for x in some] for some in (inputs, outputs)),
                           dict(sub, fail="{}"))
        threads = "sparse_ae::n_threads(n * %d)" % len(self.nodenames)
        return "\n".join(["{", *before, "const npy_intp n = PyArray_SIZE(%s);" % outputs[0],
                          "#pragma omp parallel num_threads(%s)" % threads,
                          "{", "const sparse_ae::FlushToZero here;", "#pragma omp for simd",
                          "for (npy_intp i = 0; i < n; i++) {", *within, body, "}", "}", "}"])

    def c_code_cache_version(self):
        version = super().c_code_cache_version()
        return version and version + (zlib.crc32(self.c_support_code().encode()),)

    def c_support_code(self):
        return CsrOp.c_support_code(self) + super().c_support_code()


class UpdatePass(InC, T.Elemwise):
    """An Elemwise of several outputs, on arrays of one shape and on scalars; `pairs` are outputs, and the inputs whose
    new values they are."""

    __props__ = ("scalar_op", "pairs", "inplace")

    def __init__(self, scalar_op, pairs, inplace=False):
        self.pairs, self.updated, self.inplace = tuple(pairs), dict(pairs), inplace
        super().__init__(scalar_op, self.updated if inplace else {})

    def in_place(self):
        """Make the twin that works in place."""
        return UpdatePass(self.scalar_op, self.pairs, True)

    def c_code(self, node, name, inputs, outputs, sub):
        """Theano's code; a read-only old value, such as a file that is mapped to memory, is copied first."""
        copied = ["""
        if (!PyArray_ISWRITEABLE(%(x)s)) {
            PyObject *copy = PyArray_NewCopy(%(x)s, NPY_KEEPORDER);
            if (!copy) { %(fail)s }
            Py_DECREF(%(x)s);
            %(x)s = (PyArrayObject *)copy;
        }""" % dict(sub, x=inputs[i]) for i in (self.updated.values() if self.inplace else ())]
        return "\n".join(copied + [super().c_code(node, name, inputs, outputs, sub)])


@gof.optimizer
def fuse_updates(fgraph):
    """Replace updates, and the elementwise Ops that lead to them, by an `UpdatePass`."""
    olds = OrderedDict()  # new value -> the variable that it updates
    for new, old in sorted((fgraph.update_mapping or {}).items()):
        new, old = fgraph.outputs[new], fgraph.inputs[old]
        # A random generator has no dtype.
        if new.type == old.type and getattr(new, "dtype", "") in ("float32", "float64") and _is_elementwise(new):
            olds.setdefault(new, old)
    if not olds or not runs_in_c():  # without C, NumPy is faster array by array
        return
    inner = OrderedDict()  # the variables that loops compute, last first
    for node in reversed(fgraph.toposort()):
        x = node.outputs[0]
        if _is_elementwise(x) and (x in olds or all(client != "output" and client.outputs[0] in inner
                                                    for client, _ in x.clients)):
            inner[x] = node
    for variables in _components(inner):
        _fuse(fgraph, variables[::-1], olds)


def _is_elementwise(x):
    """Tell whether an elementwise loop can compute the variable."""
    node = x.owner
    if (node is None or not isinstance(node.op, T.Elemwise) or len(node.outputs) > 1 or node.op.inplace_pattern
            or isinstance(node.op.scalar_op, theano.scalar.Composite) or not x.ndim or any(x.broadcastable)):
        return False
    return all(len(set(y.broadcastable)) == 1 and y.dtype in (
        "float32", "float64", "bool", "int8", "int32", "int64", "uint8") for y in node.inputs + node.outputs)


def _components(inner):
    """Lists of the variables of `inner`, in its order, that are connected, be it by an array that both read."""
    groups = []
    for x, node in inner.items():
        own = {x}.union(y for y in node.inputs if y in inner or not any(y.broadcastable))
        joined = [group for group in groups if group & own]
        groups = [group for group in groups if group not in joined] + [own.union(*joined)]
    return [[x for x in inner if x in group] for group in groups]


def _fuse(fgraph, variables, olds):
    inner = set(variables)
    leaves = [y for y in OrderedDict.fromkeys(y for x in variables for y in x.owner.inputs) if y not in inner]
    news = [x for x in variables if x in olds]
    # An update may need, for example, a sum of another one: then they can't be one loop.
    if len(leaves) + len(news) > _MOST or inner.intersection(gof.graph.ancestors(leaves)):
        return
    scalars = {x: theano.scalar.get_scalar_type(x.dtype).make_variable() for x in leaves}
    for x in variables:
        scalars[x] = x.owner.op.scalar_op.make_node(*[scalars[y] for y in x.owner.inputs]).outputs[0]
    together = Together([scalars[x] for x in leaves], [scalars[x] for x in news])
    try:
        together.init_c_code()
    except (NotImplementedError, gof.utils.MethodNotDefined):
        return
    if len(set(together.fgraph.outputs)) < len(news):  # equal outputs would have one name in C
        return
    pairs = [(i, leaves.index(olds[x])) for i, x in enumerate(news) if olds[x] in leaves]
    outputs = UpdatePass(together, pairs)(*leaves, return_list=True)
    fgraph.replace_all_validate(list(zip(news, outputs)), reason="sparse_ae_fuse_updates")


# Before Theano fuses elementwise Ops (49), and after it has rewritten products of matrices.
register("fuse_updates", fuse_updates, 48.8)
