"""What the parameters mean that the public functions and classes of the measures share."""

from tefast._support.docstrings import documenting

PARAMETERS = {
    "h": """
h : array_like, shape (N, T, U), (T, U) or (T,); or (N, T) where `y` has that shape
    The **target**: N sequences of T steps of U units. It may be a NumPy array, a torch tensor, a
    table of pandas or polars, an xarray DataArray, or anything with ``__dlpack__`` or
    ``__array__``. It may also be a list of N arrays ``(T, U)`` or ``(T,)`` of unequal lengths.
    Floats (float16, bfloat16, float32, float64) are binned. Integers are symbols ``0 .. bins - 1``.
    It is not changed.
""",
    "h:alone": """
h : array_like, shape (N, T, U), (T, U) or (T,); or (N, T) with ``layout="NT"``
    The data: N sequences of T steps of U units. It may be a NumPy array, a torch tensor, a table of
    pandas or polars, an xarray DataArray, or anything with ``__dlpack__`` or ``__array__``. It may
    also be a list of N arrays ``(T, U)`` or ``(T,)`` of unequal lengths. Floats (float16, bfloat16,
    float32, float64) are binned. Integers are symbols ``0 .. bins - 1``. It is not changed.
""",
    "h:batch": """
h : array_like, shape (N, T, U), (T, U) or (T,)
    The target: N sequences of T steps of U units, as many units as the object was made for. Floats
    are binned. Integers are symbols ``0 .. bins - 1``.
""",
    "h:pieces": """
h : array, shape (N, T, U), (T, U) or (T,); or a list of sequences of unequal lengths
    The target: anything with a shape that slices can be taken of, such as a memory map or a dataset
    of HDF5 or Zarr. Some sequences are read at a time. If one sequence alone is too large, some
    steps are.
""",
    "x": """
x : array_like, shape (N, T, U) or (T, U)
    The **series**: N sequences of T steps of U series, each of which is a target and a source. It
    may be whatever `tefast.transfer_entropy` takes as `h`. Floats are binned. Integers are symbols
    ``0 .. bins - 1``. It is not changed.
""",
    "x_range": """
x_range : (low, high), optional
    Where bins of equal width begin and end: numbers, or an array (U,) for each. Values beyond fall
    into the end bins. Default: the range of each series.
""",
    "mask:pairs": """
mask : array_like of bool, shape (N, T) or that of `x`, optional
    False marks steps, or single values, that are left out. A pair loses every transition that
    touches one of them.
""",
    "layout:pairs": """
layout : str, optional
    What the axes of `x` hold, one letter for each: N sequences, T steps, U series. "NUT" is for
    channels before time, and "UT" for a transposed ``(T, U)``. Default: "NTU" or "TU".
""",
    "alpha:pairs": """
alpha : float, default 0.05
    A pair whose q-value is below it counts as an edge.
""",
    "sources:pairs": """
sources : sequence of int or of names, optional
    Which series are sources. Default: all.
""",
    "delays:pairs": """
delays : int or sequence of int, default 1
    d, the steps from the last step of the source to the next step of the target; 0 or more.
    With several, each pair has the highest value over all of them.
""",
    "binning:pairs": """
binning : {"uniform", "quantile", "symbols"}, array_like or Binning, default "uniform"
    How values become codes; see `tefast.transfer_entropy`.
""",
    "significance:pairs": """
significance : {"chi2", "circular", "trials", "shuffle", "conditional"}, optional
    What every pair is held against; see `tefast.significance`, which says when each of them is
    right. Default: nothing is tested. The best of several delays is held against the best of
    the same delays of each surrogate; "circular" turns a single sequence by multiples of the
    span of the delays. For "chi2" p at the best of D delays counts as ``1 - (1 - p)**D``.
""",
    "surrogates:pairs": """
surrogates : int, default 200
    Surrogates of each source, at most as many as there are.
""",
    "seed:pairs": """
seed : int, default 0
    Surrogate i of a source depends on `seed` and i alone.
""",
    "by_delay:pairs": """
by_delay : bool, default False
    Keep transfer entropy at every delay.
""",
    "out:pairs": """
out : ndarray of float64, shape (S, U), optional
    An array that gets `te`, such as one that is mapped from a file.
""",
    "checkpoint:pairs": """
checkpoint : str or Path, optional
    A folder for the results as files that are mapped into memory. Stopped anywhere, the same
    call goes on with what is there.
""",
    "progress:pairs": """
progress : callable, optional
    ``progress(done, pairs)`` is called after every tile. Default: a bar of tqdm for long jobs,
    if it is installed and standard error is a terminal.
""",
    "y": """
y : array_like, shape (N, T), or (T,) where `h` has no axis of sequences
    The **source**: one series, which is compared with every unit. It has the axes of `h` without
    that of the units. With `joint` it has one more axis at the end: (N, T, S) or (T, S).
""",
    "y:batch": """
y : array_like, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
    The source.
""",
    "z": """
z : array_like, shape of `y`; or (N, T, Z) or (T, Z)
    The **conditions**: one series, or Z of them at once. Each is binned in as many bins.
""",
    "bins": """
bins : int, default 16
    Number of bins, or of symbols; 2 to 256.
""",
    "target_history": """
target_history : int, default 1
    k, the number of steps of the target's own past; 1 or more.
""",
    "source_history": """
source_history : int, default 1
    l, the number of steps of the source; 1 or more.
""",
    "delay": """
delay : int, default 1
    d, the steps from the last step of the source to the next step of the target. With 0 the source
    is taken at the same step as the target's next value.
""",
    "delay:mutual": """
delay : int, default 0
    Steps from the source to the unit; 0 or more.
""",
    "target_step": """
target_step : int, default 1
    s, the steps from one entry of the target's history to the next; 1 or more.
""",
    "source_step": """
source_step : int, default 1
    r, the steps from one entry of the source's history to the next; 1 or more.
""",
    "history": """
history : int, default 1
    k, the number of steps of the unit's past; 1 or more. `tefast.choose_history` finds it.
""",
    "step": """
step : int, default 1
    s, the steps from one entry of the history to the next; 1 or more.
""",
    "joint": """
joint : bool, default False
    Take `y` as several sources at once, of shape (N, T, S) or (T, S). The result says what all of
    them tell together. Each of them is binned on its own, in as many bins.
""",
    "units": """
units : int
    U, the number of units of the target.
""",
    "sources": """
sources : int, optional
    S, the number of sources that are taken at once, as one source with S series. The source then
    has the shape (N, T, S) or (T, S). Default: one source without such an axis.
""",
    "conditions": """
conditions : int, default 1
    Z, the number of conditions that are taken at once. If it is above 1, they have the shape
    (N, T, Z) or (T, Z).
""",
    "binning": """
binning : {"uniform", "quantile", "symbols"}, array_like, Binning or mapping, default "uniform"
    How values become codes.

    - "uniform" makes bins of equal width.
    - "quantile" makes bins that hold equally many of each unit's own values. If ties leave fewer
      distinct values than bins, fewer bins are filled, and a warning says so.
    - "symbols" takes every distinct value of an input as a symbol: integers, strings or other
      labels, up to 32,767 of them. `bins` is then the number found.
    - An array holds inner edges: (bins - 1,), or (U, bins - 1) for edges of each unit. Bin i is
      ``[edge i-1, edge i)``. Values beyond the outermost edges fall into the end bins.
    - A `Binning`, which `tefast.learn_binning` returns, is used as it is.
    - A mapping such as ``{"h": "quantile", "y": [0.5]}`` says it for each input.
""",
    "binning:learned": """
binning : {"uniform", "quantile", "symbols"}, default "uniform"
    "uniform" makes bins of equal width. "quantile" makes bins that hold equally many of each unit's
    own values. "symbols" takes every distinct value as a symbol.
""",
    "binning:batches": """
binning : {"uniform"}, array_like, Binning or mapping, default "uniform"
    "uniform" makes bins of equal width. An array holds inner edges: (bins - 1,), or (U, bins - 1)
    for edges of each unit. A `Binning`, which `tefast.learn_binning` returns, is used as it is. A
    mapping such as ``{"h": edges, "y": "uniform"}`` says it for each input. "quantile" and
    "symbols" need all data at once and are refused. Learn them on a part of the data by
    `tefast.learn_binning`.
""",
    "h_range": """
h_range : (low, high), optional
    The range of the target that uniform bins divide: two numbers, or two arrays (U,) with one for
    each unit. Values outside fall into the end bins. Default: each unit's own range.
""",
    "y_range": """
y_range : (low, high), optional
    The range of the source that uniform bins divide: two numbers, or two arrays (S,) with one for
    each of several sources. Values outside fall into the end bins. Default: the range of the data.
""",
    "z_range": """
z_range : (low, high), optional
    The range of the conditions that uniform bins divide: two numbers, or two arrays (Z,) with one
    for each condition. Values outside fall into the end bins. Default: the range of the data.
""",
    "h_range:batches": """
h_range : (low, high), optional
    The range of the target that uniform bins divide: two numbers, or two arrays (U,) with one for
    each unit. Floats in uniform bins need it, because the range of later batches is unknown. Values
    outside fall into the end bins.
""",
    "y_range:batches": """
y_range : (low, high), optional
    The range of the source that uniform bins divide: two numbers, or two arrays (S,) with one for
    each source. Floats in uniform bins need it. Values outside fall into the end bins.
""",
    "z_range:batches": """
z_range : (low, high), optional
    The range of the conditions that uniform bins divide: two numbers, or two arrays (Z,) with one
    for each condition. Floats in uniform bins need it. Values outside fall into the end bins.
""",
    "lengths": """
lengths : array_like of int, shape (N,), optional
    The number of valid steps of each sequence. Later steps are not looked at. Default: all steps.
""",
    "mask": """
mask : array_like of bool, shape (N, T) or that of `h`, optional
    False marks steps of target and source, or values of the target, that are left out. Every
    transition that touches one of them is left out. This works on a copy of the data.
""",
    "mask:alone": """
mask : array_like of bool, shape (N, T) or that of `h`, optional
    False marks steps, or single values, that are left out. Everything that touches one of them is
    left out. This works on a copy of the data.
""",
    "mask:pieces": """
mask : array of bool, shape (N, T) or that of `h`, optional
    False marks what is left out, as steps of target and source or as values of the target. It is
    sliced as the data are, so that it may lie in a file too. With lists of sequences it is a list.
""",
    "layout": """
layout : str, optional
    What the axes of `h` hold, one letter for each: N sequences, T steps, U units. "NUT" is for
    channels before time, and "UT" for a transposed ``(T, U)``. `y` and `mask` have their axes in
    the same order. Default: "NTU", "TU" or "T", or "NT" where `y` has the two axes of `h`.
""",
    "layout:alone": """
layout : str, optional
    What the axes of `h` hold, one letter for each: N sequences, T steps, U units. "NUT" is for
    channels before time, and "UT" for a transposed ``(T, U)``. `mask` has its axes in the same
    order. Default: "NTU", "TU" or "T".
""",
    "rows": """
rows : int, optional
    The number of sequences in a slice, or of steps where `h` has no axis of sequences. Counts do
    not depend on it. Default: as many as take 64 MiB.
""",
    "nan_policy": """
nan_policy : {"raise", "omit"}, default "raise"
    "raise" makes a NaN an error. "omit" leaves out everything that touches a NaN, or a missing
    value of a masked array or of a table.
""",
    "bias": """
bias : {None, "miller_madow", "grassberger"}, default None
    A correction of the bias. None is the plug-in estimate. "miller_madow" subtracts the bias of
    first order, by the numbers of occupied cells. "grassberger" uses P. Grassberger's estimator of
    2003. With a correction the result may be negative.
""",
    "base": """
base : float, default 2
    The base of the logarithm: 2 gives bits, ``math.e`` gives nats.
""",
    "backend": """
backend : {"auto", "cpu", "cuda", "reference"}, default "auto"
    What counts. "auto" counts where `h` lies: on its GPU if this build of tefast has CUDA, and
    otherwise on the CPU. "cpu" is C++ with OpenMP. "cuda" copies what lies elsewhere to the GPU.
    "reference" is NumPy, for checking. Only "auto" falls back to another one.
""",
    "threads": """
threads : int, optional
    The number of threads of the CPU. Default: as many as OpenMP would use (``OMP_NUM_THREADS``),
    and fewer for little data. After a fork of the process it is always 1, because OpenMP does not
    survive a fork. It has no effect on a GPU.
""",
    "progress": """
progress : callable, optional
    ``progress(done, total)`` is called after every piece. `total` is 0 if it is not known.
""",
    "scores": """
float64 array, shape (U,), or a scalar where `h` has no axis of units
    It is of the kind of `h`: a NumPy array for an array, a tensor on the same device for a tensor,
    a Series of pandas for a table. A unit without anything to count has NaN.
""",
    "sections:plot": """
Returns
-------
matplotlib.figure.Figure
    A notebook shows it; ``savefig(path)`` writes it.

Raises
------
ImportError
    If matplotlib is not installed.
""",
    "y:pieces": """
y : array, shape (N, T) or (T,); with `joint` (N, T, S) or (T, S); or list of sequences
    The **source**. None if the batches hold it.
""",
    "lengths:pieces": """
lengths : array_like of int, shape (N,), optional
    The number of valid steps of each sequence. Batches bring their own.
""",
    "measure": """
measure : str or tefast.measures.Measure
    One of `tefast.measures.NAMED` by its name, or a definition, also of one's own.
""",
    "alpha": """
alpha : float, default 0.05
    A unit whose q-value is below it counts as significant.
""",
    "errors": """
ValueError, TypeError
    If an argument is out of range or of the wrong type, if shapes do not fit each other, if the
    data hold NaN, infinities or symbols out of range, or if nothing is left to count. The message
    says what was expected and what came. Nothing was counted then.
""",
    "errors:batch": """
ValueError, TypeError
    If the shapes, the number of units or the values of the batch are not as described, or if an
    input has symbols where it had floats before, or the reverse. Nothing was counted then.
""",
    "errors:made": """
ValueError, TypeError
    If an argument is out of range or of the wrong type. The message says what was expected and what
    came.
""",
}
"""Entries of docstrings by name. A name with a colon is for some functions alone."""

documented = documenting(PARAMETERS)
"""Decorates functions and classes whose docstrings have places such as ``{bins, base}``."""
