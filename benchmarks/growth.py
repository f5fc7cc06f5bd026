"""How tefast's time grows with sequences, steps, units, bins and threads.

    python benchmarks/growth.py    # writes results/growth.json and docs/growth.png

One of them varies at a time around 1000 sequences, 25 steps, 512 units and 16 bins. The slope is
that of log time against log size over the upper half of the sizes: 1 is in proportion.
"""

import json
import os
import statistics
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from report import RESULTS, ROOT, hardware
from workloads import Workload

import tefast

BASE = {"sequences": 1000, "steps": 25, "units": 512, "bins": 16}
SIZES = {
    "sequences": [10, 30, 100, 300, 1000, 3000, 10_000],
    "steps": [5, 10, 25, 50, 100, 250],
    "units": [1, 4, 16, 64, 256, 1024, 4096],
    "bins": [2, 4, 8, 16, 32, 64, 128, 256],
}
ROUNDS = 9


def seconds(size, threads):
    """Median time of one call."""
    shape = (size["sequences"], size["steps"], size["units"])
    work = Workload("growth", shape, size["bins"])
    timed = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        tefast.transfer_entropy(work.h, work.y, threads=threads, **work.options)
        timed.append(time.perf_counter() - start)
        if sum(timed) > 20:
            break
    return statistics.median(timed[1:] or timed)


def slope(sizes, times):
    """Of log time against log size, over the upper half if there is one."""
    upper = len(sizes) // 2 if len(sizes) > 3 else 0
    return float(np.polyfit(np.log(sizes[upper:]), np.log(times[upper:]), 1)[0])


def measure():
    threads = len(os.sched_getaffinity(0))
    found = {}
    for name, sizes in SIZES.items():
        times = []
        for size in sizes:
            times.append(seconds({**BASE, name: size}, threads))
            print(f"{name} {size}: {1e3 * times[-1]:.2f} ms", flush=True)
        found[name] = {"sizes": sizes, "seconds": times, "slope": slope(sizes, times)}
    counts = sorted({1, *(2**i for i in range(1, 12) if 2**i < threads), max(threads, 2)})
    times = [seconds(BASE, count) for count in counts]
    found["threads"] = {"sizes": counts, "seconds": times, "slope": slope(counts, times)}
    return {"hardware": hardware(), "base": BASE, "growth": found}


def draw(results, path):
    growth = results["growth"]
    figure, axes = plt.subplots(1, len(growth), figsize=(16, 3.6), sharey=True)
    for axis, (name, row) in zip(axes, growth.items(), strict=True):
        sizes, times = np.array(row["sizes"]), 1e3 * np.array(row["seconds"])
        axis.loglog(sizes, times, "o-", base=10)
        power = -1 if name == "threads" else 1
        axis.loglog(sizes, times[-1] * (sizes / sizes[-1]) ** float(power), ":", color="grey")
        axis.set_title(f"{name}: slope {row['slope']:.2f}")
        axis.set_xlabel(name)
        axis.set_xticks(sizes, [str(size) for size in sizes], rotation=45, minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds")
    base = ", ".join(f"{size} {name}" for name, size in results["base"].items())
    figure.suptitle(
        f"One of {base} varied; {results['hardware']['threads']} threads of "
        f"{results['hardware']['processor']}; dotted: in proportion"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    results = measure()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "growth.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, ROOT / "docs" / "growth.png")
    for name, row in results["growth"].items():
        print(f"{name}: slope {row['slope']:.2f}")


if __name__ == "__main__":
    main()
