"""Which kind of file it is: told by what stands in it, and by its name where that does not tell."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tefast._cli.recordings import anndata, arrays, hdf5, layout, matlab, netcdf, tables
from tefast._cli.recordings.recording import Recordings

NUMBERS = 0.2
"""The share of fields of a text that must be numbers for it to be a table."""
SAFETENSORS_HEADER = 100_000_000
"""Bytes of the longest header that the format allows."""
Opener = Callable[..., AbstractContextManager[Recordings]]


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    name : str
    suffixes : tuple of str
        That files of this kind have.
    open : callable
        From a path to a context manager that gives `Recordings`.
    recognises : callable
        From a path and the first bytes of the file to whether it is of this kind.
    has_header : bool
        Whether `open` takes `header`.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Opener
    recognises: Callable[[Path, bytes], bool]
    has_header: bool = False


def _begins(*magic: bytes) -> Callable[[Path, bytes], bool]:
    return lambda _, start: start.startswith(magic)


def _is_archive_of(path: Path, start: bytes, part: Callable[[str], bool]) -> bool:
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(map(part, archive.namelist()))
    except (zipfile.BadZipFile, OSError):  # its reader will say
        return False


def _is_hdf5(_: Path, start: bytes) -> bool:
    """Whether HDF5's magic stands at the start, or behind a block of somebody else's."""
    return any(start[at:].startswith(hdf5.MAGIC) for at in (0, 512, 1024, 2048))


def _is_hdf5_that(path: Path, start: bytes, question: Callable[[Any], bool]) -> bool:
    return _is_hdf5(path, start) and hdf5.root_says(path, question)


def _is_netcdf4(file: Any) -> bool:
    return "_NCProperties" in file.attrs or any(
        "_Netcdf4Dimid" in item.attrs for item in file.values()
    )


def _is_safetensors(path: Path, start: bytes) -> bool:
    """Whether a length and a JSON object of that length begin the file."""
    size = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{" or size > min(path.stat().st_size, SAFETENSORS_HEADER):
        return False
    try:
        with path.open("rb") as file:
            file.seek(8)
            return isinstance(json.loads(file.read(size)), dict)
    except ValueError:
        return False


def _is_matlab73(path: Path, start: bytes) -> bool:
    return start.startswith(b"MATLAB 7.3") or _is_hdf5_that(path, start, matlab.is_version73)


def _is_table(path: Path, start: bytes) -> bool:
    """Whether it is text with enough numbers, and no other kind of text by its name."""
    other = any(path.suffix.lower() in suffixes for suffixes in CONVERT)
    if other or not layout.looks_like_text(start):
        return False
    try:
        return layout.guess(tables.lines_of(path)).numbers >= NUMBERS
    except ValueError:
        return False


# Where several recognise a file, the first is right.
FORMATS = (
    Format("NumPy array", (".npy",), arrays.npy, _begins(b"\x93NUMPY")),
    Format("NumPy archive", (".npz",), arrays.npz,
           partial(_is_archive_of, part=lambda name: name.endswith(".npy"))),
    Format("safetensors file", (".safetensors",), arrays.safetensors, _is_safetensors),
    Format("MATLAB file", (".mat",), matlab.version73, _is_matlab73),
    Format("MATLAB file", (".mat",), matlab.version5, _begins(b"MATLAB 5.0")),
    Format("AnnData file", (".h5ad",), hdf5.h5ad,
           partial(_is_hdf5_that, question=anndata.is_anndata)),
    Format("NetCDF file", (".nc", ".nc4", ".cdf"), netcdf.netcdf4,
           partial(_is_hdf5_that, question=_is_netcdf4)),
    Format("HDF5 file", (".h5", ".hdf5", ".nwb"), hdf5.hdf5, _is_hdf5),
    Format("NetCDF file", (".nc",), netcdf.classic, _begins(b"CDF\x01", b"CDF\x02", b"CDF\x05")),
    Format("Parquet file", (".parquet", ".pq"), tables.parquet, _begins(b"PAR1")),
    Format("Feather file", (".feather", ".arrow", ".ipc"), tables.feather, _begins(b"ARROW1")),
    Format("Excel workbook", (".xlsx", ".xlsm"), tables.excel,
           partial(_is_archive_of, part=lambda name: name == "xl/workbook.xml"), has_header=True),
    Format("table of text", (".csv", ".tsv", ".txt", ".dat", ".asc"), tables.text, _is_table,
           has_header=True),
    Format("Zarr store", (".zarr",), arrays.zarr, lambda path, _: path.is_dir()),
)  # fmt: skip
SUFFIXES = tuple(dict.fromkeys(suffix for each in FORMATS for suffix in each.suffixes))
PACKED = (".gz", ".bz2", ".xz")

_PYTHON = "python -c"
CONVERT = {
    (".pkl", ".pickle", ".joblib"): f"{_PYTHON} \"import pickle, numpy as np; np.savez('out.npz', "
    "h=pickle.load(open('{file}', 'rb')))\", if you trust where it comes from",
    (".pt", ".pth"): f"{_PYTHON} \"import torch, numpy as np; np.savez('out.npz', **"
    "{{k: v.numpy() for k, v in torch.load('{file}', weights_only=True).items()}})\"",
    (".rds",): "Rscript -e \"write.csv(readRDS('{file}'), 'out.csv', row.names = FALSE)\"",
    (".rda", ".rdata"): "Rscript -e \"load('{file}'); write.csv(NAME, 'out.csv', row.names = "
    'FALSE)", with the name of the table in it',
    (".dta", ".sas7bdat", ".xpt", ".sav"): f'{_PYTHON} "import pandas; pandas.read_'
    "{{stata,sas,spss}}('{file}').to_parquet('out.parquet')\", with the one of the three that fits",
    (".xls", ".ods"): "open it in a spreadsheet program and save it as .xlsx",
    (".json",): f"{_PYTHON} \"import pandas; pandas.read_json('{{file}}').to_csv('out.csv', "
    'index=False)"',
    (".wav",): f"{_PYTHON} \"import numpy as np, scipy.io.wavfile as w; np.save('out.npy', "
    "w.read('{file}')[1])\"",
    (".edf", ".bdf", ".fif", ".vhdr", ".set"): f'{_PYTHON} "import mne, numpy as np; np.save('
    "'out.npy', mne.io.read_raw('{file}').get_data().T)\"",
}
RAW = (
    f"{_PYTHON} \"import numpy as np; np.save('out.npy', np.fromfile('{{file}}', 'float32')"
    '.reshape(-1, UNITS))", with the type and the number of units that it has'
)


def opened(path: Path, header: bool | None = None) -> AbstractContextManager[Recordings]:
    """Open a file of arrays or tables.

    Parameters
    ----------
    path : Path
    header : bool, optional
        Whether the first line of a table holds names; by default that is told by what stands there.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is not there, or of no kind that can be read.
    ImportError
        If a package is missing that reads it, with the command that installs it.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    found = format_of(path)
    return found.open(path, header) if found.has_header else found.open(path)


def format_of(path: Path) -> Format:
    """Of which kind a file is."""
    if path.is_dir():
        return FORMATS[-1]
    start = tables.start_of(path)
    if not start:
        raise ValueError(f"{path} is empty")
    for each in FORMATS:
        if each.recognises(path, start):
            return each
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    named = [each for each in FORMATS if suffixes and suffixes[-1] in each.suffixes]
    if named and named[-1].open is tables.text and not layout.looks_like_text(start):
        named = []  # raw samples are often called .dat
    if named:  # what is damaged, or has no mark, such as version 4 of MATLAB's files
        return named[-1]
    raise ValueError(f"{path} is of no known kind ({', '.join(SUFFIXES)}); {_advice(path)}")


def _advice(path: Path) -> str:
    suffix = path.suffix.lower()
    known = next((how for names, how in CONVERT.items() if suffix in names), None)
    return f"to convert it: {(known or RAW).format(file=path)}"
