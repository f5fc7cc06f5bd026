"""Time of one call beside one read of the data, and beside one store for each transition.

`make performance` measures, and writes `results/performance.json` and the tables of
`docs/performance.md`. A read precedes each call, and ratios are medians over such pairs. The store
limit is a store a cycle on every thread: no way that increments a counter in memory for each
transition is faster. Counting in registers can be. Each of the other measures is timed in turns
with transfer entropy of as many cells.
"""

import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from report import RESULTS, ROOT, hardware

import tefast
import tefast.measures

SHAPE = 2700, 25, 1024
"""Half as many sequences as in the paper: 277 MB of float32."""
BINS = 2, 3, 4, 8, 16, 32, 64
DTYPES = "uint8", "float16", "float32", "float64"
PASTS = (4, 1), (4, 2), (4, 3), (16, 1), (16, 2)
"""Bins, and steps of the target's past."""
SHORTER = 400, 25, 1024
"""Ten million values, for the other measures."""
MEASURES = (
    ("transfer_entropy", 4, {"target_history": 2}),
    ("transfer_entropy", 4, {"target_history": 3}),
    ("transfer_entropy", 16, {"target_history": 2}),
    ("transfer_entropy", 4, {"source_history": 2}),
    ("transfer_entropy", 16, {"source_history": 2}),
    *(("conditional_transfer_entropy", bins, {}) for bins in (4, 8, 16)),
    *(("reverse_transfer_entropy", bins, {}) for bins in (4, 16)),
    *(("mutual_information", bins, {}) for bins in (4, 16, 64)),
    *(("active_information", bins, {}) for bins in (4, 16)),
    ("active_information", 16, {"target_history": 2}),
    *(("entropy_rate", bins, {}) for bins in (4, 16)),
    ("entropy_rate", 16, {"target_history": 2}),
)
"""Names, bins, and parameters of an embedding."""
BATCH = 64
"""Sequences that a streaming object is given at a time."""
ROUNDS = 15
PAGE = ROOT / "docs" / "performance.md"
PATH = RESULTS / "performance.json"
TITLES = {
    "bins": "bins",
    "dtype": "values",
    "target_history": "steps of the past",
    "threads": "threads",
}


def data(dtype, bins):
    """A target and a source, of random values: symbols where they are integers."""
    rng = np.random.default_rng(0)
    if dtype == "uint8":
        return (rng.integers(0, bins, shape, np.uint8) for shape in (SHAPE, SHAPE[:2]))
    h = rng.random(SHAPE, dtype=np.float32)
    return h.astype(dtype, copy=False), rng.random(SHAPE[:2], dtype=np.float32)


def read(pool, parts):
    """Look at every byte once, on as many threads as there are parts."""
    list(pool.map(lambda part: part.max(), parts))


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(h, y, bins, threads, past, clock):
    """A row: median times of a call and of a read, and how they compare."""
    flat = h.reshape(-1).view(np.int64)
    parts = np.array_split(flat, threads)
    ranges = {} if h.dtype.kind in "iu" else {"h_range": (0, 1), "y_range": (0, 1)}
    call = {"bins": bins, "threads": threads, "target_history": past, **ranges}
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS + 1):
            once = timed(lambda: read(pool, parts))
            times.append((once, timed(lambda: tefast.transfer_entropy(h, y, **call))))
    times = times[1:]
    transitions = h.shape[0] * (h.shape[1] - past) * h.shape[2]
    seconds = statistics.median(all_ for _, all_ in times)
    return {
        "dtype": str(h.dtype),
        "bins": bins,
        "target_history": past,
        "threads": threads,
        "read": statistics.median(once for once, _ in times),
        "seconds": seconds,
        "reads": statistics.median(all_ / once for once, all_ in times),
        "stores": seconds * threads * clock * 1e9 / transitions,
    }


def calls():
    """The other measures: a name, bins, cells of a unit's table, and a call of data by roles."""
    for name, bins, how in MEASURES:
        defined = tefast.measures.NAMED[name]
        embedding = defined.embedding(**how)
        cells = math.prod(defined.shape(dict.fromkeys("hyz", bins), embedding))
        title = ", ".join(
            [name.replace("_", " "), *(f"{key}={value}" for key, value in how.items())]
        )
        yield title, bins, cells, partial(evaluated, defined, how, bins)
    for bins in (4, 16):
        yield "local transfer entropy", bins, bins**3, partial(local, bins)
    yield "transfer entropy, binning='quantile'", 16, 16**3, quantile


def evaluated(defined, how, bins, data):
    given = {role: data[role] for role in defined.roles}
    ranges = {f"{role}_range": (0, 1) for role in given}
    return tefast.evaluate(defined, **given, **ranges, bins=bins, **how)


def local(bins, data):
    return tefast.local_transfer_entropy(data["h"], data["y"], bins, h_range=(0, 1), y_range=(0, 1))


def quantile(data):
    return tefast.transfer_entropy(data["h"], data["y"], 16, binning="quantile")


def measured_beside(name, bins, cells, call, plain_bins, plain):
    """A row: median times of a call and of plain transfer entropy, and their ratio."""
    call(), plain()
    pairs = [(timed(call), timed(plain)) for _ in range(ROUNDS)]
    return {
        "measure": name,
        "bins": bins,
        "cells": cells,
        "seconds": statistics.median(mine for mine, _ in pairs),
        "plain_bins": plain_bins,
        "plain_seconds": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(mine / other for mine, other in pairs),
    }


def measure_others():
    """Rows of the other measures, beside transfer entropy of nearly as many cells."""
    rng = np.random.default_rng(0)
    h = rng.random(SHORTER, dtype=np.float32)
    y, z = rng.random((2, *SHORTER[:2]), dtype=np.float32)
    ranges = {"h_range": (0, 1), "y_range": (0, 1)}
    rows = []
    for name, bins, cells, call in calls():
        plain_bins = round(cells ** (1 / 3))
        rows.append(measured_beside(
            name, bins, cells, lambda call=call: call({"h": h, "y": y, "z": z}),
            plain_bins, lambda bins=plain_bins: tefast.transfer_entropy(h, y, bins, **ranges),
        ))  # fmt: skip
    many = SHORTER[0] // BATCH
    batches = [(h[i * BATCH :][:BATCH], y[i * BATCH :][:BATCH]) for i in range(many)]
    whole = h[: many * BATCH], y[: many * BATCH]
    for bins in (4, 16):
        stream = tefast.TransferEntropy(SHORTER[2], bins, **ranges)
        rows.append(measured_beside(
            f"streaming, {many} batches of {BATCH} sequences", bins, bins**3,
            lambda stream=stream: [stream.update(*batch) for batch in batches],
            bins, lambda bins=bins: tefast.transfer_entropy(*whole, bins, **ranges),
        ))  # fmt: skip
    return rows


def measure(clock):
    """Rows of each table; clock: GHz. What stands in several tables is measured once."""
    threads = len(os.sched_getaffinity(0))
    first, known = data("float32", 16), {}

    def row(bins=16, past=1, threads=threads):
        if (bins, past, threads) not in known:
            known[bins, past, threads] = measured(*first, bins, threads, past, clock)
        return known[bins, past, threads]

    tables = {
        "bins": [row(bins) for bins in BINS],
        "threads": [row(threads=each) for each in sorted({1, threads})],
        "target_history": [row(bins, past) for bins, past in PASTS],
        "dtype": [
            row() if dtype == "float32" else measured(*data(dtype, 16), 16, threads, 1, clock)
            for dtype in DTYPES
        ],
    }
    return {
        "hardware": hardware(),
        "clock": clock,
        "shape": SHAPE,
        "tables": tables,
        "measures": measure_others(),
    }


def table(rows, varied):
    """Markdown."""
    columns = [*dict.fromkeys([varied, "bins"])]
    names = [TITLES[column] for column in columns]
    head = [*names, "ms", "one read, ms", "times the read", "times the store limit"]
    lines = [f"| {' | '.join(head)} |", "| ---: " * len(head) + "|"]
    for row in rows:
        cells = [str(row[column]) for column in columns]
        cells += [f"{1e3 * row['seconds']:.1f}", f"{1e3 * row['read']:.1f}"]
        lines.append(f"| {' | '.join(cells)} | {row['reads']:.1f} | {row['stores']:.1f} |")
    return "\n".join(lines) + "\n"


def table_of_measures(rows):
    """Markdown."""
    head = ["measure", "bins", "cells", "ms", "transfer entropy of", "ms", "ratio"]
    lines = [f"| {' | '.join(head)} |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    for row in rows:
        lines.append(
            f"| {row['measure']} | {row['bins']} | {row['cells']:,} | {1e3 * row['seconds']:.1f} | "
            f"{row['plain_bins']} bins | {1e3 * row['plain_seconds']:.1f} | {row['ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def page(text, results):
    """The page with its tables made anew, and what they were measured on."""
    machine, clock = results["hardware"], results["clock"]
    on = (
        f"{machine['processor']} ({machine['instruction_set']}, {machine['cache']} of cache), "
        f"{machine['threads']} threads, {clock:.2f} GHz\n"
    )
    made = {name: table(rows, name) for name, rows in results["tables"].items()}
    made |= {"machine": on, "measures": table_of_measures(results["measures"])}
    for name, part in made.items():
        text = re.sub(
            f"(<!-- {name} -->\n)(.*?)(<!-- end -->)",
            lambda found, part=part: f"{found[1]}\n{part}\n{found[3]}", text, flags=re.DOTALL,
        )  # fmt: skip
    return text


def main(arguments):
    if arguments != ["--page"]:
        (program,) = arguments
        asked = subprocess.run([program, "clock"], capture_output=True, text=True, check=True)
        results = measure(float(asked.stdout))
        PATH.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(PATH.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
