"""Networks to begin with, each a few lines of layers."""
from sparse_ae.checks import check_count
from sparse_ae.layers import ObservedLayer, SparseInputDenseLayer, SparseInputDropoutLayer, SparseInputNormLayer
from sparse_ae.networks.descriptions import nonlinearity_of
from sparse_ae.networks.network import Network
from sparse_ae.parameters import drawing
import lasagne
from lasagne import layers

# Initial weights in residual mode, as the post's model has them there: with Glorot's the RMSE is higher.
_SMALL = lasagne.init.Normal(0.01)


def _encoder(ratings, n_hidden, g, indicator, hide=0.0):
    """The first hidden layer, and a second encoder in it where there is an indicator to read."""
    check_count(n_hidden, "n_hidden", ", the width of every hidden layer")
    g, shown = nonlinearity_of(g), SparseInputDropoutLayer(ratings, hide) if hide else ratings
    if not indicator:
        return SparseInputDenseLayer(shown, n_hidden, nonlinearity=g)
    values = SparseInputDenseLayer(shown, n_hidden, W=_SMALL, nonlinearity=None)
    there = layers.InputLayer(ratings.output_shape, name="indicator")
    there = SparseInputDenseLayer(there, n_hidden, W=_SMALL, b=None, nonlinearity=None)
    return layers.NonlinearityLayer(layers.ElemwiseSumLayer([values, there]), g)


def shallow(n_columns, n_hidden, rating_scale=None, f="sigmoid", g="tanh", **settings):
    """Make the post's model of layers: a `Network` with the loss and the updates of an `AutoEncoder`.

    All arguments are those of `deep`.
    """
    settings = dict({"depth": 1, "dropout": 0}, **settings)
    return deep(n_columns, n_hidden, rating_scale=rating_scale, f=f, g=g, **settings)


def deep(n_columns, n_hidden=500, depth=2, dropout=0.3, hide=0.0, rating_scale=None, f="linear", g="tanh", l2=0.1,
         rng=0, dtype="float32", indicator=False):
    """Make a network of hidden layers of one width, each with a residual connection: h + g(U h + c).

    Parameters
    ----------
    n_columns, n_hidden : int
    depth : int
        The number of hidden layers.
    dropout : float
        The share of the last hidden units that is dropped in training; from 0 to below 1.
    hide : float
        The share of ratings that is hidden from the encoder in training, as in `denoising`.
    rating_scale : (float, float), optional
    f, g : str
        Nonlinearities of outputs and hidden units, by their names in `lasagne.nonlinearities`.
    l2 : float
    rng : numpy.random.RandomState or int
        For initial values, and the seeds of noise.
    dtype : {"float32", "float64"}
    indicator : bool
        Whether a second encoder reads which entries are there, as in residual mode.

    Returns
    -------
    Network

    Examples
    --------
    >>> from sparse_ae.networks import deep
    >>> [each.name for each in deep(n_columns=40, n_hidden=10, depth=2).parameters]
    ['1.W', '1.b', '2.W', '2.b', 'W', 'b']
    """
    check_count(depth, "depth")
    with drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        hidden = _encoder(ratings, n_hidden, g, indicator, hide)
        for _ in range(depth - 1):
            more = layers.DenseLayer(hidden, n_hidden, nonlinearity=nonlinearity_of(g))
            hidden = layers.ElemwiseSumLayer([hidden, more])
        if dropout:
            hidden = layers.DropoutLayer(hidden, dropout)
        W = _SMALL if indicator else lasagne.init.GlorotUniform()
        return Network(ObservedLayer(hidden, ratings, W=W, nonlinearity=nonlinearity_of(f)), rating_scale, l2)


def denoising(n_columns, n_hidden=500, hide=0.4, dropout=0.2, **settings):
    """Make a `Network` that gets a random part of the ratings each time, and learns to reconstruct all of them.

    All arguments are those of `deep`, with one hidden layer by default.
    """
    return deep(n_columns, n_hidden, **dict({"depth": 1}, hide=hide, dropout=dropout, **settings))


def tied(n_columns, n_hidden, rating_scale=None, f="sigmoid", g="tanh", l2=0.1, rng=0, dtype="float32",
         indicator=False):
    """Make the `Network` f(W g(W' r + mu) + b), whose decoder is its encoder: half as many parameters to learn.

    All arguments are those of `deep`.
    """
    with drawing(rng, dtype):
        ratings = layers.InputLayer((None, n_columns))
        hidden = _encoder(ratings, n_hidden, g, indicator)
        encoder = next(each for each in layers.get_all_layers(hidden) if isinstance(each, SparseInputDenseLayer))
        output = ObservedLayer(hidden, ratings, W=encoder.W, nonlinearity=nonlinearity_of(f))
        return Network(output, rating_scale, l2)


def multinomial(n_columns, n_hidden=200, hide=0.5, rating_scale=None, g="tanh", l2=0.01, rng=0, dtype="float32",
                indicator=False):
    """Make Mult-DAE, for rankings: rows of length 1, partly masked, to scores of all columns.

    It is a `Network` for ``objective=training.objectives.Multinomial()``. All arguments are those of `deep`.
    """
    with drawing(rng, dtype):
        entries = layers.InputLayer((None, n_columns))
        hidden = _encoder(SparseInputNormLayer(entries), n_hidden, g, indicator, hide)
        return Network(ObservedLayer(hidden, entries), rating_scale, l2)
