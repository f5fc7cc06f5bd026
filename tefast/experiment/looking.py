"""The stage that looks at single units: maps of them, and the readings of the score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tefast.experiment.captured import captured
from tefast.experiment.config import REGULARIZER_NAMES, Config
from tefast.experiment.drawing import write
from tefast.experiment.reading_results import described, gains
from tefast.experiment.reading_rows import ReadingRow, write_reading_rows
from tefast.experiment.readings import FRACTIONS, ReadingSweep
from tefast.experiment.sweep import Trained
from tefast.experiment.unit_facts import facts_of_model, of_paper, write_maps
from tefast.experiment.unit_figures import build_maps, build_readings, build_training, losses
from tefast.experiment.workspace import Workspace


def look_at_units(
    config: Config,
    space: Workspace,
    trained: Sequence[Trained],
    progress: Callable[[int, int], None],
    *,
    samples: int,
) -> tuple[dict[str, Path], dict[str, Any] | None]:
    """Write maps.csv, and readings.csv where readings are asked for, and draw both.

    Parameters
    ----------
    progress : callable
        Told the readings of a model that are done, and their number.
    samples : int
        Test samples of a seed.

    Returns
    -------
    figures : dict of str to Path
    readings : dict or None
        As the summary has them.
    """
    mine = [one for one in trained if one.regularizer == config.recovered_regularizer]
    rows: list[ReadingRow] = []
    known = []
    for one in mine:

        @lru_cache(maxsize=1)
        def capture(of: Trained = one) -> Any:
            return captured(of, config.rnn)

        place = space.facts_of(one.regularizer, one.seed)
        known.append(facts_of_model(capture, one, config.rnn, place, every=config.readings))
        if config.readings:
            path = space.readings_of(one.regularizer, one.seed, config.random_orders)
            rows += ReadingSweep(config, one).measure(capture, path, progress)
    maps = [(one, of_paper(each)) for one, each in zip(mine, known, strict=True)]
    write_maps(space.maps, maps, dataset=config.dataset, split=config.split)
    first = mine[0]
    what = f"{REGULARIZER_NAMES[first.regularizer]}, seed {first.seed}"
    figures = {"maps": space.out / "maps.png"}
    write(build_maps(maps[0][1], what), figures["maps"])
    if not config.readings:
        space.discard("readings.csv", "readings.png")
        return figures, None
    write_reading_rows(space.readings, rows)
    figures["readings"] = space.out / "readings.png"
    write(build_readings(gains(rows, FRACTIONS[0], samples), FRACTIONS[0]), figures["readings"])
    return figures, described(rows, known, regularizer=first.regularizer, samples=samples)


def draw_training(config: Config, space: Workspace) -> dict[str, Path]:
    """Draw the losses of the models; nothing where none were kept."""
    models = {
        regularizer: [space.model(regularizer, seed) for seed in config.seeds]
        for regularizer in config.regularizers
    }
    found = losses(models)
    if not found:
        return {}
    path = space.out / "training.png"
    write(build_training(found), path)
    return {"training": path}
