"""The scores of a model's units or gates, kept in a file for each criterion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tefast._support.files import whole_file
from tefast.experiment.config import Config
from tefast.experiment.criteria import RANDOM, seed_of_draw
from tefast.experiment.processes import here
from tefast.experiment.training import Material
from tefast.nn import gate_means, score
from tefast.nn.criteria import NAMED, Criterion, counter_of
from tefast.nn.scores import Granularity

MEANS = "means"
"""Beside the scores of gates by each criterion: the constants that stand in for them."""


def scores_of(
    config: Config,
    criteria: Mapping[str, str | Criterion],
    model: nn.Module,
    material: Material,
    seed: int,
    granularity: str,
    place: Callable[[str], Path],
) -> dict[str, Tensor]:
    """Scores by every criterion, from the training samples; read from the files that are there.

    Those of units have shape (U,), those of gates (U, G); with these come the gates' `MEANS`.
    Several processes count the samples together, which gives the same to the bit. Random orders
    have none: `random_scores` draws them.

    Parameters
    ----------
    criteria : mapping
        As `tefast.experiment.criteria.criteria_of` gives it.
    place : callable
        Gives the file of a criterion.
    """
    of: Granularity = "units" if granularity == "unit" else "gates"
    batches = material.batches()
    how: dict[str, Any] = {"of": of, "bins": config.bins, "seed": seed, "rnn": config.rnn}
    wanted = {name: one for name, one in criteria.items() if name != RANDOM}
    there = here().first(lambda: [name for name in (*wanted, MEANS) if place(name).exists()])
    missing = {name: one for name, one in wanted.items() if name not in there}
    counting = [
        name for name, one in missing.items() if isinstance(one, str) and counter_of(NAMED[one])
    ]
    if counting:  # they share the pass over the samples, and processes share the samples
        shared, group = here().share(batches), here().group
        for name, scores in score(model, shared, counting, group=group, **how).items():
            _write(place(name), scores[0, 0])
    for name, one in missing.items():
        if name not in counting:
            _write(place(name), _scored(name, one, model, batches, how))
    names = list(wanted)
    if granularity == "gate":
        names.append(MEANS)
        if MEANS not in there:
            _write(place(MEANS), gate_means(model, batches, rnn=config.rnn))
    here().wait()
    return {name: _read(place(name)) for name in names}


def _scored(
    name: str, one: str | Criterion, model: nn.Module, batches: Any, how: dict[str, Any]
) -> Tensor:
    if isinstance(one, str):
        found: Tensor = score(model, batches, one, **how)[0, 0]
        return found
    try:
        found = score(model, batches, one, **how)[0, 0]
    except Exception as error:  # whatever the user's function raises
        raise ValueError(f"criterion {name!r}: {type(error).__name__}: {error}") from error
    return found


def random_scores(
    model: nn.Module, seed: int, draw: int, granularity: str, rnn: str = "rnn"
) -> Tensor:
    """Scores of a random order of a seed's models, by its number."""
    of: Granularity = "units" if granularity == "unit" else "gates"
    scores = score(model, [], RANDOM, rnn=rnn, of=of, seed=seed_of_draw(seed, draw))
    found: Tensor = scores[0, 0]
    return found


def _write(path: Path, scores: Tensor) -> None:
    if not here().is_first:
        return
    with whole_file(path) as part:
        save_file({"scores": scores.contiguous()}, part)


def _read(path: Path) -> Tensor:
    try:
        return load_file(path)["scores"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it to score anew") from error
