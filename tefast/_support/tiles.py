"""Results that are made tile by tile, in memory or in files, and gone on with after a stop."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._support.array_files import ArrayFile
from tefast._support.files import write_text, writing
from tefast._support.mapped import let_go

SETTINGS, DONE = "settings.json", "tiles"
SETTLE_AFTER = 0.5
"""Seconds of work that a crash may undo: to wait for the disk after every tile would take long."""


class TiledResults:
    """Arrays by name, of which tiles are put in one by one.

    Parameters
    ----------
    shapes : mapping of str to (shape, dtype)
        Of every array. The last two axes are those of a tile.
    given : mapping of str to ndarray
        Arrays of the caller's that are to be filled.
    folder : Path, optional
        Keep all other arrays there as files ``<name>.npy``, and what tiles are done. If the folder
        holds results of the same settings, they are gone on with. Tiles are written to the files
        and are in memory no longer than that.
    settings : dict
        What the results depend on, as JSON can hold it.

    Raises
    ------
    ValueError
        If the folder holds results of other settings, or files of something else.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[tuple[int, ...], Any]],
        given: Mapping[str, npt.NDArray[Any]],
        folder: Path | None,
        settings: dict[str, Any],
    ) -> None:
        self.done: set[int] = set()
        self._folder = folder
        self._told: str | None = None
        self._written: list[int] = []
        self._settled = time.monotonic()
        self._arrays: dict[str, Any] = dict(given)
        self._files: dict[str, ArrayFile] = {}
        new = folder is None or self._begin(folder, settings, {*shapes} - {*given})
        for name, (shape, dtype) in shapes.items():
            if name in given:
                continue
            if folder is None:
                self._arrays[name] = np.full(shape, _empty(dtype), dtype)
                continue
            path = folder / f"{name}.npy"
            file = ArrayFile.new(path, shape, dtype) if new else ArrayFile.there(path)
            if file.shape != shape or file.dtype != dtype:
                raise ValueError(f"{path} does not hold what this run writes; delete {folder}")
            self._files[name] = file

    def _begin(self, folder: Path, settings: dict[str, Any], names: set[str]) -> bool:
        """Whether the arrays of the folder are to be made anew."""
        told = json.dumps(settings, sort_keys=True, indent=1) + "\n"
        path = folder / SETTINGS
        if not path.exists():
            if folder.is_dir() and not _never_ready(folder, names):
                raise ValueError(
                    f"checkpoint: expected a new or empty folder, or one of this function, got "
                    f"{folder}, which holds other files"
                )
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / DONE).write_bytes(b"")
            self._told = told
            return True
        before = path.read_text(encoding="utf-8")
        if before != told:
            raise ValueError(
                f"checkpoint: {folder} holds results of {_difference(before, settings)}; pass "
                "another folder, or delete that one"
            )
        self._told = None
        whole = len((folder / DONE).read_bytes()) // 8 * 8  # of a number that was cut short, none
        self.done = set(np.fromfile(folder / DONE, np.int64, whole // 8).tolist())
        with writing(folder / DONE), (folder / DONE).open("r+b") as file:
            file.truncate(whole)
        return False

    def ready(self) -> None:
        """Say that all arrays are there: from now on the results can be gone on with."""
        if self._folder is not None and self._told is not None:
            write_text(self._folder / SETTINGS, self._told)

    def put(self, number: int, place: tuple[slice, slice], values: Mapping[str, Any]) -> None:
        """Put a tile of every array in its place; arrays may have further axes before."""
        for name, value in values.items():
            if name in self._files:
                self._files[name].write(place, value)
            else:
                self._arrays[name][..., *place] = value
                let_go(self._arrays[name])
        self._written.append(number)
        if time.monotonic() > self._settled + SETTLE_AFTER:
            self.settle()

    def settle(self) -> None:
        """Wait until all tiles are on the disk, and say there that they are done."""
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        if self._folder is not None and self._written:
            for file in self._files.values():
                file.settle()
            with writing(self._folder), (self._folder / DONE).open("ab") as told:
                told.write(np.array(self._written, np.int64).tobytes())
        self.done.update(self._written)
        self._written, self._settled = [], time.monotonic()

    def arrays(self) -> dict[str, Any]:
        """All arrays by name; those of the folder are mapped into memory."""
        return self._arrays | {name: file.mapped() for name, file in self._files.items()}

    def beside(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """One array more, which is made of the others at the end; in the folder if there is one."""
        if self._folder is None:
            return np.empty(shape, dtype)
        file = ArrayFile.new(self._folder / f"{name}.npy", shape, np.dtype(dtype))
        file.reserve()
        return file.mapped()


def _never_ready(folder: Path, names: set[str]) -> bool:
    """Whether a folder is empty, or was left by a run that ended before it was `ready`."""
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".part-")}
    if not found:
        return True
    own = {DONE, *(f"{name}.npy" for name in names)}
    return found <= own and DONE in found and not (folder / DONE).read_bytes()


def _empty(dtype: Any) -> Any:
    return np.nan if np.issubdtype(dtype, np.floating) else 0


def _difference(before: str, settings: dict[str, Any]) -> str:
    """The first setting that was another, in words."""
    try:
        old = json.loads(before)
    except ValueError:
        return "something else"
    for name, value in json.loads(json.dumps(settings)).items():
        if old.get(name) != value:
            return f"{name}={old.get(name)!r}, now {value!r}"
    return "other settings"
