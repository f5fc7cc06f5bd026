"""Measures all cases and writes what it found, whole after every case."""

import argparse
import json
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from report import hardware

import tefast
from gpu import cases, measure, table
from tefast._support.files import write_text

PACKAGES = ("cupy-cuda13x", "triton")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--seconds", type=float, default=600, help="start nothing new after these")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    given = parser.parse_args(arguments)
    if given.device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch sees none", file=sys.stderr)
        return 1
    results = run(cases.CASES, given.device, given.out, given.seconds)
    print(table.table(results))
    return 1 if results["failed"] or results["left_out"] else 0


def run(chosen, device, out, seconds):
    """All measurements of the chosen cases, written to `out` after each.

    What was not measured, since time ran out or something went wrong, is named in the results.
    """
    deadline = time.monotonic() + seconds
    jobs = dict(plan(chosen, device))
    results = {
        "hardware": {"gpu": gpu(device), "cpu": hardware()}, "versions": versions(),
        "cases": {}, "from_host": {}, "streaming": {}, "failed": {}, "left_out": list(jobs),
    }  # fmt: skip
    for (part, name), job in jobs.items():
        if time.monotonic() > deadline:
            break
        results["left_out"].remove((part, name))
        start = time.monotonic()
        try:
            results[part][name] = job()
        except Exception as error:  # the others are worth measuring all the same
            results["failed"][f"{part}: {name}"] = measure.first_line(error)
        print(f"{part}: {name}: {time.monotonic() - start:.1f} s", flush=True)
        write_text(out, json.dumps(results, indent=1) + "\n")
        if device.type == "cuda":
            torch.cuda.empty_cache()
    results["left_out"] = [f"{part}: {name}" for part, name in results["left_out"]]
    write_text(out, json.dumps(results, indent=1) + "\n")
    return results


def plan(chosen, device):
    """Pairs of (part of the results, name) and what gives it, the most telling first."""
    yield ("cases", chosen[0].name), lambda: measure.measure(chosen[0], device)
    yield ("streaming", chosen[0].name), lambda: measure.streaming(chosen[0], device)
    for case in chosen[:3]:
        yield ("from_host", case.name), lambda case=case: measure.from_host(case, device)
    for case in chosen[1:]:
        yield ("cases", case.name), lambda case=case: measure.measure(case, device)


def gpu(device):
    """What the device is, without a name of the machine."""
    if device.type != "cuda":
        return {"name": "no GPU"}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "multiprocessors": found.multi_processor_count,
        "memory": found.total_memory,
        "l2_cache": found.L2_cache_size,
        "capability": f"{found.major}.{found.minor}",
    }


def versions():
    found = {
        "python": platform.python_version(), "torch": torch.__version__,
        "torch's CUDA": torch.version.cuda, "tefast's CUDA": tefast.build_info()["cuda"],
        "tefast": tefast.__version__, "numpy": np.__version__,
    }  # fmt: skip
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    sys.exit(main())
