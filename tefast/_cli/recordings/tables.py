"""Tables of text, Parquet, Feather and Excel, read by pandas."""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tefast._cli.recordings import layout
from tefast._cli.recordings.layout import Layout
from tefast._cli.recordings.recording import Array, Names, Recordings, TextTable, needed, readable

PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bz2", bz2.open),
    b"\xfd7zXZ": ("xz", lzma.open),
}
START_BYTES, MOST_BYTES = 2**16, 2**25


def start_of(path: Path, size: int = START_BYTES) -> bytes:
    """The first bytes of a file, unpacked."""
    with path.open("rb") as file:
        start = file.read(size)
    for magic, (_, unpack) in PACKED.items():
        if start.startswith(magic):
            with unpack(path) as file:
                return bytes(file.read(size))
    return start


def lines_of(path: Path) -> bytes:
    """The first bytes of a text, unpacked, with some whole lines: one may hold 20,000 genes."""
    size = START_BYTES
    start = start_of(path, size)
    while start.count(b"\n") <= layout.FEW and len(start) == size and size < MOST_BYTES:
        size *= 8
        start = start_of(path, size)
    return start


@contextmanager
def text(path: Path, header: bool | None = None) -> Iterator[Recordings]:
    """CSV, TSV, and columns between spaces; packed ones too. It is read whole."""
    with needed("pandas"):
        import pandas
    with path.open("rb") as file:
        magic = file.read(8)
    packed = next((name for m, (name, _) in PACKED.items() if magic.startswith(m)), None)
    damage = (ValueError, OSError, EOFError, lzma.LZMAError, pandas.errors.ParserWarning)
    with readable(path, "table of text", *damage):
        found = layout.guess(lines_of(path), header)
        options = _options(found)
        if tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1):
            options["float_precision"] = "round_trip"  # their default is off by a last bit at times
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # of fields that get lost
            frame = pandas.read_csv(path, compression=packed, **options)
        if frame.empty:
            raise ValueError("it has no rows")
    name = path.name.removesuffix(path.suffix if packed else "").rpartition(".")[0] or path.name
    yield Recordings({name: _table(name, frame, found.header, _note(found))})


def _options(found: Layout) -> dict[str, Any]:
    """The arguments of `pandas.read_csv`."""
    columns = len(found.first)
    return {
        "sep": r"\s+" if found.separator is None else found.separator,
        "header": 0 if found.header else None,
        "names": ["", *found.first] if found.shorter else None,
        "index_col": 0 if found.labels else False,  # None lets pandas guess
        "usecols": range(columns) if found.trailing else None,
        "comment": found.comment,
        "decimal": found.decimal,
        "encoding": found.encoding,
        "encoding_errors": "replace",
        "skipinitialspace": True,
        "dtype_backend": "numpy_nullable",  # or integers with a missing value would be floats
        "low_memory": False,  # or the type of a column could change on the way
    }


def _note(found: Layout) -> str | None:
    """What is said of a first line that may be taken for either."""
    if found.header or list(found.first) != [str(i) for i in range(max(2, len(found.first)))]:
        return None
    return (
        f"the first line ({' '.join(found.first)}) is taken for data; --header yes takes it for "
        "the names of the columns"
    )


def _table(name: str, frame: Any, header: bool, note: str | None = None) -> TextTable:
    """A table that was read."""
    import pandas

    index = frame.index
    labels = None if isinstance(index, pandas.RangeIndex) else ", ".join(map(str, index[:3]))
    types = tuple(str(kind).lower() for kind in frame.dtypes)

    def read(places: Sequence[int]) -> list[Array]:
        return [_array(frame.iloc[:, place]) for place in places]

    names = tuple(map(str, frame.columns)) if header else None
    return TextTable(name, len(frame), types, read, names, labels, note=note)


def _array(series: Any) -> Array:
    """A column of pandas: floats with NaN, integers and booleans masked where they are missing."""
    import pandas

    kind = series.dtype
    if isinstance(kind, pandas.CategoricalDtype):
        return np.asarray(series.astype(object))
    if pandas.api.types.is_float_dtype(kind):
        return np.asarray(series.to_numpy(dtype=_plain(kind), na_value=np.nan))
    if pandas.api.types.is_integer_dtype(kind) or str(kind).lower() == "boolean":
        missing = np.asarray(series.isna())
        array = np.asarray(series.to_numpy(dtype=_plain(kind), na_value=0))
        return np.ma.MaskedArray(array, missing) if missing.any() else array
    return np.asarray(series)


def _plain(kind: Any) -> Any:
    """NumPy's type of a type of pandas."""
    return np.dtype(getattr(kind, "numpy_dtype", kind))


@contextmanager
def parquet(path: Path) -> Iterator[Recordings]:
    """Columns that are read when they are chosen."""
    with needed("pandas and pyarrow"):
        import pandas
        import pyarrow.parquet
    with readable(path, "Parquet file", pyarrow.ArrowException, OSError):
        schema = pyarrow.parquet.read_schema(path)
        rows = pyarrow.parquet.read_metadata(path).num_rows
    yield _of_arrow(path, "Parquet file", schema, rows, pandas.read_parquet)


@contextmanager
def feather(path: Path) -> Iterator[Recordings]:
    """Columns of Feather, which is also Arrow's own format for files."""
    with needed("pandas and pyarrow"):
        import pandas
        import pyarrow
    with (
        readable(path, "Feather file", pyarrow.ArrowException, OSError),
        pyarrow.memory_map(str(path)) as file,
    ):
        reader = pyarrow.ipc.open_file(file)
        rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        schema = reader.schema
    yield _of_arrow(path, "Feather file", schema, rows, pandas.read_feather)


def _of_arrow(
    path: Path, what: str, schema: Any, rows: int, read: Callable[..., Any]
) -> Recordings:
    """A file of Arrow's columns; those that pandas kept its index in label the rows."""
    import pyarrow

    metadata = schema.pandas_metadata or {}
    index = [name for name in metadata.get("index_columns", ()) if isinstance(name, str)]
    names: Names = tuple(name for name in schema.names if name not in index)

    def columns(places: Sequence[int]) -> list[Array]:
        with readable(path, what, pyarrow.ArrowException, OSError):
            some = [names[place] for place in places]
            frame = read(path, columns=some, dtype_backend="numpy_nullable")
        return [_array(frame[name]) for name in some]

    types = tuple(str(schema.field(name).type) for name in names)
    labels = ", ".join(index) or None
    return Recordings({path.stem: TextTable(path.stem, rows, types, columns, names, labels)})


@contextmanager
def excel(path: Path, header: bool | None = None) -> Iterator[Recordings]:
    """The sheets of a workbook, read whole."""
    with needed("pandas and openpyxl"):
        import openpyxl  # noqa: F401  pandas' own message is longer
        import pandas
    with (
        readable(path, "Excel workbook", ValueError, KeyError, OSError, zipfile.BadZipFile),
        pandas.ExcelFile(path, engine="openpyxl") as book,
    ):
        sheets = {str(name): _sheet(book, name, header) for name in book.sheet_names}
    yield Recordings({name: sheet for name, sheet in sheets.items() if sheet.types})


def _sheet(book: Any, name: Any, header: bool | None) -> TextTable:
    import pandas

    read = partial(pandas.read_excel, book, sheet_name=name)
    start = read(header=None, nrows=layout.LINES, dtype=str)
    if start.empty:
        return TextTable(str(name), 0, (), lambda _: [], None)
    first, *rest = start.fillna("").to_numpy().tolist()
    if header is None:
        header = layout.is_header(first, rest)
    labels = 0 if header and first[0] == "" else None
    frame = read(header=0 if header else None, index_col=labels, dtype_backend="numpy_nullable")
    return _table(str(name), frame, header)
