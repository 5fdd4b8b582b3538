"""The masked autoencoder in plain NumPy loops over users and items: the judge of every formulation.

Beside it lists of recommendations, and what a model of lists has to beat.

Nothing here is fast or clever, and nothing is shared with the library.
"""
import math

import numpy as np

NONLINEARITIES = {  # name -> (value, derivative)
    "linear": (lambda x: x, lambda x: 1.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    "tanh": (lambda x: np.tanh(x), lambda x: 1 / np.cosh(x) ** 2),
    "rectify": (lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0),
    "very_leaky_rectify": (lambda x: x if x > 0 else x / 3, lambda x: 1.0 if x > 0 else 1 / 3),
    "softplus": (lambda x: np.log1p(np.exp(x)), lambda x: 1 / (1 + np.exp(-x))),
}


def loss_and_gradients(rows, W, V, mu, b, U=None, f="sigmoid", g="tanh", low=0.0, span=1.0, l2_W=0.1, l2_V=0.1,
                       targets=None, seen=None, weighted=False, w=0.0, m=0.0):
    """The cost of equation (2) and its gradients for W, V, mu and b, and U if there is one.

    `rows` is a list of lists of (item, rating) pairs: what isn't in it isn't observed. The output is low + span f(...),
    and is held against `targets`, a list of lists of numbers beside those of `rows`; by default against the ratings. U,
    like V, encodes the numbers of `seen`, lists like `targets`. If `weighted`, an item's decay counts its ratings.
    Where nothing was observed, the output is held against `m`, and the squared error counts `w`.
    Returns the cost, its data term, and a list of the four or five gradients.
    """
    if targets is None:
        targets = [[r for _, r in row] for row in rows]
    if U is None:
        seen = [[0.0] * len(row) for row in rows]
    (f, df), (g, dg) = NONLINEARITIES[f], NONLINEARITIES[g]
    n_items, k = W.shape
    zero = np.zeros((k, n_items))
    dW, dV, dmu, db, dU = np.zeros((n_items, k)), zero.copy(), np.zeros(k), np.zeros(n_items), zero.copy()
    squared_error = 0.0
    for row, row_targets, row_seen in zip(rows, targets, seen):
        a = mu.astype(float)
        for (j, r), s in zip(row, row_seen):
            a = a + V[:, j] * r + (zero if U is None else U)[:, j] * s
        h, dh = np.array([g(x) for x in a]), np.zeros(k)
        observed = {j: target for (j, _), target in zip(row, row_targets)}
        for j in range(n_items) if w else observed:
            s = b[j] + W[j].dot(h)
            error = low + span * f(s) - observed.get(j, m)
            counts = 1.0 if j in observed else w
            squared_error += counts * error ** 2
            ds = 2 * counts * error * span * df(s)
            db[j] += ds
            dW[j] += ds * h
            dh += ds * W[j]
        da = dh * [dg(x) for x in a]
        dmu += da
        for (j, r), s in zip(row, row_seen):
            dV[:, j] += da * r
            dU[:, j] += da * s
    loss = squared_error
    for j in range(n_items):
        n = sum(1 for row in rows for i, _ in row if i == j) if weighted else 1
        loss += n * l2_W * (W[j] ** 2).sum() + n * l2_V * (V[:, j] ** 2).sum()
        dW[j] += 2 * n * l2_W * W[j]
        dV[:, j] += 2 * n * l2_V * V[:, j]
        if U is not None:
            loss += n * l2_V * (U[:, j] ** 2).sum()
            dU[:, j] += 2 * n * l2_V * U[:, j]
    return loss, squared_error, [dW, dV, dmu, db] + ([] if U is None else [dU])


def residual_inputs(ratings, offsets, unit):
    """What V and U see of a table of ratings, 0 where there is none, beside biases: two tables of its shape.

    `offsets` are what the biases say of its pairs, or of its columns. With n ratings in a row V sees
    (50 / n)^(1/4) (rating - offset) / unit, and U 3 (50 / n)^(1/4).
    """
    offsets = np.broadcast_to(offsets, ratings.shape)
    of_V, of_U = np.zeros(ratings.shape), np.zeros(ratings.shape)
    for i in range(len(ratings)):
        rated = [j for j in range(ratings.shape[1]) if ratings[i, j] != 0]
        for j in rated:
            factor = (50 / len(rated)) ** 0.25
            of_V[i, j], of_U[i, j] = factor * (ratings[i, j] - offsets[i, j]) / unit, 3 * factor
    return of_V, of_U


def sgd(rows, parameters, learning_rate, **kwargs):
    """One step of gradient descent: the cost and its data term before it, and the parameters after it."""
    loss, squared_error, gradients = loss_and_gradients(rows, *parameters, **kwargs)
    return loss, squared_error, [p - learning_rate * d for p, d in zip(parameters, gradients)]


def adagrad(values, gradients, learning_rate, epsilon, sums=None):
    """A step of Adagrad: the new values, and the sums of squares of gradients, which the next one takes."""
    sums = [square + d ** 2 for square, d in zip(sums or [0.0] * len(values), gradients)]
    return [x - learning_rate * d / np.sqrt(square + epsilon) for x, d, square in zip(values, gradients, sums)], sums


def sparse_adam(values, gradients, used, learning_rate, beta1, beta2, epsilon, state=None):
    """A step of Adam in which only the entries of `used`, arrays of bool, move, and what is kept of them.

    `state` is what the step before returned: its number, and the means of gradients and of squares of each array.
    Returns the new values and the state.
    """
    t, means, squares = state or (0, [np.zeros(x.shape) for x in values], [np.zeros(x.shape) for x in values])
    values, means, squares, t = *([x.copy() for x in arrays] for arrays in (values, means, squares)), t + 1
    for x, g, u, m, v in zip(values, gradients, used, means, squares):
        m[u] = beta1 * m[u] + (1 - beta1) * g[u]
        v[u] = beta2 * v[u] + (1 - beta2) * g[u] ** 2
        first, second = m[u] / (1 - beta1 ** t), v[u] / (1 - beta2 ** t)
        x[u] -= learning_rate * first / (np.sqrt(second) + epsilon / math.sqrt(1 - beta2 ** t))
    return values, (t, means, squares)


def pairs(matrix):
    """A CSR matrix as the list of lists that the functions above take."""
    return [[(int(matrix.indices[p]), float(matrix.data[p])) for p in range(matrix.indptr[i], matrix.indptr[i + 1])]
            for i in range(matrix.shape[0])]


def places(indptr):
    """Rows and places of the entries of a CSR matrix."""
    return [(i, p) for i in range(len(indptr) - 1) for p in range(indptr[i], indptr[i + 1])]


def csr_dot(data, indices, indptr, F):
    H = np.zeros((len(indptr) - 1, F.shape[1]))
    for i, p in places(indptr):
        H[i] += data[p] * F[indices[p]]
    return H


def sampled_dot(indices, indptr, A, F):
    return np.array([A[i].dot(F[indices[p]]) for i, p in places(indptr)])


def csr_t_dot(data, indices, indptr, A, n_items):
    G = np.zeros((n_items, A.shape[1]))
    for i, p in places(indptr):
        G[indices[p]] += data[p] * A[i]
    return G


# Lists of recommendations


def list_measures(lists, relevant, k, popularity):
    """What is measured of lists of items, by loops.

    `lists` holds a list of items for each user, best first, `relevant` a set that isn't empty; `popularity` a number
    for each item that could have been listed. Gini's coefficient is by pairs of items, not by ranks.
    """
    found = {name: [] for name in ("precision", "recall", "ndcg", "hit_rate", "map", "mrr", "f1")}
    for items, wanted in zip(lists, relevant):
        gain, precisions, first, n_hits = 0.0, 0.0, 0.0, 0
        for j, item in enumerate(items, 1):
            if item in wanted:
                n_hits += 1
                gain += 1 / np.log2(j + 1)
                precisions += n_hits / j
                first = first or 1 / j
        places = min(k, len(wanted))
        found["precision"].append(n_hits / k)
        found["recall"].append(n_hits / len(wanted))
        found["ndcg"].append(gain / sum(1 / np.log2(j + 1) for j in range(1, places + 1)))
        found["hit_rate"].append(float(n_hits > 0))
        found["map"].append(precisions / places)
        found["mrr"].append(first)
        precision, recall = found["precision"][-1], found["recall"][-1]
        found["f1"].append(2 * precision * recall / (precision + recall) if n_hits else 0.0)
    found = {name: sum(values) / len(values) for name, values in found.items()}
    listed = [item for items in lists for item in items]
    shares = [listed.count(item) / len(listed) for item in popularity]
    return dict(found, coverage=len(set(listed)) / len(popularity), n_users=len(lists),
                popularity=sum(popularity[item] for item in listed) / len(listed),
                novelty=sum(-math.log2(popularity[item]) for item in listed) / len(listed),
                gini=sum(abs(a - b) for a in shares for b in shares) / 2 / max(1, len(shares) - 1),
                entropy=-sum(share * math.log2(share) for share in shares if share),
                user_coverage=sum(1 for items in lists if items) / len(lists))


# What a model of lists has to beat


def weighted_ease_column(X, j, of_users, decay):
    """Column j of EASE's weights, least squares with a weight for each user and a decay for each item but j."""
    weights, others = np.zeros(X.shape[1]), np.arange(X.shape[1]) != j
    A = (X.T * of_users) @ X
    weights[others] = np.linalg.solve((A + np.diag(decay))[np.ix_(others, others)], A[others, j])
    return weights


def local_ease_column(X, j, of_users, decay, k):
    """As `weighted_ease_column`, among j and the k items that have most in common with it, by a power of
    their counts."""
    products, counts, weights = (X.T * of_users) @ X[:, j], np.maximum((X != 0).sum(axis=0), 1), np.zeros(X.shape[1])
    near = [i for i in np.argsort(-np.abs(products) / counts ** 0.3) if i != j and products[i]][:k]
    weights[near] = weighted_ease_column(X[:, near + [j]], len(near), of_users, decay[near + [j]])[:-1]
    return weights


def neighbour_scores(X, rows, k, shrinkage):
    """Scores of some rows of ratings by the k items that are most alike in X, both dense."""
    norms, scores = np.sqrt((X ** 2).sum(axis=0)), np.zeros((len(rows), X.shape[1]))
    for j in range(X.shape[1]):
        products = X.T @ X[:, j]
        similarities = products / (norms * norms[j] + shrinkage)
        alike = [i for i in np.argsort(-similarities, kind="stable") if i != j and products[i] > 0][:k]
        scores[:, j] = rows[:, alike] @ similarities[alike]
    return scores


def all_entries(rows, W, H, missing_weight, l2):
    """Squared error at observed entries, and with a weight at missing ones, and decay; and gradients for W and H.

    `rows` are those of `pairs`.
    """
    loss, dW, dH = l2 * (np.sum(W ** 2) + np.sum(H ** 2)), 2 * l2 * W, 2 * l2 * H
    for u, row in enumerate(rows):
        observed = dict(row)
        for i in range(len(H)):
            weight = 1.0 if i in observed else missing_weight
            error = W[u].dot(H[i]) - observed.get(i, 0.0)
            loss += weight * error ** 2
            dW[u] += 2 * weight * error * H[i]
            dH[i] += 2 * weight * error * W[u]
    return loss, dW, dH


def squared_outputs(h, W, c):
    """The sum of the squares of h W' + c with its gradients for the three."""
    outputs = h @ W.T + c
    return (outputs ** 2).sum(), 2 * outputs @ W, 2 * outputs.T @ h, 2 * outputs.sum(axis=0)
