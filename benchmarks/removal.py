"""What removing units gains: forward time, parameters, operations, against the removed fraction.

    python benchmarks/removal.py           # writes results/removal.json, docs/removal.png, the page
    python benchmarks/removal.py --page    # the page's table anew from the results

An LSTM classifier of 1024 units, 512 features and 25 steps: whole, with units masked, and with
these removed. In every round one forward pass of each, in turn; ratios are medians over rounds.
"""

import json
import re
import statistics
import sys
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from report import RESULTS, ROOT, hardware

from tefast.nn import SequenceClassifier, mask, prune

FEATURES, CLASSES, UNITS, STEPS = 512, 10, 1024, 25
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 0.9)
BATCHES, THREADS = (1, 64), (1, 2)
ROUNDS = 15
PAGE = ROOT / "docs" / "removal.md"
BEGIN, END = "<!-- table: python benchmarks/removal.py --page -->\n", "<!-- end -->\n"


def weights(model):
    """Parameters, their bytes, and operations of a forward pass of one sequence."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    # Every weight matrix meets every step once: a multiplication and an addition an element.
    operations = 2 * STEPS * sum(p.numel() for p in parameters if p.ndim == 2)
    return {
        "parameters": sum(p.numel() for p in parameters),
        "bytes": sum(p.numel() * p.element_size() for p in parameters),
        "operations": operations,
    }


def seconds(models, x):
    """Times of each model, round by round."""
    times = {name: [] for name in models}
    with torch.inference_mode():
        for turn in range(ROUNDS + 2):
            for name, model in models.items():
                start = time.perf_counter()
                model(x)
                if turn > 1:
                    times[name].append(time.perf_counter() - start)
    return times


def measure():
    torch.manual_seed(0)
    whole = SequenceClassifier(FEATURES, CLASSES, UNITS).eval()
    rows = []
    for fraction in FRACTIONS:
        units = torch.arange(round(fraction * UNITS))
        models = {"whole": whole, "masked": mask(whole, units), "removed": prune(whole, units)}
        row = {"fraction": fraction, **weights(models["removed"]), "times": []}
        for batch in BATCHES:
            x = torch.randn(batch, STEPS, FEATURES, generator=torch.Generator().manual_seed(1))
            with torch.inference_mode():
                found, expected = models["removed"](x), models["masked"](x)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
            for threads in THREADS:
                torch.set_num_threads(threads)
                times = seconds(models, x)
                row["times"].append({"batch": batch, "threads": threads, **summary(times)})
        rows.append(row)
        print(f"{fraction:.0%}: {row['times'][-1]}", flush=True)
    return {"hardware": hardware(), "torch": torch.__version__, "rows": rows}


def summary(times):
    """Median milliseconds, and medians of the ratios to the whole network round by round."""
    found = {f"{name}_ms": round(1e3 * statistics.median(of), 3) for name, of in times.items()}
    for name in ("masked", "removed"):
        pairs = zip(times[name], times["whole"], strict=True)
        found[f"{name}_ratio"] = round(statistics.median(a / b for a, b in pairs), 4)
    return found


def table(results):
    """Markdown."""
    head = [f"batch {batch}, threads: {threads}" for batch in BATCHES for threads in THREADS]
    lines = [
        f"| removed | parameters, M | memory, MB | operations, M | {' | '.join(head)} |",
        "| ---: " * (4 + len(head)) + "|",
    ]
    for row in results["rows"]:
        cells = [f"{one['removed_ms']:.1f} ms ({one['removed_ratio']:.2f})" for one in row["times"]]
        lines.append(
            f"| {row['fraction']:.0%} | {row['parameters'] / 1e6:.2f} "
            f"| {row['bytes'] / 1e6:.1f} | {row['operations'] / 1e6:.0f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def page(text, results):
    """The page with its table made anew."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{table(results)}\n{END}", text, flags=re.DOTALL,
    )  # fmt: skip


def draw(results, path):
    figure, axes = plt.subplots(1, len(BATCHES), figsize=(10, 3.6), sharey=True)
    percent = [100 * row["fraction"] for row in results["rows"]]
    operations = [row["operations"] for row in results["rows"]]
    for axis, batch in zip(axes, BATCHES, strict=True):
        axis.plot(percent, [n / operations[0] for n in operations], "k:", label="operations")
        for threads in THREADS:
            for name, style in (("masked", "s--"), ("removed", "o-")):
                ratios = [
                    one[f"{name}_ratio"]
                    for row in results["rows"]
                    for one in row["times"]
                    if (one["batch"], one["threads"]) == (batch, threads)
                ]
                axis.plot(percent, ratios, style, label=f"{name}, threads: {threads}")
        axis.set(title=f"batch of {batch}", xlabel="units removed, percent", ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("forward time, of the whole network's")
    axes[0].legend(fontsize=8)
    figure.suptitle(f"LSTM of {UNITS} units, {STEPS} steps; {results['hardware']['processor']}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(arguments):
    path = RESULTS / "removal.json"
    if arguments != ["--page"]:
        results = measure()
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        draw(results, ROOT / "docs" / "removal.png")
    results = json.loads(path.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
