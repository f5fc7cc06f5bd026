"""AnnData in HDF5 or Zarr: matrices of observations and variables, which have names.

The layout is that of https://anndata.readthedocs.io/en/stable/fileformat-prose.html, and that of
versions before 0.7 as far as matrices and names go.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tefast._cli.recordings.recording import Array, Names, Recording, Recordings, needed

SPARSE = {"csr_matrix": "csr", "csc_matrix": "csc"}


def is_anndata(group: Any) -> bool:
    """Whether a group of HDF5 or Zarr holds an AnnData object."""
    said = group.attrs.get("encoding-type")
    return said == "anndata" or (said is None and all(k in group for k in ("X", "obs", "var")))


def recordings(group: Any) -> Recordings:
    """X, layers, raw, obsm, and the columns of obs."""
    found: dict[str, Any] = {}
    names = _index(group["var"])
    if "X" in group:
        found["X"] = _matrix("X", group["X"], names)
    for name in _members(group, "layers"):
        found[name] = _matrix(name, group[name], names)
    if "raw" in group and "X" in group["raw"]:
        found["raw/X"] = _matrix("raw/X", group["raw/X"], _index(group["raw/var"]))
    for name in _members(group, "obsm"):
        if _is_array(group[name]) or _sparse_format(group[name]):
            found[name] = _matrix(name, group[name], None)
    for name in _members(group, "obs"):
        column = _column(name, group[name])
        if column is not None:
            found[name] = column
    return Recordings(found, main="X" if "X" in found else None)


def _members(group: Any, part: str) -> list[str]:
    inside = group[part] if part in group else {}  # noqa: SIM401  groups of h5py lack get's default
    if _is_array(inside):  # a table of before version 0.7
        return []
    return [f"{part}/{name}" for name in inside if not name.startswith("__")]


def _is_array(item: Any) -> bool:
    return hasattr(item, "dtype")


def _sparse_format(item: Any) -> str | None:
    if _is_array(item):
        return None
    said = item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", ""))
    return SPARSE.get(str(said), str(said) if said in SPARSE.values() else None)


def _matrix(name: str, item: Any, names: Names | None) -> Recording:
    """A matrix, dense as it is, or sparse, of which slices are made dense."""
    kind = _sparse_format(item)
    if kind is None:
        read = partial(_dense, item)
        names = names if names is not None and len(names) == item.shape[-1] else None
        chunks = getattr(item, "chunks", None)
        return Recording(name, item.shape, item.dtype, read, chunks=chunks, names=names)
    shape = tuple(int(n) for n in item.attrs.get("shape", item.attrs.get("h5sparse_shape", ())))
    matrix: list[Any] = []

    def slice_of(key: Any) -> Array:
        if not matrix:
            matrix.append(_sparse(item, kind, shape))
        return np.asarray(matrix[0][key if key != () else slice(None)].toarray())

    return Recording(name, shape, item["data"].dtype, slice_of, names=names)


def _sparse(item: Any, kind: str, shape: tuple[int, ...]) -> Any:
    with needed("scipy"):
        from scipy import sparse
    parts = tuple(np.asarray(item[part][:]) for part in ("data", "indices", "indptr"))
    return {"csr": sparse.csr_array, "csc": sparse.csc_array}[kind](parts, shape=shape)


def _dense(item: Any, key: Any) -> Array:
    return np.asarray(item[key])


def _column(name: str, item: Any) -> Recording | None:
    """A column of obs: numbers as they are, categories by their codes; None for what is neither."""
    if not _is_array(item):
        if "codes" not in item:
            return None
        item = item["codes"]
    if item.ndim != 1 or item.dtype.kind not in "fiub":
        return None
    return Recording(name, item.shape, item.dtype, partial(_dense, item))


def _index(frame: Any) -> Names | None:
    """The names of the rows of a table."""
    if _is_array(frame):  # of before version 0.7
        fields = frame.dtype.names or ()
        values = frame[fields[0]][:] if fields else []
    else:
        key = str(frame.attrs.get("_index", "_index"))
        if key not in frame:
            return None
        values = frame[key]["values"][:] if not _is_array(frame[key]) else frame[key][:]
    return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in values)
