"""The criteria of a run: known by name, imported from the user's code, or given as functions."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from tefast.experiment.config import FROM_SCRATCH, Config, ConfigError
from tefast.nn.criteria import NAMED, Criterion

RANDOM = "random"
"""The criterion that stands for several orders, each drawn by a seed of its own."""

OF_UNITS_ALONE = ("group", "redundancy", "spectral", "taylor")
"""Criteria that are not had for single gates."""


def criteria_of(
    config: Config, own: Mapping[str, Criterion] | None = None
) -> dict[str, str | Criterion]:
    """Resolve the criteria of a run, before it does any work.

    Parameters
    ----------
    config : Config
        Its `criteria` are names in `tefast.nn.criteria.NAMED`, names in `own`, or
        "module:function". Such a module is imported from the current folder or the path.
    own : mapping of str to callable, optional
        Functions of a `tefast.nn.Context`.

    Returns
    -------
    dict of str to str or callable
        For each name of `config.criteria` what `tefast.nn.score` takes.

    Raises
    ------
    ConfigError
        If one cannot be had.
    """
    own = dict(own or {})
    for name, function in own.items():
        if name in NAMED or name == FROM_SCRATCH:
            raise ConfigError(f"criteria: the name {name!r} is taken; choose another")
        if name not in config.criteria:
            raise ConfigError(
                f"criteria: {name!r} is given as a function, but is not among the run's criteria, "
                f"which are {', '.join(config.criteria)}"
            )
        _check_callable(name, function)
    found: dict[str, str | Criterion] = {}
    for name in config.criteria:
        if name in own:
            found[name] = own[name]
        elif name in NAMED:
            found[name] = name
        elif ":" in name:
            found[name] = _imported(name)
        else:
            raise ConfigError(
                f"unknown criteria {name!r}; known are {', '.join(NAMED)}, and one of your own is "
                "named module:function"
            )
    refused = [name for name in found if name in OF_UNITS_ALONE]
    if "gate" in config.granularities and refused:
        raise ConfigError(
            f"--granularity gate: criteria that score single gates are needed, and "
            f"{', '.join(refused)} score whole units alone; leave them out"
        )
    return found


def digest_of(criterion: Criterion) -> str:
    """A hash of the lines of a function of the user's own; of its name where they are not had.

    Of a ``functools.partial`` its arguments count too. What the function calls, and what it takes
    from outside, is not looked at.
    """
    parts = []
    while isinstance(criterion, partial):
        # Without addresses in memory, which no two starts share.
        parts.append(re.sub(r" at 0x[0-9a-f]+", "", repr((criterion.args, criterion.keywords))))
        criterion = criterion.func
    function = inspect.unwrap(criterion)
    try:
        parts.append(inspect.getsource(cast(Any, function)))
    except (OSError, TypeError):
        parts.append(getattr(function, "__qualname__", type(function).__qualname__))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def seed_of_draw(seed: int, draw: int) -> int:
    """The seed of a random order: another one for each model's seed and each number of a draw."""
    return int(np.random.SeedSequence([seed, draw]).generate_state(1, np.uint64)[0] >> 1)


def _imported(name: str) -> Criterion:
    of, _, function = name.partition(":")
    with _current_folder_in_path():
        try:
            module = importlib.import_module(of)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{of}.".startswith(f"{error.name}."):
                raise ConfigError(f"criterion {name!r}: importing {of} failed: {error}") from error
            raise ConfigError(
                f"criterion {name!r}: there is no module {of!r} in the current folder or in "
                "Python's path"
            ) from None
        except Exception as error:  # whatever the user's module raises
            raise ConfigError(
                f"criterion {name!r}: importing {of} failed: {type(error).__name__}: {error}"
            ) from error
    found = getattr(module, function, None)
    if found is None:
        raise ConfigError(f"criterion {name!r}: module {of!r} has no {function!r}")
    _check_callable(name, found)
    return cast(Criterion, found)


def _check_callable(name: str, found: object) -> None:
    if not callable(found):
        raise ConfigError(
            f"criterion {name!r}: expected a function of a tefast.nn.Context, got "
            f"{type(found).__name__}"
        )


@contextmanager
def _current_folder_in_path() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
