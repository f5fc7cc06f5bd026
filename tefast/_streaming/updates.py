"""How batches are taken: beside a series, or alone."""

from __future__ import annotations

from typing import Any

from tefast._counting.pieces import slices
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
        target, source = self._read(h, y, layout)
        self._count(target, [source], lengths, mask)

    @documented
    def update_from(
        self,
        h: Any,
        y: Any,
        lengths: Any = None,
        *,
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
        {lengths, rows, layout}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        joint, reach = self._sources is not None, self.measure.reach(self._embedding)
        self._update_all(slices(h, y, lengths, rows, reach, layout, joint))


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
        self._count(self._target(h, layout), [], lengths, mask)

    @documented
    def update_from(
        self, h: Any, lengths: Any = None, *, rows: int | None = None, layout: str | None = None
    ) -> None:
        """Count an array that need not fit into memory, slice by slice; if it raises, none of it.

        To take everything back in that case, a copy of the counts so far is kept meanwhile.

        Parameters
        ----------
        {h:pieces, lengths, rows, layout:alone}

        Raises
        ------
        {errors:batch}
            The message names the slice.
        """
        reach = self.measure.reach(self._embedding)
        self._update_all(slices(h, None, lengths, rows, reach, layout))
