"""The tables of docs/calibration.md and its figure, from results/calibration.json."""

import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.stats import chi2

TESTS = ("trials", "circular", "shuffle", "conditional", "chi2")
METHODS = (*TESTS, "bits in place of nats")
MARKERS = dict(zip(METHODS, "sDov^x", strict=True))
ESTIMATES = ("plug-in", "miller_madow", "grassberger", "effective_te")
SHOWN = (100, 1000, 10_000, 100_000)
"""Transitions of the rows of the page's tables of biases; the figure has all."""
WHAT = ("data", "bins", "history", "sequences", "steps")
MILLI = 1e3


def cases(rows):
    """Rows of the same data together, as {what: {method: row}}."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in WHAT), {})[row["method"]] = row
    return found


def rate(row):
    """Such as 5.2 (4.5 to 5.9); italic where nobody says it is 5, with * where it is not."""
    if row is None:
        return ""
    text = f"{100 * row['rate']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    text += "" if row["contains_level"] else r"\*"
    return text if row["documented"] else f"_{text}_"


def false_positives(rows):
    """A table of rates in percent."""
    lines = [
        f"| data | bins | k = l | transitions | for each cell | {' | '.join(METHODS)} |",
        "| --- | ---: | ---: | ---: | ---: |" + " ---: |" * len(METHODS),
    ]
    for (data, bins, history, sequences, steps), tested in cases(rows).items():
        first = next(iter(tested.values()))
        shape = f"{sequences:,} x {steps - history:,}"
        told = [data, str(bins), str(history), shape, f"{first['transitions_per_cell']:,.1f}"]
        lines.append(f"| {' | '.join(told + [rate(tested.get(name)) for name in METHODS])} |")
    return "\n".join(lines)


def with_coupling(results):
    """Rows of power, and before them those of the same data without a coupling."""
    uncoupled = [
        row | {"bits": 0.0}
        for row in results["independent"]
        if any(row["transitions"] == r["transitions"] and row["bins"] == r["bins"]
               for r in results["power"])
    ]  # fmt: skip
    return uncoupled + results["power"]


def power(rows, methods=METHODS):
    """A table of percentages against the coupling."""
    lines = [
        f"| bins | coupling | millibits | {' | '.join(methods)} |",
        "| ---: | ---: | ---: |" + " ---: |" * len(methods),
    ]
    points = sorted({(row["bins"], row["coupling"], row["bits"]) for row in rows})
    for bins, coupling, bits in points:
        here = {r["method"]: r for r in rows if (r["bins"], r["coupling"]) == (bins, coupling)}
        shown = [f"{100 * here[name]['rate']:.1f}" for name in methods]
        told = [str(bins), f"{coupling:g}", f"{MILLI * bits:.3f}"]
        lines.append(f"| {' | '.join(told + shown)} |")
    return "\n".join(lines)


def error(row, name):
    """Mean error in millibits, with as many digits as its standard error has two of."""
    mean, deviation = MILLI * (row["mean"][name] - row["bits"]), MILLI * row["standard_error"][name]
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:,.{digits}f} ± {deviation:.{digits}f}"


def biases(rows):
    """A table of mean errors in millibits."""
    lines = [
        "| data | bins | transitions | known | formula | " + " | ".join(ESTIMATES) + " |",
        "| --- | ---: | ---: | ---: | ---: |" + " ---: |" * len(ESTIMATES),
    ]
    for row in (row for row in rows if row["transitions"] in SHOWN):
        told = [row["data"], str(row["bins"]), f"{row['transitions']:,}"]
        formula = MILLI * row["formula"]
        told += [f"{MILLI * row['bits']:,.1f}"]
        told += [f"{formula:,.0f}" if formula >= 100 else f"{formula:.3g}"]
        lines.append(f"| {' | '.join(told + [error(row, name) for name in ESTIMATES])} |")
    return "\n".join(lines)


def pairs(rows):
    """A table of false edges before correction, in percent: a line for data and longest delay."""
    lines = [
        f"| data | bins | steps | delays | {' | '.join(TESTS)} |",
        "| --- | ---: | ---: | ---: |" + " ---: |" * len(TESTS),
    ]
    found = {}
    for row in rows:
        what = tuple(row[name] for name in ("data", "bins", "sequences", "steps", "delays"))
        found.setdefault(what, {})[row["method"]] = row
    for (data, bins, sequences, steps, delays), tested in found.items():
        told = [data, str(bins), f"{sequences} x {steps:,}", f"1..{delays}" if delays > 1 else "1"]
        lines.append(f"| {' | '.join(told + [rate(tested.get(name)) for name in TESTS])} |")
    return "\n".join(lines)


def edges(rows):
    """A table of networks: the least and the most of several, before and after trimming."""
    lines = [
        "| network | cells x seconds | test | edges | unrelated | delays right | "
        "precision | recall | precision, direct | recall, direct | excitatory, direct |",
        "| --- | ---: | --- | ---: |" + " ---: |" * 7,
    ]
    kinds = {}
    for row in rows:
        what = row["kind"], f"{row['cells']} x {row['seconds']}", row["method"]
        kinds.setdefault(what, []).append(row)
    for what, networks in kinds.items():
        every, direct = ([row[key] for row in networks] for key in ("all", "direct"))
        many = sum(each["edges"] for each in every)
        told = [*what, f"{many:,}", f"{sum(each['unrelated'] for each in every)}"]
        told.append(f"{100 * min(row['delays_right'] for row in networks):.0f} %")
        told += [span(every, "precision"), span(every, "recall")]
        told += [span(direct, name) for name in ("precision", "recall", "excitatory")]
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


def span(found, name):
    """Such as 0.91 to 0.96."""
    values = [each[name] for each in found]
    return f"{min(values):.2f} to {max(values):.2f}"


def documented(results):
    """Rows whose rate ought to be the level."""
    return [row for row in without_coupling(results) if row["documented"]]


def without_coupling(results):
    """Rows of data without a coupling."""
    agreeing = [row for row in results["agreeing"] if not row["coupling"]]
    return results["independent"] + results["memory"] + agreeing


def summary(results):
    """What the tables do not say themselves."""
    spread = [row["dispersion"] for row in documented(results)]
    lines = [
        held(documented(results)),
        "The variance of the rejections between groups, divided by the binomial variance, is "
        f"{min(spread):.2f} to {max(spread):.2f} for these rates, and {np.mean(spread):.2f} on "
        "average. For the rates in italics of the next two tables it is "
        f"{min(others(results)):.2f} to {max(others(results)):.2f}.",
        ties(results["ties"]),
        'The last column of the tables, "bits in place of nats", is a comparison that tefast does '
        "not make (see below). The chi-square law predicts how often it rejects independent data: "
        f"{by_law()}.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def held(rows):
    """How many intervals hold the level."""
    outside = [row for row in rows if not row["contains_level"]]
    named = "; ".join(
        f'"{row["method"]}" rejects {100 * row["rate"]:.1f} % ({row["data"]}, {row["bins"]} bins)'
        for row in outside
    )
    agreeing = sum(row["data"] == "agreeing source" for row in rows)
    return (
        f"{len(rows)} rates should be 5 %: the {len(rows) - agreeing} of the next two tables that "
        f"are not in italics, and {agreeing} of sources that agree with their target's present. "
        f"The binomial interval of {len(rows) - len(outside)} of them contains 5 %. If each "
        f"interval missed 5 % with a chance of 5 %, {len(rows) / 20:.1f} of {len(rows)} would miss "
        f"it on average. Those that miss it: {named or 'none'}."
    )


def ties(rows):
    """How many surrogates equal the estimate."""
    found = ", ".join(
        f"{row['ties']} of {row['compared']:,} ({row['bins']} bins, k = l = {row['history']})"
        for row in rows
    )
    return (
        "Ties: the states of a source are put in a random order, and the transfer entropy of the "
        f"result is compared with that of the source itself. They were equal in {found}."
    )


def others(results):
    """Dispersion of rows that need not keep the level; there is none where all is rejected."""
    rows = results["independent"] + results["memory"]
    return [row["dispersion"] for row in rows if not row["documented"] and row["dispersion"]]


def by_law():
    """What the chi-square law says of 2 N T in bits."""
    parts = []
    for bins, freedom in ((2, 2), (2, 12), (4, 36), (16, 3600)):
        share = chi2.sf(math.log(2) * chi2.isf(0.05, freedom), freedom)
        parts.append(f"{100 * share:.1f} % ({bins} bins, {freedom} degrees of freedom)")
    return ", ".join(parts)


TABLES = {
    "summary": summary,
    "independent": lambda results: false_positives(results["independent"]),
    "memory": lambda results: false_positives(results["memory"]),
    "power": lambda results: power(with_coupling(results)),
    "agreeing": lambda results: power(results["agreeing"], TESTS),
    "pairs": lambda results: pairs(results["pairs"]),
    "edges": lambda results: edges(results["edges"]),
    "bias": lambda results: biases(results["bias"]),
}


def filled(text, results):
    """The page with its tables made anew, each between its name in a comment and `end`."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"the page has no place for {name!r}")
        text = before + begin + "\n" + table(results) + "\n\n" + rest[rest.index(end) :]
    return text


def shown_rates(axis, rows, title):
    """Rates with their intervals, one place for each kind of data."""
    found = cases(rows)
    for place, tested in enumerate(found.values()):
        for name, row in tested.items():
            show_rate(axis, row, place + 0.13 * (METHODS.index(name) - 2.5))
    axis.axvline(5, color="grey", linestyle=":")
    axis.set(xscale="log", xlim=(2.5, 130), xlabel="rejected at 5 % (percent)", title=title)
    ticks = (3, 4, 5, 6, 8, 10, 20, 50, 100)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.set_yticks(range(len(found)), [label(*what) for what in found])
    axis.minorticks_off()
    axis.invert_yaxis()


def show_rate(axis, row, place):
    """A marker with its interval, empty where nobody says that it is 5 %."""
    low, mid, high = (100 * row[key] for key in ("low", "rate", "high"))
    named = axis.get_legend_handles_labels()[1]
    number = METHODS.index(row["method"])
    axis.errorbar(
        mid, place, xerr=[[mid - low], [high - mid]], fmt=MARKERS[row["method"]],
        color=f"C{number}", markersize=5, markerfacecolor=None if row["documented"] else "white",
        label=None if row["method"] in named else row["method"],
    )  # fmt: skip


def label(data, bins, history, sequences, steps):
    """What the data are, in two short lines."""
    named = data.replace("autoregressive", "AR").replace(" source and target", " both")
    histories = f", k = l = {history}" if history > 1 else ""
    return f"{named}, {bins} bins{histories}\n{sequences:,} x {steps - history:,}"


def shown_power(axis, rows, bins):
    """Rates against the coupling."""
    rows = [row for row in rows if row["bins"] == bins]
    for number, name in enumerate(METHODS):
        if all(row["method"] != name for row in rows):
            continue
        line = [row for row in rows if row["method"] == name]
        couplings, rates = ([row[key] for row in line] for key in ("coupling", "rate"))
        axis.plot(
            couplings, [100 * rate for rate in rates], f"{MARKERS[name]}-", color=f"C{number}",
            markersize=5, linewidth=1, label=name,
        )  # fmt: skip
    axis.axhline(5, color="grey", linestyle=":")
    axis.set(
        xlabel="coupling (chance that the target copies the source)", ylim=(0, 103),
        ylabel="rejected at 5 % (percent)",
        title=f"Power: {bins} bins, {rows[0]['transitions']:,} transitions",
    )  # fmt: skip


def shown_bias(axis, rows):
    """Sizes of mean errors: a correction is good where its line lies low, or its markers are empty,
    the error being within two standard errors of 0."""
    kinds = sorted({(row["bins"], row["data"]) for row in rows})
    for number, (bins, data) in enumerate(kinds):
        line = [row for row in rows if (row["bins"], row["data"]) == (bins, data)]
        color, sizes = f"C{number}", np.array([row["transitions"] for row in line])
        axis.loglog(sizes, [MILLI * row["formula"] for row in line], ":", color=color)
        axis.plot([], [], "-", color=color, label=f"{data}, {bins} bins")
        for name, marker in zip(ESTIMATES, "os^D", strict=True):
            errors = np.array([MILLI * abs(row["mean"][name] - row["bits"]) for row in line])
            limits = np.array([2 * MILLI * row["standard_error"][name] for row in line])
            axis.plot(sizes, errors, color=color, linewidth=0.8)
            for some, face in ((errors > limits, color), (errors <= limits, "white")):
                axis.plot(sizes[some], errors[some], marker, color=color, mfc=face, markersize=5)
    for name, marker in zip(ESTIMATES, "os^D", strict=True):
        axis.plot([], [], marker, color="grey", label=name)
    axis.plot([], [], ":", color="grey", label="formula")
    axis.set(xlabel="transitions", ylabel="|mean error| (millibits)")
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4)


def draw(results, path):
    """One panel for each question."""
    figure, axes = plt.subplots(2, 4, figsize=(24, 13))
    (independent, bins_2, agreeing_4, apart), (memory, bins_4, agreeing_6, coupled) = axes
    shown_rates(independent, results["independent"], "False positives, independent data")
    shown_rates(memory, results["memory"], "False positives, data with memory")
    memory.set_xlabel(memory.get_xlabel() + "; empty: no 5 % claimed")
    shown_power(bins_2, with_coupling(results), 2)
    shown_power(bins_4, with_coupling(results), 4)
    rows = [row for row in results["agreeing"] if row["method"] in TESTS]
    for axis, bins in ((agreeing_4, 4), (agreeing_6, 6)):
        shown_power(axis, rows, bins)
        axis.set_title(axis.get_title() + ",\nthe source agrees with the target's present")
    for axis in (independent, memory, bins_2, bins_4, agreeing_4, agreeing_6):
        axis.legend(fontsize=8)
    bias = results["bias"]
    shown_bias(apart, [row for row in bias if row["bits"] == 0])
    apart.set_title("Bias, independent data (empty: within 2 standard errors)")
    shown_bias(coupled, [row for row in bias if row["bits"] > 0])
    coupled.set_title("Bias, coupled data of known value")
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
    with Image.open(path) as picture:  # fewer colours take a third of the room, and look alike
        few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
