"""Children of a process that has used an Op with threads: they have to return, and with what the parent gets."""
import programs
from devices import needs_fork

pytestmark = needs_fork

PROGRAM = """
import os, threading
import numpy as np
import sparse_ae
import theano, theano.tensor as T
from limits import in_child

def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b))
def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found == [True]

from sparse_ae.ops import SGDStep, SquaredError, csr_dot, csr_t_dot, sampled_dot
rs = np.random.RandomState(0)
n, items, k = 400, 300, 64
lengths = rs.randint(20, 60, n)
indptr = np.concatenate([[0], np.cumsum(lengths)]).astype("int32")
indices = rs.randint(0, items, indptr[-1]).astype("int32")
data, F, A = rs.rand(indptr[-1]).astype("f"), rs.rand(items, k).astype("f"), rs.rand(n, k).astype("f")
ratings, rows, starts = T.fvector(), T.ivector(), T.ivector()
x, y = T.fmatrices(2)
first = theano.function([ratings, rows, starts, x, y], [
    csr_dot(ratings, rows, starts, x), sampled_dot(rows, starts, y, x), csr_t_dot(ratings, rows, starts, y, items)],
    on_unused_input="ignore")
mu, b = np.zeros(k, "f"), np.zeros(items, "f")
second = lambda: theano.function([ratings, rows, starts, x], SquaredError("sigmoid", "tanh")(
    x, x, mu, b, ratings, rows, starts))
wanted = first(data, indices, indptr, F, A)
now = lambda: same(first(data, indices, indptr, F, A), wanted)

def another():
    "By an Op that the parent hasn't used."
    return all(np.isfinite(each).all() for each in second()(data, indices, indptr, F))

print("in children, and in their own", all(in_child(now) for _ in range(4)), in_child(lambda: now() and in_child(now)))
print("another Op, first in the child", in_child(another), another())
a = second()
in_parent = a(data, indices, indptr, F)
print("another Op, first in the parent", in_child(lambda: same(a(data, indices, indptr, F), in_parent)))
print("a thread of a child, a child of a thread", in_child(lambda: in_thread(now)),
      in_thread(lambda: now() and in_child(now)))
from sparse_ae.ops.rewrites import rewriting_mode
square, (x, y) = np.random.RandomState(0).rand(700, 700), T.dmatrices(2)
products = theano.function([x, y], [T.dot(x, y), T.sum(x ** 2)], mode=rewriting_mode())
of_parent = products(square, square)
print("NumPy's and SciPy's products", all(
    in_child(lambda: all(np.allclose(*each) for each in zip(products(square, square), of_parent))) for _ in range(2)))
print("the parent", now())
"""


def test_ops_and_products_return_in_children_with_what_the_parent_gets():
    said, errors = programs.run("-c", PROGRAM, OMP_NUM_THREADS="2", PYTHONPATH=programs.WITH_TESTS)
    assert len(said.splitlines()) == 6 and "False" not in said, said + errors[-2000:]
