"""How batches are taken: beside a series, or alone."""

from __future__ import annotations

from typing import Any

from tefast._streaming.accumulation import Accumulated
from tefast._support.parameters import documented


class Beside(Accumulated):
    """A measure of units beside a series."""

    @documented
    def update(
        self, h: Any, y: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch, y:batch, lengths, mask, layout}

        Raises
        ------
        {errors:batch}
        """
        self._take({"h": h, "y": y}, lengths, mask, layout)

    @documented
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

        To take everything back in that case, a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        {h:pieces}
        y : array, shape (N, T) or (T,); with `sources` (N, T, S) or (T, S)
            The source, which is read in the same slices.
        {lengths, mask:pieces, rows, layout}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        self._update_from({"h": h, "y": y}, lengths, mask, rows, layout)


class Alone(Accumulated):
    """A measure of units alone."""

    @documented
    def update(
        self, h: Any, lengths: Any = None, mask: Any = None, layout: str | None = None
    ) -> None:
        """Count a batch of sequences; if it raises, nothing was counted.

        Parameters
        ----------
        {h:batch, lengths, mask:alone, layout:alone}

        Raises
        ------
        {errors:batch}
        """
        self._take({"h": h}, lengths, mask, layout)

    @documented
    def update_from(
        self,
        h: Any,
        lengths: Any = None,
        *,
        mask: Any = None,
        rows: int | None = None,
        layout: str | None = None,
    ) -> None:
        """Count an array that need not fit into memory, slice by slice; if it raises, none of it.

        To take everything back in that case, a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        {h:pieces, lengths, mask:pieces, rows, layout:alone}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        self._update_from({"h": h}, lengths, mask, rows, layout)
