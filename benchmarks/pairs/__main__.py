"""Goes through all measurements, one process after another, and writes what they found."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from report import ROOT, hardware

import tefast
from pairs import page
from pairs.shapes import SHAPES
from pairs.ways import plan
from tefast._support.files import write_text

PACKAGES = ("numpy", "scipy", "numba", "pyinform", "tnx")
SECONDS = 600
"""After which a measurement is given up."""
LAST = ROOT / "build" / "pairs.json"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m pairs", description=__doc__)
    parser.add_argument("-k", default="", metavar="WORDS", help="only rows that hold these words")
    parser.add_argument("--small", action="store_true", help="a few series, to see whether it runs")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--page", action="store_true", help="only the page, from the kept results")
    given = parser.parse_args(arguments)
    if given.page:
        page.write(page.committed())
        return 0
    jobs = [job for job in plan(SHAPES.values()) if given.k.lower() in title(*job).lower()]
    if not jobs:
        example = title(*next(plan(SHAPES.values())))
        parser.error(f"no row holds {given.k!r}; one is {example!r}")
    everything = not given.k and not given.small
    out = given.out or LAST
    results = run(jobs, out, small=given.small)
    if everything and given.out is None:
        write_text(page.KEPT, json.dumps(results, indent=1) + "\n")
        page.write(results)
    print(page.tables(results))
    return 1 if any("failed" in row for row in results["rows"]) else 0


def title(shape, way):
    """Such as "mESC, 2 symbols: NumPy, one-hot matrix products"."""
    return f"{shape.name}: {way.label}"


def run(jobs, out, small=False):
    """All measurements, written to `out` after each."""
    machine = hardware() | {"level": tefast.build_info()["instruction_set"]}
    results = {"hardware": machine, "versions": versions(), "rows": []}
    for i, (shape, way) in enumerate(jobs):
        print(f"[{i + 1}/{len(jobs)}] {title(shape, way)} ...", end=" ", flush=True)
        start = time.monotonic()
        found = in_process(shape, way, small)
        print(f"{said(found)} ({time.monotonic() - start:.0f} s in all)", flush=True)
        results["rows"].append({"shape": shape.name, "way": way.name, **found})
        write_text(out, json.dumps(results, indent=1) + "\n")
    return results


def in_process(shape, way, small):
    """What a process of its own found, or why it failed: the others are worth measuring."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pairs.one", shape.name, way.name, str(out)]
        command += ["--small"] if small else []
        environment = {**os.environ, **way.environment}
        try:
            ended = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"took longer than {SECONDS} s"}
        if ended.returncode == 0:
            return json.loads(out.read_text(encoding="utf-8"))
        return reason(ended)


def reason(ended):
    """Why a process failed, in its own words; a package that is not there is no failure."""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else f"ended with {ended.returncode}"
    if last.startswith("ModuleNotFoundError"):
        return {"skipped": f"not installed ({last.partition(': ')[2]})"}
    errors = [line for line in lines if "Error" in line]
    return {"failed": errors[-1] if errors else last}


def said(found):
    """A measurement in a few words."""
    for how in ("skipped", "failed"):
        if how in found:
            return f"{how}: {found[how]}"
    speed = page.number(found["per_second"] / 1e9)
    return f"{page.number(found['seconds'])} s, {speed} G transitions/s, {found['peak_mb']:.0f} MB"


def versions():
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    sys.exit(main())
