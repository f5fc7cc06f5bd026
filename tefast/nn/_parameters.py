"""What the parameters mean that several functions and classes of the networks share."""

from tefast._support.docstrings import documenting
from tefast._support.parameters import PARAMETERS

OF_NETWORKS = {
    "model": """
model : nn.Module
    It is not changed.
""",
    "model:evaluated": """
model : nn.Module
    Maps (n, T, D) to logits (n, T, C), or to one result a sequence, (n, C). It is run in evaluation
    mode, and its mode is restored.
""",
    "x:sequences": """
x : Tensor of shape (N, T, D)
    The sequences.
""",
    "lengths:sequences": """
lengths : integer Tensor of shape (N,), optional
    The valid steps of each sequence, 1..T, from the first on. Default: all are. The model runs over
    all of `x`, which must be finite. Its logits of a valid step must not depend on later ones.
""",
    "labels:classes": """
labels : integer Tensor of shape (N,)
    The classes, 0..C-1.
""",
    "batch_size:pass": """
batch_size : int, default 256
    Sequences in one pass.
""",
    "batches": """
batches : iterable of (x, labels) or (x, labels, lengths), or of what `forward` takes
    x is the argument of the model. labels are integers (n,) or (n, T), 0..C-1. lengths are integers
    (n,), the valid steps of each sequence. Tensors are moved to the device of the model. Only one
    batch is in memory at a time.
""",
    "rnn": """
rnn : str, default "rnn"
    Name of the recurrent layer in `model`, with dots for nesting.
""",
    "rnn:gated": """
rnn : nn.LSTM or nn.GRU, of one layer and direction, without projection
    It is not changed.
""",
    "rnn:layer": """
rnn : nn.LSTM, nn.GRU, nn.RNN, one of their cells, or RecurrentStack
    It is not changed.
""",
    "group": """
group : torch.distributed.ProcessGroup, optional
    Processes whose batches count together, such as ``torch.distributed.group.WORLD``. Each passes
    its own part of the batches. All get the scores of all batches, the same to the bit for any
    number of processes. It is for criteria that count, and for those that read the weights alone.
""",
    "parts": """
parts : sequence of (layer, direction), optional
    The layers and directions whose units are meant. Default: all.
""",
    "forward": """
forward : callable, optional
    ``forward(model, batch)`` runs the model on a batch and returns its result. A batch is any
    object that it takes; for a mapping it may be ``lambda model, batch: model(**batch)``. Default:
    ``model(batch[0])``.
""",
    "source": """
source : str or callable, default "label_probability"
    The series (n, T) that units are compared with.

    - "label_probability" is the softmax probability of the true label at every step, of logits
      (n, T, C).
    - "binary_probability" is the same of one logit, (n, T) or (n, T, 1), by its sigmoid.
    - "squared_error" is the squared error of floating targets, its mean over features.
    - "target" is the target itself, one number a step.
    - A callable ``source(result, batch)`` returns a tensor (n, T), or a list with one tensor for
      each set of sequences that the layer runs for.

    A model that gives one result for a sequence, (n, C), is asked for a result at every step: see
    the notes of `score`.
""",
    "loss": """
loss : str or callable, default "cross_entropy"
    The loss for the criterion "taylor": "cross_entropy", "binary_cross_entropy" or "squared_error",
    each the mean over sequences and valid steps, or a callable ``loss(result, batch)`` that returns
    a number.
""",
    "labels": """
labels : int, str or callable, optional
    Where the labels or targets, (n,) or one a step, are in a batch: a position, a key or a callable
    ``labels(batch)``. Named sources and losses read them. Default: the second item, or "labels" of
    a mapping.
""",
    "lengths:place": """
lengths : int, str, callable or False, optional
    Where the numbers of valid steps (n,) are in a batch: a position, a key or a callable
    ``lengths(batch)``. False: nowhere. A layer on packed sequences knows its lengths, and a batch
    that says something else is refused. Default: the third item if there is one, or "lengths" of a
    mapping.
""",
    "calls": """
calls : {"auto", "steps", "sequences"}, default "auto"
    What several calls of the layer in one run of the model are: "steps" are the next steps of the
    same sequences, and "sequences" are sequences of their own. With "auto", a call continues the
    call whose final state it is given. It begins anew without a state, with a state of zeros, or
    with the state of the first call. Calls in both directions are sequences of their own.
""",
    "units": """
units : LongTensor, integer array or sequence of int, shape (K,), or a mapping to such
    Distinct units in 0..U-1, in any order; may be empty. If the layer has several layers or
    directions, it is a mapping from (layer, direction), or from PyTorch's names such as ``"l0"`` or
    ``"l1_reverse"``, to units. A direction that is not named loses none.
""",
    "projections": """
projections : LongTensor, integer array or sequence of int, or a mapping to such, optional
    Distinct projected outputs in 0..proj_size-1, of an LSTM with proj_size. `units` are then those
    before the projection. Default: none.
""",
    "moments": """
moments : Moments, optional
    What `tefast.nn.moments` takes of `model`. With them, the units that stay stand in for those
    that go: what read a removed unit reads a linear function of the others. Without them it reads
    nothing in its place.
""",
    "moments:layer": """
moments : Moments, optional
    What `tefast.nn.moments` takes of the model that holds the layer. With them, the units that stay
    stand in for those that go inside the layer: at its next step, in its next layer and in its
    projection. What reads the layer's outputs is another module, and `prune` changes it.
""",
    "consumers": """
consumers : iterable of str, optional
    Names of all modules that read the layer's output, as features of its last layer, forward and
    reverse concatenated: ``nn.Linear`` or other recurrent layers. Default: they are found by a run
    on `example`.
""",
    "example": """
example : Tensor, tuple, mapping, Arguments or another object, optional
    What the model is called with; small. A plain tuple holds arguments by place. A mapping whose
    keys are names of arguments of ``model.forward`` holds them by name. `Arguments` holds both. Any
    other object is the only argument, such as a ``PackedSequence``, a named tuple, or a mapping
    with other keys. Default: two sequences of five steps of features, or of tokens, and their
    lengths if the name of the second argument of ``forward`` says that it holds lengths. Every run
    gets a copy.
""",
    "gates": """
gates : bool Tensor or array of shape (U, G), or mapping of str to units
    The gates that are removed. The columns are the gates i, f, g, o of an LSTM, or r, z, n of a
    GRU. A mapping names them, such as ``{"i": [0, 3], "o": range(5)}``. It may be none or all.
""",
    "constants": """
constants : "mean", float, or Tensor or array of shape (U, G), default "mean"
    What the removed gates are: a number in [0, 1], or in [-1, 1] for the candidates g and n. "mean"
    is the mean of each gate over the data. Entries of gates that are not removed are not read.
""",
    "inputs": """
inputs : iterable of what `rnn` takes, for "mean"
    The data for the means: tensors, packed sequences, or ``(input, hx)`` with an initial state.
""",
    "input_size": """
input_size : int
    D, the number of features of a step.
""",
    "hidden_size": """
hidden_size : int
    U, the number of units.
""",
    "removed": """
removed : bool Tensor or array of shape (U, G), or mapping of str to units
    The gates that are constants. The columns are the gates i, f, g, o of an LSTM, or r, z, n of a
    GRU. A mapping names them, such as ``{"i": [0, 3], "o": range(5)}``.
""",
    "constants:layer": """
constants : float, or Tensor or array of shape (U, G), default 0
    What these gates are: in [0, 1], or in [-1, 1] for the candidates g and n. Entries of other
    gates are not read.
""",
    "bias:module": """
bias : bool, default True
    Whether there are biases.
""",
    "batch_first": """
batch_first : bool, default False
    Whether tensors have the shape (N, T, D) in place of (T, N, D).
""",
    "device": """
device : torch.device or str, optional
    Where the weights are made. Default: PyTorch's default device.
""",
    "dtype": """
dtype : torch.dtype, optional
    The type of the weights. Default: PyTorch's default type.
""",
    "batch": """
batch : (x, labels) or (x, labels, lengths)
    labels : integer Tensor (n,) or (n, T), 0..C-1. Those beyond `lengths` are not read.
""",
    "batch:targets": """
batch : (x, targets) or (x, targets, lengths)
    targets : Tensor (n, T) or (n, T, D), or (n,) or (n, D) for all steps of a sequence.
""",
    "context": """
context : Context
    The model, the batches and the layer that is scored.
""",
    "sections:criterion": """
Returns
-------
Tensor or ndarray, shape (units,)

Raises
------
TypeError, ValueError
    If an option is not as described, or the model or the batches of the context are not as
    `tefast.nn.score` takes them.
""",
    "reverse": """
reverse : bool, default False
    Test transfer entropy from the unit to the series, by "chi2" alone.
""",
    "method": """
method : {"auto", "trials", "circular", "shuffle", "conditional", "chi2"}, default "auto"
    "auto" is "chi2" with `reverse`. Without it, `tefast.significance` chooses: "trials" for ten or
    more sequences of the same length, "circular" otherwise. "chi2" streams. It needs SciPy, some 30
    transitions for every cell, and series without memory beyond a step. Outputs of a layer usually
    have such memory, and "chi2" then rejects too often. The other methods keep the codes of all
    outputs in memory, one byte each, and draw from the context's seed.
""",
    "descending": """
descending : bool
    True removes the highest score first, False the lowest first. Of equal scores, the one with the
    lower index goes first in both orders.
""",
    "scope": """
scope : {"each", "all"}, default "each"
    "each" selects within each layer. "all" compares units of all layers with each other.
""",
    "bytes": """
bytes : float or int, optional
    A budget of bytes, of the parameters and buffers.
""",
    "errors:series": """
TypeError, ValueError
    If the result or the batch is not as described.
""",
    "errors:gates": """
TypeError, ValueError
    If a size, `removed` or `constants` are not as described.
""",
    "hx": """
hx : h_0, or (h_0, c_0) of an LSTM, optional
    The initial state, each of shape (1, N, U), or (1, U) for an input (T, D). Default: 0.
""",
    "batches:again": """
batches : iterable of (x, labels) or (x, labels, lengths), or of what `forward` takes
    The data for the scores. They must be readable more than once.
""",
    "criterion": """
criterion : str or callable
    What scores the units: a name or a function of a `Context`, for `tefast.nn.score`.
""",
    "h_range:outputs": """
h_range : (low, high) or None, default (-1, 1)
    The range of the outputs that is binned, each a number or an array with one for each unit. The
    default holds everything that an LSTM, a GRU or a tanh RNN can give. A relu RNN has no such
    bound and needs another range. None: each unit's own range, which an extra pass finds, so
    `batches` is read twice. Gates have the ranges of their nonlinearities.
""",
    "y_range:series": """
y_range : (low, high), optional
    The range of the series. Default: [0, 1] for a probability, otherwise the series' own range,
    which an extra pass finds.
""",
    "bins:outputs": """
bins : int, default 16
    The number of bins of equal width, of an output and of the series.
""",
    "seed": """
seed : int, default 0
    For the criterion "random", and for surrogates.
""",
}

documented = documenting(PARAMETERS | OF_NETWORKS)
"""Decorates functions and classes whose docstrings have places such as ``{model, rnn}``."""
