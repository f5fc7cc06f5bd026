"""The output folder of a run: its layout, its lock, and what it remembers between starts."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tefast._support.files import write_text
from tefast.experiment.config import NO_ORDER, Config, ConfigError
from tefast.experiment.lock import locked
from tefast.experiment.plan import PlannedCurve
from tefast.experiment.processes import here

FOLDERS = ("data", "features", "checkpoints", "penalties", "models", "scores", "sweep", "readings")
FILES = (
    "results.csv", "classes.csv", "summary.json", "report.html", "units.csv", "maps.csv",
    "readings.csv", "figure2.png", "figure3.png", "figure4.png", "recoveries.png", "size.png",
    "maps.png", "training.png", "readings.png",
)  # fmt: skip
# Beside these, run.json is the memory of a run, and what tells its folder from any other.


class Workspace:
    """Paths below the output folder, and seconds spent on each stage over all starts.

    Parameters
    ----------
    out : Path
        The output folder, made if needed.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.data = out / "data"
        self.features = out / "features"
        self.models = out / "models"
        self.results = out / "results.csv"
        self.classes = out / "classes.csv"
        self.units = out / "units.csv"  # only where results.csv is about gates
        self.summary = out / "summary.json"
        self.report = out / "report.html"
        self.maps = out / "maps.csv"
        self.readings = out / "readings.csv"
        self._memory = out / "run.json"
        self.seconds: dict[str, float] = {}
        self._base: dict[str, Any] = {}
        self._pins: dict[str, str] = {}

    def checkpoint(self, regularizer: str, seed: int, of: str = "") -> Path:
        """Training that is not over; `of` tells those apart that are not of the models."""
        return self.out / "checkpoints" / f"{regularizer}-seed{seed}{of and '-'}{of}.pt"

    def choice(self, regularizer: str, seed: int) -> Path:
        """What each factor of a penalty came to on the samples that were held out for it."""
        return self.out / "penalties" / f"{regularizer}-seed{seed}.json"

    def model(self, regularizer: str, seed: int, units: int | None = None) -> Path:
        """A trained model; with `units`, a small one that was trained from scratch."""
        of = "" if units is None else f"-{units}units"
        return self.models / f"{regularizer}-seed{seed}{of}.safetensors"

    def scaling(self, seed: int) -> Path:
        """Mean and deviation of the features of a seed's training clips."""
        return self.models / f"scaling-seed{seed}.safetensors"

    def scores(self, regularizer: str, seed: int, granularity: str, criterion: str) -> Path:
        """The scores of a model's units or gates by one criterion."""
        name = _name(regularizer, seed, granularity)
        return self.out / "scores" / f"{name}-{_quoted(criterion)}.safetensors"

    def sweep(
        self, regularizer: str, seed: int, granularity: str, planned: PlannedCurve
    ) -> tuple[Path, Path]:
        """Rows measured for one curve of one model, and those of its classes."""
        name = _name(regularizer, seed, granularity)
        name += f"-{_quoted(planned.criterion)}-{planned.order}"
        if planned.order == NO_ORDER:
            name += f"-{planned.draw}"
        if planned.recovery != "none":
            name += f"-{planned.recovery}"
        return self.out / "sweep" / f"{name}.csv", self.out / "sweep" / f"{name}-classes.csv"

    def shuffled(self, regularizer: str, seed: int) -> Path:
        """What a model makes of clips whose frames were shuffled."""
        return self.out / "sweep" / f"{regularizer}-seed{seed}-shuffled.json"

    def readings_of(self, regularizer: str, seed: int, orders: int) -> Path:
        """What the readings of the score come to for a model, beside so many random orders."""
        return self.out / "readings" / f"{regularizer}-seed{seed}-{orders}orders.csv"

    def facts_of(self, regularizer: str, seed: int) -> Path:
        """What the units of a model are like, beside its scores by some readings."""
        return self.out / "readings" / f"{regularizer}-seed{seed}-units.json"

    def discard(self, *names: str) -> None:
        """Delete files of an earlier start that this one has nothing for."""
        for name in names:
            (self.out / name).unlink(missing_ok=True)

    def begin(self, config: Config, *, fresh: bool, must_resume: bool) -> None:
        """Take up the run that is there, or start one.

        Raises
        ------
        ConfigError
            If the run that is there has other settings, there is none and `must_resume`, or the
            folder holds files of somebody else's under names that a run uses.
        """
        here().first(lambda: self._begin(config, fresh=fresh, must_resume=must_resume))

    def _begin(self, config: Config, *, fresh: bool, must_resume: bool) -> None:
        before = self._recall()
        if before is None:
            self._refuse_strangers()
            if must_resume:
                raise ConfigError(f"--resume: there is no run in {self.out}")
        elif fresh or before["clearing"]:  # or a --fresh that was killed on the way
            self._clear()
            before = None
        self._base = json.loads(json.dumps(config.base()))
        if before is not None:
            self._compare(before["settings"])
            self.seconds, self._pins = before["seconds"], before["pins"]
        for part in self.out.rglob(".part-*"):  # left by a run that was killed while writing
            part.unlink(missing_ok=True)
        self._remember()

    def refuse_inputs(self, *paths: Path) -> None:
        """Raise if an input lies where a run writes, and where --fresh would delete it."""
        for path in paths:
            for name in FOLDERS:
                place = (self.out / name).resolve()
                if path.resolve().is_relative_to(place):
                    raise ConfigError(f"{path} lies in {place}, which a run in --out writes itself")

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Announce a stage and add up the time it takes; the first process does so for all."""
        if not here().is_first:
            yield
            return
        shown = f"{name} ({detail})" if detail else name
        print(f"{shown} ...", flush=True)
        start = time.monotonic()
        try:
            yield
        except BaseException:
            with suppress(OSError):  # on a full disk, what went wrong in the stage is what to tell
                self._add_seconds(name, start)
            raise
        spent = self._add_seconds(name, start)
        print(f"{shown}: {spent:.1f} s", flush=True)

    def _add_seconds(self, name: str, start: float) -> float:
        spent = time.monotonic() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self._remember()
        return spent

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this folder; the lock goes with the process, however it ends."""
        with ExitStack() as stack:
            here().first(lambda: stack.enter_context(locked(self.out)))
            yield

    def pin(self, name: str, value: str) -> None:
        """Hold a run to what it was begun with: models of other data must not be mixed in."""
        here().first(lambda: self._pin(name, value))

    def _pin(self, name: str, value: str) -> None:
        before = self._pins.setdefault(name, value)
        if before != value:
            raise ConfigError(
                f"the {name} have changed since the run in {self.out} was begun; choose another "
                "--out, or --fresh to delete that run"
            )
        self._remember()

    def _recall(self) -> dict[str, Any] | None:
        if not self._memory.exists():
            return None
        try:
            memory = json.loads(self._memory.read_text(encoding="utf-8"))
            if memory.get("clearing"):
                return {"clearing": True}
            kept = {name: dict(memory[name]) for name in ("settings", "seconds", "pins")}
            return {"clearing": False, **kept}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self._memory} cannot be read ({error}); delete {self.out} or choose another "
                "--out"
            ) from None

    def _refuse_strangers(self) -> None:
        """Raise if the folder holds something under a name that a run would use or delete."""
        there = [name for name in (*FOLDERS, *FILES) if (self.out / name).exists()]
        if there:
            raise ConfigError(
                f"{self.out} holds {', '.join(there)}, but not from a run of this program; choose "
                "another --out"
            )

    def _compare(self, before: dict[str, Any]) -> None:
        different = [
            f"{name} was {before.get(name)!r}, now {value!r}"
            for name, value in self._base.items()
            if before.get(name) != value
        ]
        if different:
            raise ConfigError(
                f"{self.out} holds a run with other settings ({'; '.join(different)}); choose "
                "another --out, or --fresh to delete that run"
            )

    def _remember(self) -> None:
        memory = {"settings": self._base, "seconds": self.seconds, "pins": self._pins}
        write_text(self._memory, json.dumps(memory, indent=2, sort_keys=True) + "\n")

    def _clear(self) -> None:
        """Delete what a run wrote, and nothing else that may lie in the folder.

        The memory says so from the beginning to the end: killed on the way, the next start goes
        on with it rather than take what is left for a run.
        """
        write_text(self._memory, json.dumps({"clearing": True}) + "\n")
        for name in FOLDERS:
            if (self.out / name).is_dir():
                shutil.rmtree(self.out / name)
        for name in FILES:
            (self.out / name).unlink(missing_ok=True)
        self._memory.unlink(missing_ok=True)


def _name(regularizer: str, seed: int, granularity: str) -> str:
    of = "" if granularity == "unit" else f"-{granularity}s"
    return f"{regularizer}-seed{seed}{of}"


def _quoted(criterion: str) -> str:
    """The name of a criterion, which may be the user's own, as a part of a file's name."""
    return quote(criterion, safe="")
