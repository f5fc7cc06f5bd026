"""summary.json: what was run, on what, and what came out, for programs to read."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tefast._support.files import write_text
from tefast.experiment.answers import answers
from tefast.experiment.class_results import ClassResults
from tefast.experiment.class_tables import class_table
from tefast.experiment.comparisons import accuracy_tables, percent, whole_curve
from tefast.experiment.config import Config
from tefast.experiment.findings import findings, gate_findings, paper_table
from tefast.experiment.naming import printable
from tefast.experiment.results import StudyResults

PACKAGES = ("tefast", "torch", "numpy", "av", "safetensors", "scipy", "matplotlib")


def build_summary(
    config: Config,
    results: StudyResults,
    gates: StudyResults | None = None,
    *,
    by_class: ClassResults | None = None,
    readings: dict[str, Any] | None = None,
    command: Sequence[str],
    backbone: str,
    dataset: dict[str, Any],
    shuffled: list[dict[str, Any]],
    chosen_weights: Sequence[dict[str, Any]] = (),
    problems: list[dict[str, str]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything the report says, as JSON can hold it.

    Parameters
    ----------
    results, gates : Results
        Of units, and of gates where these were removed as well; ``gate_findings`` and
        ``gate_tables`` are then there.
    by_class : ClassResults, optional
        Right answers class by class.
    readings : dict, optional
        What `tefast.experiment.reading_results.described` makes of the readings.
    backbone : str
        Which weights the features come from.
    dataset : dict
        ``name``, ``classes`` (names), ``clips``, ``usable``, ``missing`` (clips that official
        lists name and the folder lacks), and ``splits``: for every seed ``seed``, ``train``,
        ``test`` (clips) and ``group_overlap``, the fraction of test clips beside a training clip
        of their own group, or "unknown".
    shuffled : list of dict
        For every model ``seed``, ``regularizer``, ``accuracy``, ``shuffled_accuracy``.
    chosen_weights : sequence of dict
        For every factor of a penalty that was chosen ``regularizer``, ``seed``, ``weight``, and
        ``grid``: for each factor that was tried ``weight``, ``accuracy`` and ``cross_entropy`` on
        the training samples that were held out.
    problems : list of dict
        For every clip that is short, damaged or cannot be read ``name``, ``kind``, ``reason``.
    seconds : dict
        Of every stage, over all starts of the run.
    """
    samples, classes = min(part["test"] for part in dataset["splits"]), len(dataset["classes"])
    whole = {}
    for regularizer in config.regularizers:
        curve = whole_curve(results, regularizer)
        whole[regularizer] = None if curve is None else percent(results.spread(curve, 0.0))
    summary = {
        "command": list(command),
        "config": asdict(config),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "hardware": hardware(),
        "backbone": backbone,
        "dataset": dataset,
        "problems": problems,
        "before_removal": whole,
        "answers": answers(results, samples, classes),
        "beside_the_paper": paper_table(results, samples),
        "findings": findings(results, samples, classes),
        "tables": accuracy_tables(results, samples, classes),
        "classes": [] if by_class is None else class_table(by_class),
        **({} if readings is None else {"readings": readings}),
        **({} if gates is None else _of_gates(results, gates, samples, classes)),
        "shuffled": shuffled,
        "chosen_weights": list(chosen_weights),
        "seconds": {stage: round(spent, 1) for stage, spent in seconds.items()},
    }
    return {name: _without_home(value) for name, value in summary.items()}


def _of_gates(
    units: StudyResults, gates: StudyResults, samples: int, classes: int
) -> dict[str, Any]:
    return {
        "gate_findings": gate_findings(units, gates, samples),
        "gate_tables": accuracy_tables(gates, samples, classes),
    }


def _without_home(value: Any) -> Any:
    """The same with ~ for the user's home folder, as reports are passed on.

    Names of files in it become text that a page can hold.
    """
    if isinstance(value, dict):
        return {name: _without_home(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_home(one) for one in value]
    home = str(Path.home())
    if isinstance(value, str):
        value = printable(value)
    if isinstance(value, str) and home != os.sep:
        return re.sub(rf"{re.escape(home)}(?=/|$|[\s'\",:;)])", "~", value)
    return value


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write it as JSON, which has no NaN."""
    write_text(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    found["FFmpeg"] = _ffmpeg()
    return found


def _ffmpeg() -> str:
    """Of the FFmpeg that PyAV decodes with."""
    try:
        import av
    except ImportError:
        return "not installed"
    known = getattr(av, "ffmpeg_version_info", None)
    if known:
        return str(known)
    return ", ".join(
        f"{name} {'.'.join(map(str, one))}" for name, one in av.library_versions.items()
    )


def hardware() -> dict[str, Any]:
    """The processor, its cores, memory and system; nothing that names the machine or its user."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        memory = 0.0
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
