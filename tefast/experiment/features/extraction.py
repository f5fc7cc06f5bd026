"""Features of all clips: those in the store, and the others computed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from tefast.experiment.datasets.base import ClipProblem, DatasetError, Features, Found
from tefast.experiment.datasets.videos import Clip
from tefast.experiment.features.backbones import Backbone
from tefast.experiment.features.pool import outcomes
from tefast.experiment.features.processes import all_know, cores, ranks
from tefast.experiment.features.store import Contents, Store
from tefast.experiment.features.work import Job, Outcome

READING = 1
"""Counted up when the same clip comes to be read otherwise."""
NOTED = ("decoding", "network", "processor", "elapsed")
"""Seconds that are noted with every entry."""

Progress = Callable[[int, int], None]


def extract(
    found: Found[Clip],
    backbone: Backbone,
    *,
    frames: int,
    size: tuple[int, int],
    cache_dir: Path,
    workers: int = 0,
    progress: Progress | None = None,
) -> Features:
    """Run every clip's frames through the backbone, or read what was computed before.

    One clip is one pass of one thread, so a clip's features depend on nothing else. They are kept
    under a key of the backbone, its weights, `frames`, `size`, the decoder's version, and the
    clip's name, size and time of change; whatever of that changes leads to another entry. A clip
    that cannot be read is tried again each time. Where `torch.distributed` is initialised, each
    process computes its share of the clips, and all of them read the same store.

    Parameters
    ----------
    backbone : Backbone
    frames : int
        T, sampled from every clip.
    size : (int, int)
        Height and width of a frame.
    cache_dir : Path
        The folder of the store.
    workers : int
        Processes; 0: as many as there are cores.
    progress : callable, optional
        Told (clips done, clips), of this process.

    Raises
    ------
    DatasetError
        If no clip can be read, or a clip's features are not finite.
    """
    clips = found.clips
    folder = cache_dir / _folder(backbone, frames, size)
    keys = [_key(clip) for clip in clips]
    rank, world = ranks()
    work = _Work(found, backbone, Job(frames, size, backbone), keys, Store(folder))
    contents = work.store.read(keys)
    mine = range(rank, len(clips), world)
    missing = [i for i in mine if keys[i] not in contents.entries]
    _tell_bad(contents, len(missing))
    unreadable = all_know(lambda: work.compute(missing, len(mine), workers or cores(), progress))
    if missing or world > 1:
        contents = work.store.read(keys)
    features = _gather(found, keys, contents, unreadable, frames)
    features.extraction.update(_cost(contents, computed=len(missing)))
    features.extraction.update(
        precision=backbone.precision, device=backbone.device, weights_sha256=backbone.weights_sha256
    )
    return features


@dataclass(frozen=True)
class _Work:
    """Clips to be computed, and where their features go."""

    found: Found[Clip]
    backbone: Backbone
    job: Job
    keys: list[str]
    store: Store
    unreadable: dict[int, str] = field(default_factory=dict)

    def compute(
        self, missing: list[int], of: int, workers: int, progress: Progress | None
    ) -> dict[int, str]:
        """Compute these clips; return why some cannot be read."""
        done, last = of - len(missing), time.monotonic()
        _tell(progress, done, of)
        with self.store, closing(self._computed(missing, workers)) as computed:
            for number, outcome, processes in computed:
                done, now = done + 1, time.monotonic()
                self._take(number, outcome, processes, now - last)
                last = now
                _tell(progress, done, of)
        return self.unreadable

    def _computed(
        self, missing: list[int], workers: int
    ) -> Generator[tuple[int, Outcome, int], None, None]:
        """What comes of clips; the network runs where the clip is decoded, unless on a GPU."""
        tasks = [(i, self.found.clips[i].path) for i in missing]
        if self.backbone.device == "cpu":
            yield from outcomes(tasks, self.job, workers)
            return
        decoding = Job(self.job.frames, self.job.size, None)
        with closing(outcomes(tasks, decoding, workers)) as decoded:
            for number, outcome, processes in decoded:
                yield number, _on_device(self.backbone, outcome), processes

    def _take(self, number: int, outcome: Outcome, processes: int, elapsed: float) -> None:
        clip = self.found.clips[number]
        if outcome.values is None:
            self.unreadable[number] = outcome.problem or "it cannot be read"
            return
        bad = int((~np.isfinite(outcome.values)).sum())
        if bad:
            raise DatasetError(
                f"{bad} of {outcome.values.size} features of clip {clip.name} are NaN or infinite; "
                f"they come from {self.backbone.described} in {self.backbone.precision}"
            )
        seconds = (outcome.decoding, outcome.network, outcome.processor, elapsed)
        notes: dict[str, Any] = dict(zip(NOTED, (round(each, 6) for each in seconds), strict=True))
        notes |= {"name": clip.name, "problem": outcome.problem, "processes": processes}
        notes["short"] = outcome.short
        self.store.put(self.keys[number], outcome.values, notes)


def _on_device(backbone: Backbone, outcome: Outcome) -> Outcome:
    """Run decoded frames through a network that is on a GPU."""
    if outcome.values is None:
        return outcome
    start = time.perf_counter()
    values = backbone.run(outcome.values)
    return replace(outcome, values=values, network=time.perf_counter() - start)


def _gather(
    found: Found[Clip],
    keys: list[str],
    contents: Contents,
    unreadable: dict[int, str],
    frames: int,
) -> Features:
    width = max((entry.values.shape[1] for entry in contents.entries.values()), default=0)
    values = np.zeros((len(keys), frames, width), np.float32)
    usable = np.zeros(len(keys), np.bool_)
    problems = []
    for i, (clip, key) in enumerate(zip(found.clips, keys, strict=True)):
        entry = contents.entries.get(key)
        if entry is not None:
            values[i], usable[i] = entry.values, True
            if entry.notes["problem"] is not None:
                problems.append(ClipProblem(clip.name, "damaged", entry.notes["problem"]))
            elif entry.notes.get("short") is not None:
                has = f"it has {entry.notes['short']} of the {frames} frames that are taken"
                problems.append(ClipProblem(clip.name, "short", f"{has}; some count repeatedly"))
        elif i in unreadable:
            problems.append(ClipProblem(clip.name, "unreadable", unreadable[i]))
        else:
            raise DatasetError(
                f"the features of clip {clip.name} are not in the store although they were "
                "computed; all processes need the same --feature-cache"
            )
    if not usable.any():
        raise DatasetError(
            f"none of the {len(keys)} clips in {found.root} can be read; the first: "
            f"{problems[0].reason}"
        )
    return Features(values, usable, problems, extraction={})


def _cost(contents: Contents, *, computed: int) -> dict[str, Any]:
    """What the entries cost when they were computed, in whichever run that was."""
    notes = [entry.notes for entry in contents.entries.values()]
    total = {name: sum(each[name] for each in notes) for name in NOTED}
    wanted = sum(each["elapsed"] * each["processes"] for each in notes)
    return {
        "computed": computed,
        "clips_per_second": len(notes) / max(total["elapsed"], 1e-9),
        "decoding_seconds": total["decoding"],
        "network_seconds": total["network"],
        "busy": min(total["processor"] / max(wanted, 1e-9), 1.0),
        "processes": max(each["processes"] for each in notes),
        "bound_by": "decoding" if total["decoding"] > total["network"] else "the network",
    }


def _folder(backbone: Backbone, frames: int, size: tuple[int, int]) -> str:
    """The name of the folder of one kind of features."""
    kind = (
        READING,
        backbone.key(),
        frames,
        size,
        av.__version__,
        sorted(av.library_versions.items()),
    )
    return hashlib.sha256(repr(kind).encode()).hexdigest()[:32]


def _key(clip: Clip) -> str:
    return hashlib.sha256(repr((clip.name, _state(clip.path))).encode()).hexdigest()[:32]


def _state(path: Path) -> Any:
    """Size and time of change of a clip, or of all files of a folder of frames."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                listed = sorted((entry.name, entry.stat()) for entry in entries)
            return [(name, status.st_size, status.st_mtime_ns) for name, status in listed]
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    except OSError:  # it will be reported as a clip that cannot be read
        return None


def _tell(progress: Progress | None, done: int, of: int) -> None:
    if progress is not None:
        progress(done, of)


def _tell_bad(contents: Contents, missing: int) -> None:
    """Say what is computed again; what was computed again already is not worth a word."""
    if missing:
        for path, count in contents.bad.items():
            print(
                f"{path}: {count} {'entry is' if count == 1 else 'entries are'} damaged or cut "
                "short; such features are computed again",
                flush=True,
            )
