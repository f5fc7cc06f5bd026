"""The tables of docs/benchmarks.md, from the results and from nothing else."""

import json
import re

from report import RESULTS, ROOT

from pairs.published import QUOTED
from pairs.shapes import SHAPES
from pairs.ways import WAYS

KEPT = RESULTS / "pairs.json"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: make bench-pairs -->\n", "<!-- end -->\n"
OWN = ("tefast", "sparse", "avx2")
"""Ways that have the whole job, and rows of the first table."""


def committed():
    """The results that the page shows, or None where nothing is measured yet."""
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else None


def write(results):
    """Make the page's tables anew."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_tables(text, results), encoding="utf-8")


def with_tables(text, results):
    """The page with the tables of these results, or without any."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{tables(results)}\n{END}", text, flags=re.DOTALL,
    )  # fmt: skip


def tables(results):
    """Markdown: tefast on all shapes, the others beside it, and what is quoted."""
    if results is None:
        return quoted(None)
    parts = (own(results), beside(results), "\n".join(left_out(results)), quoted(results))
    return "\n".join(part + "\n" for part in parts if part).rstrip("\n") + "\n"


def own(results):
    """tefast's time for whole jobs."""
    machine = results["hardware"]
    heads = [
        f"tefast; {machine['threads']} threads of {machine['processor']} ({machine['level']})",
        "series x steps",
        "delays", "seconds", "spread", "G transitions/s", "peak, MB", "what bounds it",
    ]  # fmt: skip
    rows = []
    for row in measured(results):
        if row["way"] in OWN:
            rows.append([
                called(row), f"{row['series']:,} x {row['steps']:,}", f"{row['delays']}",
                number(row["seconds"]), spread(row), number(row["per_second"] / 1e9),
                f"{row['peak_mb']:,.0f}", bound(row.get("bound")),
            ])  # fmt: skip
    return markdown(heads, rows, texts=(0, 7))


def beside(results):
    """What else there is, each on as much of the job as it can stand."""
    heads = [
        "beside tefast", "what it did of the job", "seconds", "spread", "G transitions/s",
        "peak, MB", "times tefast's time for a transition",
    ]  # fmt: skip
    rows = []
    for row in measured(results):
        if row["way"] not in OWN:
            rows.append([
                called(row), share(row), number(row["seconds"]), spread(row),
                number(row["per_second"] / 1e9), f"{row['peak_mb']:,.0f}", ratio(results, row),
            ])  # fmt: skip
    return markdown(heads, rows, texts=(0, 1))


def measured(results):
    return [row for row in results["rows"] if "seconds" in row]


def called(row):
    """Such as "Ito: NumPy, one-hot matrix products"; tefast by itself is not named."""
    label = WAYS[row["way"]].label.removeprefix("tefast, ")
    return row["shape"] if row["way"] == "tefast" else f"{row['shape']}: {label}"


def share(row):
    """How much of the job it was, in words."""
    if row["whole"]:
        return "all of it"
    delays = f", {row['delays']} of {len(SHAPES[row['shape']].delays)} delays"
    several = len(SHAPES[row["shape"]].delays) > 1
    return f"{row['series']:,} series, {row['steps']:,} steps" + (delays if several else "")


def ratio(results, row):
    """The time for a transition, in times of tefast for the same shape."""
    for own_row in measured(results):
        if (own_row["shape"], own_row["way"]) == (row["shape"], "tefast"):
            return number(own_row["per_second"] / row["per_second"])
    return ""


def spread(row):
    """From the least to the most of all rounds."""
    if row["rounds"] == 1:
        return "one round"
    return f"{number(row['least'])} to {number(row['most'])}, {row['rounds']} rounds"


def bound(found):
    """What the time goes into, in words."""
    if found is None:
        return ""
    if found["way"] == "steps":
        said = ["counted step by step"]
    else:
        said = [f"products: {found['words_per_nanosecond']:.1f} words a nanosecond and core"]
        if "words_per_cycle" in found:
            said[0] += f", {found['words_per_cycle']:.1f} a cycle"
    if "share_of_steps" in found:
        said.append(f"{100 * found['share_of_steps']:.0f} % of the time grows with the steps")
    return "; ".join(said)


def left_out(results):
    """What was skipped or failed, a line each."""
    lines = {}
    for row in results["rows"]:
        for how in ("skipped", "failed"):
            if how in row:
                key = f"{WAYS[row['way']].label}, {how}: {row[how]}"
                lines.setdefault(key, []).append(row["shape"])
    return [f"- {key} ({'; '.join(shapes)})" for key, shapes in lines.items()]


def quoted(results):
    """What others published, and tefast's time of the first table beside it."""
    heads = ["published, quoted", "by", "on", "time", "said in", "tefast here"]
    own_seconds = {}
    for row in measured(results) if results else []:
        shape = SHAPES[row["shape"]]
        if row["way"] == "tefast" and (row["series"], row["steps"]) == (shape.series, shape.steps):
            own_seconds[shape.name] = f"{number(row['seconds'])} s"
    rows = [[*cells, own_seconds.get(shape, "not measured")] for *cells, shape in QUOTED]
    return markdown(heads, rows, texts=range(5)) + "\n"


def markdown(heads, rows, texts):
    """Nothing where there are no rows."""
    if not rows:
        return ""
    ruled = ["---" if i in texts else "---:" for i in range(len(heads))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ruled, *rows))


def number(value):
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
