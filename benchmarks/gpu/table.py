"""From gpu.json to short tables, in Markdown.

python -m gpu.table build/gpu/gpu.json
"""

import json
import sys
from pathlib import Path

RIVALS = {
    "PyTorch": ("torch bincount", "torch scatter_add"),
    "CuPy": ("CuPy, shared memory", "CuPy, direct"),
    "Triton": ("Triton",),
}
FROM_HOST = {
    "CPU backend, ms": "CPU backend",
    "copied and counted": "pageable: copy and call",
    "the copy alone": "pageable: copy",
    "pinned: copied and counted": "pinned: copy and call",
    "the copy alone, pinned": "pinned: copy",
}
STREAMING = {
    "update, ms": "device: update",
    "compute": "device: compute",
    "CPU backend: update": "CPU backend: update",
    "CPU backend: compute": "CPU backend: compute",
}


def table(results):
    """All of it; what went wrong comes last."""
    parts = [
        on_device(results),
        times("Data in the host's memory", FROM_HOST, results["from_host"]),
        times("Streaming", STREAMING, results["streaming"]),
        "\n".join(notes(results)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def on_device(results):
    """Every case: tefast, how near it comes to a copy, and the best of each library.

    A copy's speed counts the bytes that it reads and those that it writes, tefast's those of h.
    """
    gpu = results["hardware"]["gpu"]["name"]
    heads = [f"{gpu}, data on it", "tefast, ms", "operator", "graph", "of a copy's speed", *RIVALS]
    return markdown(heads, [row_of(name, row) for name, row in results["cases"].items()])


def row_of(name, row):
    cells = [label(name, row), *(number(median(row, way)) for way in ("call", "operator", "graph"))]
    cells.append(f"{100 * row['derived']['of_copy']:.0f} %")
    for ways in RIVALS.values():
        taken = [median(row, way) for way in ways if way in row["milliseconds"]]
        cells.append(f"{number(min(taken))} ({row_ratio(row, ways)}x)" if taken else "")
    return cells


def row_ratio(row, ways):
    """Of the fastest of some rivals."""
    return number(min(row["derived"]["ratio"][way] for way in ways if way in row["milliseconds"]))


def times(title, ways, rows):
    """A table of medians alone."""
    cells = [
        [label(name, row), *(number(median(row, way)) for way in ways.values())]
        for name, row in rows.items()
    ]
    return markdown([title, *ways], cells)


def label(name, row):
    """Such as "paper, 16 bins, float32 (5413, 25, 1024)"."""
    return f"{name} ({', '.join(map(str, row['shape']))})"


def median(row, way):
    return row["milliseconds"][way]["median"] if way in row["milliseconds"] else None


def notes(results):
    """What was skipped, failed or left out, a line each."""
    skipped = {}
    for case, row in results["cases"].items():
        for name, reason in row["skipped"].items():
            skipped.setdefault((name, reason), []).append(case)
    for (name, reason), where in skipped.items():
        yield f"Skipped: {name} ({'; '.join(where)}): {reason}"
    for name, reason in results["failed"].items():
        yield f"FAILED: {name}: {reason}"
    if results["left_out"]:
        yield f"Left out, since time ran out: {'; '.join(results['left_out'])}"


def markdown(heads, rows):
    """The first column holds names, the others numbers; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value):
    """Three digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments):
    (path,) = arguments
    print(table(json.loads(Path(path).read_text(encoding="utf-8"))), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
