"""Tables and series of pandas and polars: a column a unit, a row a step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tefast._inputs.arrays import common_dtype, take_array, without
from tefast._inputs.kinds import LABELS, KeptAxes, Kind, Taken, to_numpy


@dataclass(frozen=True)
class Pandas(Kind):
    """A DataFrame, or a Series, which has no columns.

    Attributes
    ----------
    index, columns : pandas.Index
    name : object
        That of the Series.
    """

    index: Any
    columns: Any
    name: Any = None

    @property
    def is_frame(self) -> bool:
        """See `Kind.is_frame`."""
        return self.columns is not None

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`: scores as a Series with the names of the columns, as ``h.mean()`` has.

        Values of steps have the rows and columns of the target.
        """
        import pandas

        array = to_numpy(result)
        if array.ndim == 0:
            return array[()]
        labels = [self._labels(axis, size) for axis, size in zip(axes, array.shape, strict=True)]
        if array.ndim == 1:
            return pandas.Series(array, index=labels[0], name=self.name if axes == (0,) else None)
        if array.ndim == 2:
            return pandas.DataFrame(array, index=labels[0], columns=labels[1])
        return array

    def place(self, index: list[int]) -> str:
        """See `Kind.place`."""
        column = "" if self.columns is None else f" (column {self.columns[index[-1]]!r})"
        return f".iloc{index}{column}"

    def _labels(self, axis: int | str, size: int) -> Any:
        """What the positions of an axis are called, None for 0, 1, 2, ..."""
        if isinstance(axis, str):
            return [self.name] if self.columns is None and size == 1 else None
        labels = (self.index, self.columns)[axis]
        return labels[len(labels) - size :]


@dataclass(frozen=True)
class Polars(Kind):
    """A DataFrame, or a Series, which has no columns.

    Attributes
    ----------
    columns : list of str, or None
    name : str
        That of the Series.
    """

    columns: list[str] | None
    name: str = ""

    @property
    def is_frame(self) -> bool:
        """See `Kind.is_frame`."""
        return self.columns is not None

    def back(self, result: Any, axes: KeptAxes) -> Any:
        """See `Kind.back`: scores as a DataFrame of one row and the columns, as ``h.mean()`` is."""
        import polars

        array = to_numpy(result)
        if array.ndim == 0:
            return array[()]
        if axes and axes[-1] == 1 and self.columns is not None and array.ndim <= 2:
            names = self.columns[len(self.columns) - array.shape[-1] :]
            return polars.DataFrame(np.atleast_2d(array), schema=names, orient="row")
        return polars.Series(self.name, array) if array.ndim == 1 else array

    def place(self, index: list[int]) -> str:
        """See `Kind.place`."""
        column = "" if self.columns is None else f" (column {self.columns[index[-1]]!r})"
        return f"{index}{column}"


def take_table(x: Any, what: str) -> Taken | None:
    """A table or a series of pandas or polars; None for whatever is neither."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None:
        if isinstance(x, (pandas.Index, pandas.api.extensions.ExtensionArray)):
            x = pandas.Series(x)
        if isinstance(x, pandas.DataFrame | pandas.Series):
            return _take_pandas(x, what)
    if polars is not None:
        if isinstance(x, polars.LazyFrame):
            raise TypeError(f"{what} is a LazyFrame, which holds no data yet; collect() it")
        if isinstance(x, polars.DataFrame | polars.Series):
            return _take_polars(x, what)
    return None


def _take_pandas(x: Any, what: str) -> Taken:
    if x.index.nlevels > 1:
        names = ", ".join(map(str, x.index.names))
        raise ValueError(
            f"{what} has an index of several levels ({names}), whose rows are no single series; "
            "pass a list of one table for each sequence: "
            "[part.droplevel(0) for _, part in x.groupby(level=0)]"
        )
    if not hasattr(x, "columns"):
        taken = _pandas_column(x, what)
        return _with(taken, Pandas(x.index, None, x.name))
    kind = Pandas(x.index, x.columns)
    if len(set(x.dtypes)) == 1 and x.dtypes.iloc[0].kind in "biuf" and _is_numpy(x.dtypes.iloc[0]):
        return _with(take_array(x.to_numpy(), what), kind)
    columns = [(name, x.iloc[:, i]) for i, name in enumerate(x.columns)]
    return _with(_side_by_side(columns, _pandas_column, what, len(x)), kind)


def _is_numpy(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype)


def _pandas_column(column: Any, what: str) -> Taken:
    import pandas

    dtype = column.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        return _without(Taken(codes, codes.dtype.name, Kind()), codes < 0)
    if isinstance(dtype, pandas.SparseDtype):
        return take_array(np.asarray(column), what)
    if _is_numpy(dtype):
        return take_array(column.to_numpy(), what)
    gone = column.isna().to_numpy(dtype=bool)
    if isinstance(dtype, pandas.StringDtype) or str(dtype).startswith(("string", "large_string")):
        return _without(Taken(column.to_numpy(dtype=object, na_value=None), LABELS, Kind()), gone)
    plain = getattr(dtype, "numpy_dtype", None)
    if dtype.kind in "biuf" and plain is not None:
        filler = np.nan if dtype.kind == "f" else 0
        return _without(take_array(column.to_numpy(dtype=plain, na_value=filler), what), gone)
    if dtype.kind in "Mm":
        return take_array(np.zeros(1, f"{dtype.kind}8[ns]"), what)  # raises
    raise TypeError(
        f"{what} holds {dtype}, which is neither a number nor a label; leave it out, or pass its "
        "codes: .astype('category')"
    )


def _take_polars(x: Any, what: str) -> Taken:
    import polars

    if isinstance(x, polars.Series):
        return _with(_polars_column(x, what), Polars(None, x.name))
    kind, dtypes = Polars(x.columns), set(x.dtypes)
    plain = len(dtypes) == 1 and all(_is_plain(dtype) for dtype in dtypes)
    if plain and not any(x.null_count().row(0)):
        return _with(take_array(x.to_numpy(), what), kind)
    columns = [(column.name, column) for column in x.get_columns()]
    return _with(_side_by_side(columns, _polars_column, what, x.height), kind)


def _is_plain(dtype: Any) -> bool:
    """Whether NumPy has a type of polars."""
    return (dtype.is_float() or dtype.is_integer()) and not str(dtype).endswith("128")


def _polars_column(column: Any, what: str) -> Taken:
    import polars

    dtype, gone = column.dtype, column.is_null().to_numpy()
    if dtype.is_float():
        return take_array(column.to_numpy(), what)  # null is NaN there
    if dtype.is_integer() and _is_plain(dtype):
        return _without(take_array(column.fill_null(0).to_numpy(), what), gone)
    if dtype == polars.Boolean:
        return _without(take_array(column.fill_null(False).to_numpy(), what), gone)
    if dtype == polars.Enum:
        return _without(take_array(column.to_physical().fill_null(0).to_numpy(), what), gone)
    if dtype == polars.Categorical:  # whose codes may be those of other columns, too
        codes = np.zeros(len(column), np.int64)
        _, codes[~gone] = np.unique(column.to_physical().to_numpy()[~gone], return_inverse=True)
        return _without(take_array(codes, what), gone)
    if dtype == polars.String:
        return _without(Taken(column.to_numpy(), LABELS, Kind()), gone)
    if dtype.is_numeric():
        raise TypeError(f"{what} holds {dtype}, which NumPy lacks; cast it to Float64 or Int64")
    raise TypeError(
        f"{what} holds {dtype}, which is neither a number nor a label; leave it out, or pass it as "
        "numbers"
    )


def _side_by_side(
    columns: list[tuple[Any, Any]], take: Callable[[Any, str], Taken], what: str, rows: int
) -> Taken:
    """Columns of several types as one array (rows, columns); raise for those that do not go."""
    taken = [take(column, f"column {name!r} of {what}") for name, column in columns]
    names = [f"column {name!r}" for name, _ in columns]
    array: Any = np.empty((rows, len(taken)), common_dtype(taken, names, what))
    missing = np.zeros(array.shape, bool)
    for i, each in enumerate(taken):
        array[:, i] = each.array
        if each.missing is not None:
            missing[:, i] = each.missing
    return _without(take_array(array, what), missing)


def _without(taken: Taken, gone: Any) -> Taken:
    return without(taken, gone) if gone.any() else taken


def _with(taken: Taken, kind: Kind) -> Taken:
    return Taken(taken.array, taken.dtype, kind, taken.missing)
