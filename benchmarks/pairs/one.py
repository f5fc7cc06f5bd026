"""Measures one way on one shape, in a process of its own, and checks what came out.

python -m pairs.one SHAPE WAY OUT.json [--small]    # with this folder's parent in PYTHONPATH
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import tefast
from pairs import cycles, ways
from pairs.shapes import SHAPES
from pairs.ways import WAYS

MOST_ROUNDS = 9
SPLIT_BELOW = 3
"""Seconds below which a call is measured at another number of steps as well."""
LINE = 512
"""Bits of a cache line, the least of a row of bits."""


def measured(shape, way, rounds=MOST_ROUNDS):
    """What is kept of a measurement of so many rounds at most. Raise if a result is wrong."""
    part = way.part(shape)
    reason = way.refuses(part)
    if reason is not None:
        return {"skipped": reason}
    warm_up(part, way)
    run = way.prepare(part)
    found = {
        "whole": part == shape, "sources": part.many, "series": part.series, "steps": part.steps,
        "delays": len(part.delays), "pairs": part.pairs, "transitions": part.transitions,
        "loaded_mb": memory("VmRSS"),
    }  # fmt: skip
    work = time.process_time()
    times, te, clock = timed(run, way.seconds, rounds)
    found["cpu_seconds"] = (time.process_time() - work) / len(times)
    found |= {"peak_mb": memory("VmHWM"), **summary(times)}
    found["per_second"] = part.transitions / found["seconds"]
    if way.prepare is ways.prepare:
        found["bound"] = bound(part, found["seconds"], clock)
    check(part, way, te)
    return found


def warm_up(part, way):
    """Compilers compile and libraries load, on a few steps of the same kind."""
    steps = part.first(max(part.delays)) + 200
    few = replace(part, series=min(part.series, 8), sources=min(part.many, 4), steps=steps)
    way.prepare(few)()


def timed(run, seconds, rounds=MOST_ROUNDS):
    """Seconds of all rounds, the result, and cycles of the first round where they can be had."""
    with cycles.Counter() as counter:
        start = time.perf_counter()
        te = run()
        times = [time.perf_counter() - start]
    while sum(times) < seconds and len(times) < rounds:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times, te, counter.cycles


def summary(times):
    """The median, and how far the rounds lie apart."""
    return {
        "seconds": statistics.median(times), "least": min(times), "most": max(times),
        "rounds": len(times),
    }  # fmt: skip


def bound(part, seconds, clock):
    """What tefast's time goes into, as far as it can be told from outside.

    Of products the number of words that are ANDed and have their bits counted is known. What of the
    time does not grow with the steps goes into the tables of the pairs: it is found by another call
    with fewer steps, or with more if there are few.
    """
    by_bits, level = ways.chosen(part)
    found = {"way": "products" if by_bits else "steps", "level": level, "threads": ways.THREADS}
    if by_bits:
        words = part.many * part.series * len(part.delays) * part.products * row_words(part.steps)
        found["words_per_nanosecond"] = words / seconds / 1e9 / ways.THREADS
        if clock:
            found["words_per_cycle"] = words / clock
    if seconds < SPLIT_BELOW:
        found["share_of_steps"] = share_of_steps(part, seconds)
    return found


def row_words(steps):
    """Words of 64 bits of a row."""
    return (steps + LINE - 1) // LINE * LINE // 64


def share_of_steps(part, seconds):
    """The share of the time that grows with the steps."""
    other = replace(part, steps=2 * part.steps if part.steps < 1024 else part.steps // 2)
    run = ways.prepare(other)
    run()
    again = statistics.median(timed(run, SPLIT_BELOW)[0])
    lengths = [steps_of(each) for each in (part, other)]
    growth = (again - seconds) / (lengths[1] - lengths[0])
    return min(1.0, max(0.0, growth * lengths[0] / seconds))


def steps_of(part):
    """Steps as they are worked on."""
    return row_words(part.steps) if ways.chosen(part)[0] else part.steps


def check(part, way, te):
    """A rival's values are tefast's; tefast's own are those of a call with one source."""
    others = np.arange(part.many)[:, np.newaxis] != np.arange(part.series)
    if way.prepare not in (ways.prepare, ways.prepare_sparse):
        expected = ways.of_pairs(ways.series(part), part)
        np.testing.assert_allclose(te[others], expected[others], rtol=1e-9, atol=way.absolute)
        return
    x, s = ways.series(part), part.many // 2
    ends = sorted({part.delays[0], part.delays[-1]})
    each = [tefast.transfer_entropy(x, x[:, s], delay=d, **ways.options(part)) for d in ends]
    highest = np.max(each, axis=0)[others[s]]
    if len(part.delays) == len(ends):
        np.testing.assert_array_equal(te[s][others[s]], highest)
    else:
        assert (te[s][others[s]] >= highest).all()


def memory(field):
    """Of this process, in MB (10**6 bytes)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise ValueError(f"/proc/self/status has no {field}")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m pairs.one", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args(arguments)
    shape = SHAPES[given.shape].small() if given.small else SHAPES[given.shape]
    found = measured(shape, WAYS[given.way], rounds=1 if given.small else MOST_ROUNDS)
    given.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
