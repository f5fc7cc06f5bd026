"""How batches are taken: beside a series, or alone."""

from __future__ import annotations

from typing import Any

from tefast._streaming.accumulation import Accumulated


class Beside(Accumulated):
    """A measure of units beside a series."""

    def update(
        self, h: Any, y: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        h : array_like, shape (N, T, U), (T, U) or (T,)
            The target.
        y : array_like, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
            The source.
        lengths : array_like of int, shape (N,), optional
            Valid steps of each sequence.
        mask : array_like of bool, shape (N, T) or that of `h`, optional
            True where something counts, as in `transfer_entropy`.
        layout : str, optional
            What the axes of `h` hold, as in `transfer_entropy`.
        """
        self._take({"h": h, "y": y}, lengths, mask, layout)

    def update_from(
        self,
        h: Any,
        y: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count arrays that need not fit into memory, slice by slice; if it raises, none of it.

        For that a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        h : array, shape (N, T, U), (T, U) or (T,); or a list of sequences of unequal lengths
            The target: anything with a shape that slices can be taken of, such as a memory map or a
            dataset of HDF5 or Zarr. Sequences are read some at a time; steps, where one sequence
            alone is too large.
        y : array, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
            The source.
        lengths : array_like of int, shape (N,), optional
            Valid steps of each sequence.
        mask : array of bool, shape (N, T) or that of `h`, optional
            True where something counts, as in `transfer_entropy`. It is sliced as the data are, so
            that it may lie in a file too; a list, beside lists of sequences.
        rows : int, optional
            Sequences in a slice, or steps where `h` has no axis of sequences. Default: as many as
            take 64 MiB. Counts are the same for any.
        layout : str, optional
            What the axes of `h` hold, as in `transfer_entropy`.
        """
        self._update_from({"h": h, "y": y}, lengths, mask, rows, layout)


class Alone(Accumulated):
    """A measure of units alone."""

    def update(
        self, h: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch (N, T, U), (T, U) or (T,); if it raises, nothing was counted."""
        self._take({"h": h}, lengths, mask, layout)

    def update_from(
        self,
        h: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count an array that need not fit into memory: see `TransferEntropy.update_from`."""
        self._update_from({"h": h}, lengths, mask, rows, layout)
