"""Updates of shared variables in one pass: parameters, moments and gradient are read once, and written in place.

Momentum, Adam and the like, Lasagne's or others', are element by element: a new parameter and its running averages are
functions of the old ones, a gradient and some scalars. Theano makes of them a loop for each new value, on one thread
unless its flag `openmp` is set. `FuseUpdates` finds in a function's graph the updates that stand on the same arrays,
with all elementwise Ops before them, such as the weight decay's gradient, and makes one loop of them: on all cores, by
vectors, in place if the old values aren't needed.

It applies to functions that hold an Op of this package, see `rewrites`.
"""
from collections import OrderedDict

import numpy as np

from sparse_ae.ops.op import CsrOp, Updating
from sparse_ae.ops.rewrites import register
import theano
import theano.tensor as T
from theano import gof


def _kind(broadcastable):
    """Name an input of this pattern as updates.h does; None for one that the loop doesn't take."""
    if not any(broadcastable):
        return "FULL"
    if all(broadcastable):
        return "SCALAR"
    return {(True, False): "ROW", (False, True): "COLUMN"}.get(tuple(broadcastable))


class UpdatePass(Updating, CsrOp):
    """A `theano.scalar.Composite` of each element of arrays of one shape; numbers, rows and columns broadcast to it.
    `pairs` are outputs and the inputs that they are new values of."""

    __props__ = ("scalar_op", "pairs", "inplace")
    headers = ("updates.h",)

    def __init__(self, scalar_op, pairs=(), inplace=False):
        self.scalar_op, self.pairs = scalar_op, tuple(pairs)
        self.updated = OrderedDict(self.pairs)
        super().__init__(inplace)

    # As many as updates.h has room for.
    MOST = 64

    def make_node(self, *inputs):
        if len(inputs) + len(self.scalar_op.outputs) > self.MOST:
            raise ValueError("%d inputs and %d outputs; together they must not be more than %d"
                             % (len(inputs), len(self.scalar_op.outputs), self.MOST))
        outputs = [T.TensorType(x.dtype, (False,) * inputs[0].ndim)() for x in self.scalar_op.outputs]
        return gof.Apply(self, list(inputs), outputs)

    def perform(self, node, inputs, outputs, params=None):
        first, shape = next((i, x.shape) for i, x in enumerate(inputs) if not any(node.inputs[i].broadcastable))
        for i, x in enumerate(inputs):
            for axis, broadcasts in enumerate(node.inputs[i].broadcastable):
                if not broadcasts and x.shape[axis] != shape[axis]:
                    raise ValueError("Input dimension mis-match. (input[%d].shape[%d] = %d, input[%d].shape[%d] = %d)"
                                     % (first, axis, shape[axis], i, axis, x.shape[axis]))
        known = dict(zip(self.scalar_op.fgraph.inputs, inputs))
        for step in self.scalar_op.fgraph.toposort():
            arrays = [known[x] if x in known else np.asarray(x.data).reshape((1,) * len(shape)) for x in step.inputs]
            known[step.outputs[0]] = _elementwise(step, arrays)
        results = [known[x] for x in self.scalar_op.fgraph.outputs]
        for i, x in enumerate(results):
            if self.inplace and i in self.updated:
                old = inputs[self.updated[i]]
                old[...] = x
                x = old
            outputs[i][0] = x

    def infer_shape(self, node, shapes):
        shape = next(shape for shape, x in zip(shapes, node.inputs) if not any(x.broadcastable))
        return [shape] * len(node.outputs)

    def c_support_code(self):
        return super().c_support_code() + "\n" + self.scalar_op.c_support_code()

    def c_support_code_struct(self, node, name):
        return ""

    def c_support_code_apply(self, node, name):
        code = [self.scalar_op.c_support_code_apply(node, name + "_scalar_"),
                self._run(node, name, "along_rows", "COLUMN")]
        if self._depends_on_direction(node):
            code.append(self._run(node, name, "along_columns", "ROW"))
        return "\n".join(code)

    @staticmethod
    def _depends_on_direction(node):
        return any(_kind(x.broadcastable) in ("ROW", "COLUMN") for x in node.inputs)

    def _run(self, node, name, direction, still):
        """The loop's body as a function, updates.h's Run."""
        ins, outs = ["i%d" % i for i in range(len(node.inputs))], ["o%d" % i for i in range(len(node.outputs))]
        before, within, after = [], [], []
        for i, (x, variable) in enumerate(zip(ins, node.inputs)):
            c_type, moves = variable.type.dtype_specs()[1], _kind(variable.broadcastable) not in ("SCALAR", still)
            before.append("const %s *%s = (const %s *)operands[%d];" % (c_type, x, c_type, i))
            (within if moves else before).append("const %s %s_i = %s[%s];" % (c_type, x, x, "j" if moves else "0"))
        for i, (x, variable) in enumerate(zip(outs, node.outputs)):
            c_type = variable.type.dtype_specs()[1]
            before.append("%s *%s = (%s *)operands[%d];" % (c_type, x, c_type, len(ins) + i))
            within.append("%s %s_i;" % (c_type, x))
            after.append("%s[j] = %s_i;" % (x, x))
        scalars = [theano.scalar.get_scalar_type(x.dtype).make_variable() for x in node.inputs]
        body = self.scalar_op.c_code(self.scalar_op.make_node(*scalars), name + "_scalar_", [x + "_i" for x in ins],
                                     [x + "_i" for x in outs], dict(fail="{}"))
        return "\n".join(["static void %s_%s(npy_intp n, char *const *operands)\n{" % (direction, name)] + before +
                         ["#pragma omp simd", "for (npy_intp j = 0; j < n; j++) {"] + within + [body] + after
                         + ["}", "}"])

    def c_code(self, node, name, inputs, outputs, sub):
        return """
        {
            PyArrayObject *const in[] = {%(inputs)s};
            PyArrayObject **const out[] = {%(outputs)s};
            static const sparse_ae::Kind kinds[] = {%(kinds)s};
            static const int types[] = {%(types)s}, updated[] = {%(updated)s};
            if (sparse_ae::update_pass(std::vector<PyArrayObject *>(in, in + %(n_in)d), kinds,
                                       std::vector<PyArrayObject **>(out, out + %(n_out)d), types, updated, %(inplace)d,
                                       along_rows_%(name)s, %(columns)s_%(name)s, %(steps)d)) { %(fail)s }
        }""" % dict(inputs=", ".join(inputs), outputs=", ".join("&" + x for x in outputs), name=name, n_in=len(inputs),
                    kinds=", ".join("sparse_ae::" + _kind(x.broadcastable) for x in node.inputs), n_out=len(outputs),
                    types=", ".join(x.type.dtype_specs()[2] for x in node.outputs), inplace=self.inplace,
                    columns="along_columns" if self._depends_on_direction(node) else "along_rows",
                    updated=", ".join(str(self.updated.get(i, -1)) for i in range(len(outputs))),
                    steps=len(self.scalar_op.fgraph.apply_nodes), fail=sub["fail"])

    def c_code_cache_version(self):
        scalar = self.scalar_op.c_code_cache_version()
        return super().c_code_cache_version() + (2, scalar) if scalar else ()


def _elementwise(step, arrays):
    """A scalar node's function of each element, by NumPy."""
    op = T.Elemwise(step.op)
    node = op.make_node(*[T.TensorType(x.dtype, [n == 1 for n in x.shape])() for x in arrays])
    op.prepare_node(node, None, None, "py")
    output = [None]
    op.perform(node, arrays, [output])
    return np.asarray(output[0], node.outputs[0].dtype)


class FuseUpdates(gof.Optimizer):
    """Replace updates, and the elementwise Ops before them, by an `UpdatePass`."""

    def add_requirements(self, fgraph):
        fgraph.attach_feature(gof.toolbox.ReplaceValidate())

    def apply(self, fgraph):
        olds = OrderedDict()  # new value -> the variable that it is for
        for new, old in sorted((fgraph.update_mapping or {}).items()):
            new, old = fgraph.outputs[new], fgraph.inputs[old]
            if new.type == old.type and new.dtype in ("float32", "float64") and self.is_step(new):
                olds.setdefault(new, old)
        if not olds:
            return
        inner = OrderedDict()  # what passes compute, last first
        for node in reversed(fgraph.toposort()):
            x = node.outputs[0]
            if self.is_step(x) and (x in olds or all(client != "output" and client.outputs[0] in inner for client,
                                                     _ in x.clients)):
                inner[x] = node
        for steps in self.components(inner):
            self.fuse(fgraph, steps[::-1], olds)

    @staticmethod
    def is_step(x):
        """Tell whether a loop can compute the variable."""
        node = x.owner
        if (node is None or not isinstance(node.op, T.Elemwise) or len(node.outputs) > 1 or node.op.inplace_pattern
                or isinstance(node.op.scalar_op, theano.scalar.Composite) or not x.ndim or any(x.broadcastable)):
            return False
        return all(_kind(y.broadcastable) and y.dtype in ("float32", "float64", "bool", "int8", "int32", "int64",
                                                          "uint8")
                   for y in node.inputs + node.outputs)

    @staticmethod
    def components(inner):
        """Lists of the variables of `inner`, in its order, that are connected, if only by an array that they read."""
        group = {}

        def find(x):
            while group.setdefault(x, x) is not x:
                x = group[x]
            return x

        for x, node in inner.items():
            for y in node.inputs:
                if y in inner or not any(y.broadcastable):
                    group[find(y)] = find(x)
        components = OrderedDict()
        for x in inner:
            components.setdefault(find(x), []).append(x)
        return components.values()

    def fuse(self, fgraph, steps, olds):
        inner = set(steps)
        leaves = []
        for x in steps:
            leaves += [y for y in x.owner.inputs if y not in inner and y not in leaves]
        news = [x for x in steps if x in olds]
        # An update may use another one's sum, for example: then they can't be one loop.
        if len(leaves) + len(news) > UpdatePass.MOST or inner.intersection(gof.graph.ancestors(leaves)):
            return
        scalars = {x: theano.scalar.get_scalar_type(x.dtype).make_variable() for x in leaves}
        for x in steps:
            scalars[x] = x.owner.op.scalar_op.make_node(*[scalars[y] for y in x.owner.inputs]).outputs[0]
        composite = theano.scalar.Composite([scalars[x] for x in leaves], [scalars[x] for x in news])
        try:
            composite.init_c_code()
        except (NotImplementedError, gof.utils.MethodNotDefined):
            return
        pairs = [(i, leaves.index(olds[x])) for i, x in enumerate(news) if olds[x] in leaves]
        outputs = UpdatePass(composite, pairs)(*leaves, return_list=True)
        fgraph.replace_all_validate(list(zip(news, outputs)), reason="sparse_ae_fuse_updates")


# Before Theano fuses elementwise Ops (49), and after it has rewritten products.
register("fuse_updates", FuseUpdates(), 48.8)
