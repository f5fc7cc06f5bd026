"""Series as codes: all that pairs are counted from, wherever the values are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting.inputs import Inputs
from tefast._counting.masks import half_way
from tefast._counting.options import Options
from tefast._counting.pairs import runs
from tefast._inputs import values
from tefast._inputs.kinds import PAIRED
from tefast._tables.types import MISSING, Lengths
from tefast.binning import MAX_BINS, Binning

Codes = npt.NDArray[np.signedinteger[Any]]


def codes_of(inputs: Inputs, numbers: npt.NDArray[np.int64]) -> Codes:
    """Codes (N, T, U) of some series, in one byte each where that holds them."""
    parts = [inputs.binned().units(some).codes() for some in runs(numbers, len(numbers))]
    kind = np.int8 if inputs.bins <= np.iinfo(np.int8).max else np.int16
    return np.concatenate(parts, axis=2, dtype=kind)


def inputs_of(codes: Codes, bins: int, options: Options, lengths: Lengths) -> Inputs:
    """Series with these codes, as they are counted."""
    within = np.ones((1, 1), bool)
    if lengths is not None:
        within = np.arange(codes.shape[1]) < lengths[:, np.newaxis]
    there = codes != MISSING
    gaps = bool((~there & within[..., np.newaxis]).any())
    binning, array = Binning(bins, None), np.ascontiguousarray(codes)
    if gaps and bins <= MAX_BINS:
        binning = half_way(bins)
        array = np.where(there, codes, np.float32(np.nan))
    target = values.paired(array, "NTU")
    options, target = replace(options, omit=options.omit or gaps).placed(target)
    return Inputs(options, target, [], lengths, {PAIRED: None}, {PAIRED: binning})
