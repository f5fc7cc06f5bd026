"""Networks: transfer entropy between all pairs of series, its significance, and its edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._significance.result import unit_name
from tefast._support.files import whole_file
from tefast._support.mapped import by_rows, let_go
from tefast._support.parameters import documented

MATRICES = (
    "te",
    "delay",
    "p_value",
    "q_value",
    "null_mean",
    "null_std",
    "effective_te",
    "coincidence",
)
"""Fields that have a value for every pair."""
Places = npt.NDArray[np.intp]
NO_DELAY = -1
"""The delay of a series and itself."""


@dataclass(frozen=True, repr=False, eq=False)
class Network:
    """The result of `tefast.pairwise_transfer_entropy`.

    Its matrices are adjacency matrices: rows are sources, and columns are targets. A series is no
    source of itself, and has NaN there.

    Attributes
    ----------
    te : ndarray, shape (S, U)
        Transfer entropy in units of ``log(base)``: of each pair the highest over all delays.
    delay : ndarray of integers, shape (S, U)
        The delay at which it is highest, the shortest of several; -1 for a series and itself. The
        type is the smallest of int16, int32 and int64 that holds all delays.
    names : tuple, length U
        The names of the series, or their numbers.
    source_names : tuple, length S
        Those of the sources.
    delays : tuple of int
        The delays that were measured.
    te_by_delay : ndarray, shape (D, S, U), or None
        Transfer entropy at every delay, if it was asked for.
    p_value : ndarray, shape (S, U), or None
        The probability of as high a transfer entropy if the pair is not coupled at any delay; None
        if nothing was tested.
    q_value : ndarray, shape (S, U), or None
        p adjusted for the number of pairs (`tefast.benjamini_hochberg`).
    null_mean, null_std : ndarray, shape (S, U), or None
        Mean and standard deviation of transfer entropy without a coupling.
    effective_te : ndarray, shape (S, U), or None
        ``te - null_mean``.
    coincidence : ndarray, shape (S, U), or None
        The coincidence index: the share of the transfer entropy of all delays that lies at the best
        one and its neighbours (S. Ito et al., PLoS ONE 6, e27431, 2011); None with one delay.
    method : str or None
        How pairs were tested.
    surrogates : int
        The number of surrogates of each source; the fewest, where sources have gaps and some can
        be turned or exchanged in fewer ways than `surrogates` asked for. 0 without.
    alpha : float
        Pairs whose q-value is below it count as edges.
    base : float
        The base of the logarithms.
    """

    te: Any
    delay: Any
    names: tuple[Any, ...]
    source_names: tuple[Any, ...]
    delays: tuple[int, ...] = (1,)
    te_by_delay: Any = None
    p_value: Any = None
    q_value: Any = None
    null_mean: Any = None
    null_std: Any = None
    effective_te: Any = None
    coincidence: Any = None
    method: str | None = None
    surrogates: int = 0
    alpha: float = 0.05
    base: float = 2.0

    def __repr__(self) -> str:
        sources, targets = self.te.shape
        lines = [f"Network of {sources} sources and {targets} targets"]
        lines.append(f"  delays:      {_ranges(self.delays)}")
        if self.method is not None:
            how = f"{self.surrogates} surrogates" if self.surrogates else "no surrogates"
            many = sum(len(s) for _, s, _ in self._edges_by_rows(None))
            lines.append(f"  significant: {many} edges at q < {self.alpha:g}")
            lines.append(f"  method:      {self.method}, {how}")
        highest = self._highest()
        if highest is not None:
            s, u = highest
            lines.append(
                f"  highest:     {self.source_names[s]} -> {self.names[u]} with te "
                f"{self.te[s, u]:#.4g} {unit_name(self.base)} at delay {self.delay[s, u]}"
            )
        return "\n".join(lines)

    def edges(self, q: float | None = None) -> npt.NDArray[np.bool_]:
        """Say which pairs are edges.

        Parameters
        ----------
        q : float, optional
            Pairs with a q-value below it are edges. Default: `alpha`; without a test all pairs
            are that have a transfer entropy.

        Returns
        -------
        ndarray of bool, shape (S, U)

        Raises
        ------
        ValueError
            If `q` is given and nothing was tested.
        """
        found = np.zeros(self.te.shape, bool)
        for some, s, u in self._edges_by_rows(q):
            found[some][s, u] = True
        return found

    def direct_edges(
        self, q: float | None = None, tolerance: float = 0.0, slack: int | None = 1
    ) -> npt.NDArray[np.bool_]:
        """Say which edges are left when those go that two stronger ones can explain.

        What reaches a series by way of another is no more than either step passes on (the data
        processing inequality), and likewise for what two series have from a third. An edge from s
        to u goes if there is a third series m with two edges that are both stronger: s to m and m
        to u, or m to s and m to u (A. Margolin et al., BMC Bioinformatics 7, S7, 2006). If several
        delays were measured, the two must also explain when it comes: the delay of the edge is the
        sum of theirs, or their difference. All edges are looked at before any goes.

        Parameters
        ----------
        q : float, optional
            See `edges`.
        tolerance : float, default 0
            An edge goes if ``te < (1 - tolerance) * (the weaker of the two others)``.
        slack : int, default 1
            By how many steps the delays may differ; None: delays are not looked at.

        Returns
        -------
        ndarray of bool, shape (S, U)

        Raises
        ------
        ValueError
            If `tolerance` is not in [0, 1), `slack` is below 0, or a series is no source.
        """
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance: expected a number in [0, 1), got {tolerance}")
        if slack is not None and not slack >= 0:
            raise ValueError(f"slack: expected a number of steps or None, got {slack}")
        if self.te.shape[0] != self.te.shape[1] or self.source_names != self.names:
            raise ValueError("direct_edges: expected all series as sources, got some of them")
        found, delay = self.edges(q), np.asarray(self.delay, np.int64)
        strength = np.where(found, self.te, -np.inf)
        timed = slack is not None and len(self.delays) > 1
        left = found.copy()
        for middle in range(len(strength)):
            arriving, leaving = strength[:, middle, np.newaxis], strength[middle]
            for first, of_both in (
                (arriving, delay[:, middle, np.newaxis] + delay[middle]),
                (leaving[:, np.newaxis], delay[middle] - delay[middle][:, np.newaxis]),
            ):
                explained = strength < (1 - tolerance) * np.minimum(first, leaving)
                if timed:
                    explained &= np.abs(of_both - delay) <= slack
                left &= ~explained
        return np.asarray(left)

    def to_dataframe(self, q: float | None = None) -> Any:
        """Make a table of the edges, the strongest first.

        Parameters
        ----------
        q : float, optional
            See `edges`.

        Returns
        -------
        pandas.DataFrame
            A row for every edge: source, target, te, delay, and what else is known of it.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError("to_dataframe needs pandas: pip install pandas") from error
        parts: dict[str, list[Any]] = {"source": [], "target": []}
        for some, s, u in self._edges_by_rows(q):
            parts["source"].append(s + some.start)
            parts["target"].append(u)
            for name, matrix in self._matrices():
                parts.setdefault(name, []).append(matrix[some][s, u])
                let_go(matrix)
        columns: dict[str, Any] = {name: np.concatenate(part) for name, part in parts.items()}
        order = np.argsort(-columns["te"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        columns["source"] = [self.source_names[i] for i in columns["source"].tolist()]
        columns["target"] = [self.names[i] for i in columns["target"].tolist()]
        return pandas.DataFrame(columns)

    def to_networkx(self, q: float | None = None) -> Any:
        """Make a directed graph of the edges.

        Parameters
        ----------
        q : float, optional
            See `edges`.

        Returns
        -------
        networkx.DiGraph
            All series are nodes. What is known of an edge is with it, and its `weight` is `te`.

        Raises
        ------
        ImportError
            If networkx is not installed.
        """
        try:
            import networkx
        except ModuleNotFoundError as error:
            raise ImportError("to_networkx needs networkx: pip install networkx") from error
        graph = networkx.DiGraph(base=self.base, method=self.method, alpha=self.alpha)
        graph.add_nodes_from(self.names)
        graph.add_nodes_from(self.source_names)
        for i, j in zip(*np.nonzero(self.edges(q)), strict=True):
            known = {name: matrix[i, j].item() for name, matrix in self._matrices()}
            ends = self.source_names[i], self.names[j]
            graph.add_edge(*ends, weight=known["te"], **known)
        return graph

    def to_torch(self, device: Any = None) -> dict[str, Any]:
        """Return the matrices as tensors, for work that goes on in PyTorch.

        Parameters
        ----------
        device : torch.device or str, optional
            Where the tensors lie. Default: the host's memory.

        Returns
        -------
        dict of str to Tensor
            By the names of the fields, those that are there. They are copies.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        """
        try:
            import torch
        except ModuleNotFoundError as error:
            raise ImportError("to_torch needs PyTorch: pip install torch") from error
        known = dict(self._matrices())
        if self.te_by_delay is not None:
            known["te_by_delay"] = self.te_by_delay
        return {name: torch.tensor(np.asarray(one), device=device) for name, one in known.items()}

    @documented
    def plot(self, q: float | None = None, title: str = "Transfer entropy") -> Any:
        """Plot the matrix, and beside it the graph if it is small.

        Parameters
        ----------
        q : float, optional
            See `edges`.
        title : str, default "Transfer entropy"
            The title of the figure.

        {sections:plot}
        """
        from tefast import network_plot

        return network_plot.figure(self, q, title)

    def save(self, path: str | Path) -> None:
        """Write the network to one file, in NumPy's format npz.

        Parameters
        ----------
        path : str or Path
            It appears whole or not at all.

        Raises
        ------
        ValueError
            If a name is neither a string nor a number.
        """
        names = [*self.names, *self.source_names]
        strange = [name for name in names if not isinstance(name, str | int | float)]
        if strange:
            raise ValueError(f"names: expected strings or numbers, got {strange[0]!r}")
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays: dict[str, Any] = {
            name: np.asarray(value, dtype=np.str_) if _are_names(name, value) else value
            for name, value in given.items()
            if value is not None
        }
        with whole_file(Path(path)) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the file holds no network.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as file:
                given = {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, KeyError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} holds no network: {error}") from None
        known = {field.name for field in fields(cls)}
        if not {"te", "delay", "names", "source_names"} <= set(given) <= known:
            raise ValueError(
                f"{path} holds no network, but {', '.join(sorted(given)) or 'nothing'}"
            )
        values: dict[str, Any] = {}
        for name, value in given.items():
            if value.ndim == 0:
                values[name] = value.item()
            else:
                values[name] = tuple(value.tolist()) if value.ndim == 1 else value
        return cls(**values)

    def _edges_by_rows(self, q: float | None) -> Iterator[tuple[slice, Places, Places]]:
        """Some rows at a time, and in these the rows and columns of the edges."""
        tested = self.q_value is not None
        if q is not None and not tested:
            raise ValueError(
                "q: expected none, as the pairs were not tested; pass significance= to "
                "pairwise_transfer_entropy"
            )
        most, matrix = self.alpha if q is None else q, self.q_value if tested else self.te
        for some in by_rows(matrix):
            part = np.asarray(matrix[some])
            s, u = np.nonzero(part < most if tested else ~np.isnan(part))
            yield some, s, u

    def _highest(self) -> tuple[int, int] | None:
        """The first of the pairs with the highest transfer entropy."""
        place, highest = None, -np.inf
        for some in by_rows(self.te):
            part = np.where(np.isnan(self.te[some]), -np.inf, self.te[some])
            s, u = np.unravel_index(int(part.argmax()), part.shape)
            if part[s, u] > highest:
                place, highest = (some.start + int(s), int(u)), part[s, u]
        return place

    def _matrices(self) -> Iterator[tuple[str, Any]]:
        for name in MATRICES:
            if getattr(self, name) is not None:
                yield name, getattr(self, name)


def _are_names(field: str, value: Any) -> bool:
    return field in ("names", "source_names") and any(isinstance(name, str) for name in value)


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers in few words, such as "1 to 30"."""
    steps = np.diff(numbers)
    if len(numbers) > 2 and (steps == 1).all():
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
