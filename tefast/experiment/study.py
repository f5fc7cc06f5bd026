"""The study from Python: on data, with a model and with criteria of one's own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tefast.experiment import datasets
from tefast.experiment.config import PRESETS, Config, ConfigError, check, for_dataset
from tefast.experiment.datasets.base import Dataset
from tefast.experiment.datasets.sequences import SequenceDataset, Sequences, checked

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from tefast.nn.criteria import Criterion

_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_OTHERWISE = {"preset": "preset=", "dataset": "data", "criteria": "criteria=", "rnn": "rnn=",
              "model": "model="}  # fmt: skip
"""Settings that are given by arguments of another name or kind."""


@dataclass(frozen=True)
class StudyOutcome:
    """What a study came to.

    Attributes
    ----------
    out : Path
        The folder of the results.
    rows : pandas.DataFrame
        One row for each measurement, with the columns of ``results.csv``.
    summary : dict
        Settings, versions, means and findings, as in ``summary.json``.
    figures : tuple of Path
        The pictures, PNG.
    report : Path
        ``report.html``.
    """

    out: Path
    rows: pd.DataFrame
    summary: dict[str, Any]
    figures: tuple[Path, ...]
    report: Path


class Study:
    """The study: networks trained on sequences, and what removing their units costs.

    Parameters
    ----------
    data : str, Sequences or Dataset
        The name of a data set, as ``--dataset`` takes it; sequences of your own; or an object of a
        subclass of `tefast.experiment.datasets.Dataset`.
    model : callable, optional
        ``model(input_size, num_classes)`` returns an ``nn.Module`` that maps (n, T, D) to logits of
        every step, (n, T, C), or of every sequence, (n, C). It draws its weights from PyTorch's
        generator. Its recurrent layer has one layer and one direction. Default: one LSTM and two
        fully connected layers, of the sizes in the settings `hidden` and `fc`.
    rnn : str, default "rnn"
        Name of the recurrent layer in `model`, with dots for nesting.
    criteria : sequence, or mapping of str to callable, optional
        What orders the units: names in ``tefast.nn.criteria.NAMED``, "module:function", or
        functions of a ``tefast.nn.Context`` that return a score for each unit. A function in a
        sequence is called by its own name. Default: those of the preset.
    out : str or path, optional
        The folder of the results. A study that is there already, stopped or finished, is gone on
        with. Default: a new folder for temporary files, which is not deleted.
    preset : {"default", "smoke", "complete", "paper"}, default "default"
        Where settings come from that are not given, before those that suit the data set.
    verbose : bool, default True
        Print what is done.
    **settings
        Fields of `tefast.experiment.config.Config`, such as ``seeds=(0, 1, 2)``,
        ``split="group"`` or ``epochs=20``.

    Raises
    ------
    TypeError, ValueError
        If an argument or setting is not as described. What is wrong with the data is found out
        here too, as far as they are given as arrays.

    Examples
    --------
    >>> study = Study("digits", preset="smoke", seeds=(0,))  # doctest: +SKIP
    >>> study.run().rows.groupby("criterion").accuracy.mean()  # doctest: +SKIP
    """

    def __init__(
        self,
        data: str | Sequences | Dataset[Any],
        *,
        model: Callable[[int, int], nn.Module] | None = None,
        rnn: str = "rnn",
        criteria: Sequence[str | Criterion] | Mapping[str, Criterion] | None = None,
        out: str | Path | None = None,
        preset: str = "default",
        verbose: bool = True,
        **settings: Any,
    ) -> None:
        if preset not in PRESETS:
            raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
        if model is not None and not callable(model):
            raise TypeError(
                "model: expected a function (input_size, num_classes) -> nn.Module, got "
                f"{type(model).__name__}"
            )
        self._dataset = _dataset(data)
        self._model, self._verbose = model, verbose
        names, self._criteria = _criteria(criteria)
        with datasets.lent(self._dataset):
            config = replace(
                for_dataset(PRESETS[preset], self._dataset.name), **_settings(settings), rnn=rnn
            )
            if names is not None:
                config = replace(config, criteria=names)
            if model is not None:
                config = replace(config, model=_called(model))
            self._config = check(config)
        if out is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError("out: expected a folder, which several processes share, got None")
        self.out = Path(tempfile.mkdtemp(prefix="tefast-study-") if out is None else out)

    @property
    def config(self) -> Config:
        """All settings."""
        return self._config

    def run(self, *, fresh: bool = False) -> StudyOutcome:
        """Run the study, or go on with it.

        Stopped at any moment, the same study with the same `out` goes on and ends in the same
        numbers.

        Parameters
        ----------
        fresh : bool, default False
            Delete a study that is in `out`.

        Returns
        -------
        StudyOutcome

        Raises
        ------
        ValueError
            If the data, the model or the settings cannot be run.
        """
        import pandas as pd

        from tefast.experiment.architecture import Architecture
        from tefast.experiment.run import run
        from tefast.experiment.workspace import Workspace

        quiet = contextlib.nullcontext() if self._verbose else _silence()
        with datasets.lent(self._dataset), quiet:
            run(
                self._config,
                self.out,
                fresh=fresh,
                command=[repr(self)],
                criteria=self._criteria,
                architecture=Architecture(self._model),
            )
        space = Workspace(self.out)
        figures = tuple(path for path in sorted(self.out.glob("*.png")))
        rows = pd.read_csv(space.results, keep_default_na=False)
        summary = json.loads(space.summary.read_text(encoding="utf-8"))
        return StudyOutcome(self.out, rows, summary, figures, space.report)

    def __repr__(self) -> str:
        default = PRESETS[self._config.preset]
        given = [
            f"{field.name}={getattr(self._config, field.name)!r}"
            for field in fields(Config)
            if field.name not in ("preset", "dataset")
            and getattr(self._config, field.name) != getattr(default, field.name)
        ]
        return f"Study({', '.join([repr(self._dataset.name), *given])})"


class OwnSequences(SequenceDataset):
    """Sequences that are given as arrays."""

    def __init__(self, sequences: Sequences) -> None:
        self.name = "sequences"
        self._sequences = sequences
        checked(sequences, self.name)
        if sequences.split is not None:
            self.settings = {"split": "official-1"}

    def load(self, root: Path) -> tuple[Sequences, Path]:
        """Return them."""
        return self._sequences, Path(self.name)


def _dataset(data: str | Sequences | Dataset[Any]) -> Dataset[Any]:
    if isinstance(data, Sequences):
        return OwnSequences(data)
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, str):
        raise TypeError(
            f"data: expected a name, Sequences or a Dataset, got {type(data).__name__}; arrays are "
            "given as Sequences(x, labels)"
        )
    return datasets.named(data)


def _criteria(
    given: Sequence[str | Criterion] | Mapping[str, Criterion] | None,
) -> tuple[tuple[str, ...] | None, dict[str, Criterion]]:
    """The names of the criteria, and functions by their names."""
    if given is None:
        return None, {}
    if isinstance(given, str) or not isinstance(given, Sequence | Mapping):
        raise TypeError(f"criteria: expected a sequence or a mapping, got {given!r}")
    pairs = given.items() if isinstance(given, Mapping) else ((_called(c), c) for c in given)
    names, own = [], {}
    for name, one in pairs:
        if not isinstance(one, str):
            if not callable(one) or not isinstance(name, str) or not _NAME.fullmatch(name):
                raise TypeError(
                    f"criteria: expected functions by names such as 'my_norm', got {one!r} by "
                    f"{name!r}; a mapping of names to functions gives others"
                )
            own[name] = one
        names.append(name)
    return tuple(names), own


def _called(given: Any) -> str:
    if isinstance(given, str):
        return given
    return str(getattr(given, "__name__", type(given).__name__))


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Settings as `Config` has them: tuples where several values are meant."""
    default, found = Config(), {}
    for name, value in given.items():
        if name in _OTHERWISE or name not in Config.__dataclass_fields__:
            hint = f"; it is given by {_OTHERWISE[name]}" if name in _OTHERWISE else ""
            known = ", ".join(n for n in Config.__dataclass_fields__ if n not in _OTHERWISE)
            raise TypeError(f"unknown setting {name!r}{hint}; known are {known}")
        several = isinstance(getattr(default, name), tuple)
        if several and (isinstance(value, str) or not hasattr(value, "__iter__")):
            raise TypeError(f"{name}: expected a sequence such as {getattr(default, name)}, got "
                            f"{value!r}")  # fmt: skip
        found[name] = tuple(value) if several else value
    for name in ("data_root", "data"):
        if found.get(name) is not None:
            found[name] = str(found[name])
    return found


def _silence() -> contextlib.AbstractContextManager[Any]:
    return contextlib.redirect_stdout(io.StringIO())
