"""What is measured of the pairs of a tile."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.pairs import CODE_BYTES, PairCounter, Tile
from tefast._pairing.asked import Asked
from tefast._significance.pairs import tested
from tefast.networks import NO_DELAY

Floats = npt.NDArray[np.float64]


def measured(
    counter: PairCounter, tile: Tile, asked: Asked, itself: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[Any]]:
    """All that is asked of the pairs of a tile, by the names of the fields of `Network`.

    Parameters
    ----------
    itself : ndarray of bool, shape (S, U)
        Where a source and a target are the same series.
    """
    delays = np.array(asked.delays)
    nats, at, best = _best(list(counter.scores(tile, asked.bias)))
    unit = math.log(asked.options.base)
    found: dict[str, npt.NDArray[Any]] = {"te": best / unit}
    found["delay"] = np.where(itself, NO_DELAY, delays[at])
    if len(delays) > 1:
        found["coincidence"] = _coincidence(nats, delays, at)
    if asked.by_delay:
        found["te_by_delay"] = nats / unit
    if asked.test is not None:
        p, mean, deviation = np.stack(list(tested(counter, tile, best, asked.test)), axis=1)
        found["p_value"] = np.where(np.isnan(best), np.nan, p)
        found["null_mean"], found["null_std"] = mean / unit, deviation / unit
        found["effective_te"] = (best - mean) / unit
    for matrix in found.values():
        if matrix.dtype.kind == "f":
            matrix[..., itself] = np.nan
    return found


def _best(scores: Sequence[Floats]) -> tuple[Floats, npt.NDArray[Any], Floats]:
    """All scores (D, S, U), where the highest over delays is, the first of equal ones, and it."""
    if len(scores) == 1:
        return scores[0][np.newaxis], np.zeros(scores[0].shape, np.intp), scores[0]
    nats = np.stack(scores)
    at = np.where(np.isnan(nats), -np.inf, nats).argmax(axis=0)
    return nats, at, np.take_along_axis(nats, at[np.newaxis], axis=0)[0]


def code_settings(inputs: Inputs) -> dict[str, Any]:
    """What the results depend on in the data and the backend, for a checkpoint."""
    return {
        "codes": digest("".join(code_digests(inputs))),
        "bins": inputs.bins,
        "rounding": inputs.options.backend.ROUNDING,
    }


def code_digests(inputs: Inputs) -> list[str]:
    """A digest of the codes of each series."""
    sequences, steps, units = inputs.target.array.shape
    at_once = max(1, CODE_BYTES // (2 * sequences * steps))
    found = []
    for start in range(0, units, at_once):
        codes = inputs.binned().units(slice(start, min(start + at_once, units))).codes()
        series = np.ascontiguousarray(codes.transpose(2, 0, 1))
        found += [digest(each) for each in series]
    return found


def digest(content: Any) -> str:
    """A few letters that other content does not have."""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _coincidence(nats: Floats, delays: npt.NDArray[Any], at: npt.NDArray[Any]) -> Floats:
    """The share of all delays' transfer entropy (D, S, U) at the best one and a step beside it."""
    near = np.abs(delays[:, np.newaxis, np.newaxis] - delays[at]) <= 1
    nats = np.fmax(nats, 0.0)  # corrected values may be below 0, and some delays have none
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((nats * near).sum(axis=0) / nats.sum(axis=0))
