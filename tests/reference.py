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
    dW, dV, dmu, db = np.zeros((n_items, k)), np.zeros((k, n_items)), np.zeros(k), np.zeros(n_items)
    dU, zero = np.zeros((k, n_items)), np.zeros((k, n_items))
    squared_error = 0.0
    for row, row_targets, row_seen in zip(rows, targets, seen):
        a = [mu[t] + sum(V[t, j] * r for j, r in row)
             + sum((zero if U is None else U)[t, j] * s for (j, _), s in zip(row, row_seen)) for t in range(k)]
        h = [g(x) for x in a]
        dh = np.zeros(k)
        observed = {j: target for (j, _), target in zip(row, row_targets)}
        for j in range(n_items) if w else observed:
            s = b[j] + sum(W[j, t] * h[t] for t in range(k))
            error = low + span * f(s) - observed.get(j, m)
            counts = 1.0 if j in observed else w
            squared_error += counts * error ** 2
            ds = 2 * counts * error * span * df(s)
            db[j] += ds
            for t in range(k):
                dW[j, t] += ds * h[t]
                dh[t] += ds * W[j, t]
        for t in range(k):
            da = dh[t] * dg(a[t])
            dmu[t] += da
            for (j, r), s in zip(row, row_seen):
                dV[t, j] += da * r
                dU[t, j] += da * s
    loss = squared_error
    for j in range(n_items):
        n = sum(1 for row in rows for i, _ in row if i == j) if weighted else 1
        loss += n * l2_W * sum(W[j, t] ** 2 for t in range(k)) + n * l2_V * sum(V[t, j] ** 2 for t in range(k))
        dW[j] += 2 * n * l2_W * W[j]
        dV[:, j] += 2 * n * l2_V * V[:, j]
        if U is not None:
            loss += n * l2_V * sum(U[t, j] ** 2 for t in range(k))
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


def sparse_adam(values, gradients, used, learning_rate, beta1, beta2, epsilon, state=None):
    """A step of Adam in which only the entries of `used`, arrays of bool, move, and what is kept of them.

    `state` is what the step before returned: its number, and the means of gradients and of squares of each array.
    Returns the new values and the state.
    """
    t, means, squares = state or (0, [np.zeros(x.shape) for x in values], [np.zeros(x.shape) for x in values])
    values, means, squares, t = *([x.copy() for x in arrays] for arrays in (values, means, squares)), t + 1
    for x, g, u, m, v in zip(values, gradients, used, means, squares):
        for place in np.ndindex(x.shape):
            if u[place]:
                m[place] = beta1 * m[place] + (1 - beta1) * g[place]
                v[place] = beta2 * v[place] + (1 - beta2) * g[place] ** 2
                first, second = m[place] / (1 - beta1 ** t), v[place] / (1 - beta2 ** t)
                x[place] -= learning_rate * first / (math.sqrt(second) + epsilon / math.sqrt(1 - beta2 ** t))
    return values, (t, means, squares)


def pairs(matrix):
    """A CSR matrix as the list of lists that the functions above take."""
    return [[(int(matrix.indices[p]), float(matrix.data[p])) for p in range(matrix.indptr[i], matrix.indptr[i + 1])]
            for i in range(matrix.shape[0])]


def csr_dot(data, indices, indptr, F):
    H = np.zeros((len(indptr) - 1, F.shape[1]))
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            for t in range(F.shape[1]):
                H[i, t] += data[p] * F[indices[p], t]
    return H


def sampled_dot(indices, indptr, A, F):
    s = np.zeros(len(indices))
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            s[p] = sum(A[i, t] * F[indices[p], t] for t in range(F.shape[1]))
    return s


def csr_t_dot(data, indices, indptr, A, n_items):
    G = np.zeros((n_items, A.shape[1]))
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            for t in range(A.shape[1]):
                G[indices[p], t] += data[p] * A[i, t]
    return G


# Lists of recommendations


def list_measures(lists, relevant, k, popularity):
    """What is measured of lists of items, by loops.

    `lists` holds a list of items for each user, best first, `relevant` a set that isn't empty; `popularity` a number
    for each item that could have been listed.
    """
    found = {name: [] for name in ("precision", "recall", "ndcg", "hit_rate", "map", "mrr")}
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
    found = {name: sum(values) / len(values) for name, values in found.items()}
    listed = [item for items in lists for item in items]
    return dict(found, coverage=len(set(listed)) / len(popularity), n_users=len(lists),
                popularity=sum(popularity[item] for item in listed) / len(listed))


# What a model of lists has to beat


def weighted_ease_column(X, j, of_users, decay):
    """Column j of EASE's weights, least squares with a weight for each user and a decay for each item but j."""
    n_items, weights = X.shape[1], np.zeros(X.shape[1])
    others = [i for i in range(n_items) if i != j]
    A, right = np.zeros((len(others), len(others))), np.zeros(len(others))
    for a, i in enumerate(others):
        A[a, a] += decay[i]
        for u in range(len(X)):
            right[a] += of_users[u] * X[u, i] * X[u, j]
            for b, k in enumerate(others):
                A[a, b] += of_users[u] * X[u, i] * X[u, k]
    weights[others] = np.linalg.solve(A, right)
    return weights


def neighbour_scores(X, rows, k, shrinkage):
    """Scores of some rows of ratings by the k items that are most alike in X, both dense."""
    n_items = X.shape[1]
    norms = [np.sqrt(sum(x ** 2 for x in X[:, i])) for i in range(n_items)]
    scores = np.zeros((len(rows), n_items))
    for j in range(n_items):
        alike = []
        for i in range(n_items):
            product = sum(X[u, i] * X[u, j] for u in range(len(X)))
            if i != j and product > 0:
                alike.append((-product / (norms[i] * norms[j] + shrinkage), i))
        for similarity, i in sorted(alike)[:k]:
            for u in range(len(rows)):
                scores[u, j] -= rows[u][i] * similarity
    return scores


def all_entries(rows, W, H, missing_weight, missing_rating, l2):
    """Squared error at observed entries, and with a weight at missing ones, and decay; and gradients for W and H.

    `rows` are those of `pairs`.
    """
    loss, dW, dH = l2 * (np.sum(W ** 2) + np.sum(H ** 2)), 2 * l2 * W, 2 * l2 * H
    for u, row in enumerate(rows):
        observed = dict(row)
        for i in range(len(H)):
            weight = 1.0 if i in observed else missing_weight
            error = sum(W[u, t] * H[i, t] for t in range(H.shape[1])) - observed.get(i, missing_rating)
            loss += weight * error ** 2
            for t in range(H.shape[1]):
                dW[u, t] += 2 * weight * error * H[i, t]
                dH[i, t] += 2 * weight * error * W[u, t]
    return loss, dW, dH


def squared_outputs(h, W, c):
    """The sum of the squares of h W' + c with its gradients for the three, as lists."""
    value, d_h, d_W, d_c = 0.0, [[0.0] * len(row) for row in h], [[0.0] * len(row) for row in W], [0.0] * len(c)
    for i, row in enumerate(h):
        for j, decoder in enumerate(W):
            output = sum(a * b for a, b in zip(row, decoder)) + c[j]
            value += output ** 2
            d_c[j] += 2 * output
            for t in range(len(row)):
                d_h[i][t] += 2 * output * decoder[t]
                d_W[j][t] += 2 * output * row[t]
    return value, d_h, d_W, d_c


# Networks of layers


def ordinal_probabilities(score, thresholds, link="logistic"):
    """The probability of each ordered level under a cumulative link model, as differences of the link's values."""
    def below(x):
        return 1 / (1 + math.exp(-x)) if link == "logistic" else 0.5 * math.erfc(-x / math.sqrt(2))

    limits = [0.0] + [below(t - score) for t in thresholds] + [1.0]
    return [above - under for under, above in zip(limits, limits[1:])]


def wide_kernel(x, y):
    """The neural tangent kernel of one layer of infinitely many rectifiers, of two rows; 0 if one of them is 0."""
    x_length, y_length = math.sqrt(sum(a * a for a in x)), math.sqrt(sum(a * a for a in y))
    if not x_length or not y_length:
        return 0.0
    u = min(1.0, max(-1.0, sum(a * b for a, b in zip(x, y)) / x_length / y_length))
    angle = math.pi - math.acos(u)
    return (math.sqrt(1 - u * u) + u * angle) / math.pi + u * angle / math.pi


def wide_outputs(x, X, l2):
    """k(x, X) (K + l2 mean(diagonal) I)^-1 X, of rows X that all have ratings."""
    K = np.array([[wide_kernel(a, b) for b in X] for a in X])
    return np.array([wide_kernel(x, a) for a in X]) @ np.linalg.solve(K + l2 * np.mean(np.diag(K)) * np.eye(len(X)), X)
