"""summary.json: what was run, on what, and what came out, for programs to read."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tefast._support.files import write_text
from tefast.experiment.config import ORDERS, Config
from tefast.experiment.findings import findings, gate_findings, paper_table, percent
from tefast.experiment.naming import printable
from tefast.experiment.results import Curve, StudyResults

PACKAGES = ("tefast", "torch", "numpy", "av", "safetensors", "matplotlib")


def build_summary(
    config: Config,
    results: StudyResults,
    gates: StudyResults | None = None,
    *,
    command: Sequence[str],
    backbone: str,
    dataset: dict[str, Any],
    shuffled: list[dict[str, Any]],
    problems: list[dict[str, str]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Everything the report says, as JSON can hold it.

    Parameters
    ----------
    results, gates : Results
        Of units, and of gates where these were removed as well; ``gate_findings`` is then there.
    backbone : str
        Which weights the features come from.
    dataset : dict
        ``name``, ``classes`` (names), ``clips``, ``usable``, ``missing`` (clips that official
        lists name and the folder lacks), and ``splits``: for every seed ``seed``, ``train``,
        ``test`` (clips) and ``group_overlap``, the fraction of test clips beside a training clip
        of their own group, or "unknown".
    shuffled : list of dict
        For every model ``seed``, ``regularizer``, ``accuracy``, ``shuffled_accuracy``.
    problems : list of dict
        For every clip that is damaged or cannot be read ``name``, ``kind``, ``reason``.
    seconds : dict
        Of every stage, over all starts of the run.
    """
    whole = {
        regularizer: percent(results.spread(Curve(regularizer, config.criteria[0], ORDERS[0]), 0.0))
        for regularizer in config.regularizers
    }
    test_clips = min(part["test"] for part in dataset["splits"])
    summary = {
        "command": list(command),
        "config": asdict(config),
        "versions": versions(),
        "hardware": hardware(),
        "backbone": backbone,
        "dataset": dataset,
        "problems": problems,
        "before_removal": whole,
        "beside_the_paper": paper_table(results),
        "findings": findings(results, test_clips),
        **({} if gates is None else {"gate_findings": gate_findings(results, gates, test_clips)}),
        "shuffled": shuffled,
        "seconds": {stage: round(spent, 1) for stage, spent in seconds.items()},
    }
    return {name: _without_home(value) for name, value in summary.items()}


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
    return found


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
