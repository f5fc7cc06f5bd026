"""From a pytest-benchmark file to results/<host-kind>.json, and from there to the README's table.

python benchmarks/report.py build/bench.json    # write the results, print the table
python benchmarks/report.py --readme            # put the table of the results into the README
"""

import json
import os
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- benchmarks: python benchmarks/report.py --readme -->\n", "<!-- end -->\n"
PACKAGES = ("numpy", "torch", "numba", "cython", "pyinform", "infomeasure", "pytest-benchmark")

# Rows of the table: the benchmark, what it is called, and where it runs on one thread.
RIVALS = (
    ("test_pyinform_given_codes[all]", "PyInform, given data binned beforehand", "C, one thread"),
    ("test_torch", "PyTorch, bincount", ""),
    ("test_cython", "Cython, OpenMP", "binning and counting in one loop"),
    ("test_numba", "Numba, parallel", "binning and counting in one loop"),
    ("test_numpy", "NumPy, bincount", "one thread"),
    ("test_pyinform", "PyInform, binning included", "one thread"),
    (
        "test_infomeasure",
        "infomeasure, given data binned beforehand",
        "one thread; measured on 32 units, time multiplied by 32",
    ),
)


def hardware():
    """What ran, without a name of the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    found = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line)
    flags = set(found.get("flags", "").split())
    return {
        "processor": found.get("model name", platform.machine()),
        "threads": len(os.sched_getaffinity(0)),
        "instruction_set": next(
            (name for name in ("avx512bw", "avx2", "sse2") if name in flags), platform.machine()
        ),
        "cache": found.get("cache size", ""),
        "system": f"{platform.system()} {platform.machine()}",
    }


def host_kind(machine):
    """Such as amd-epyc-avx512bw-2-threads."""
    words = f"{machine['processor']} {machine['instruction_set']} {machine['threads']} threads"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def collect(bench):
    """What is worth keeping of a pytest-benchmark file."""
    machine = hardware()
    measured = {}
    for entry in bench["benchmarks"]:
        info = entry["extra_info"]
        if "ratio" not in info:
            continue
        name = entry["name"].replace(f"[{machine['threads']}]", "[all]")
        name = name.replace(f"-{machine['threads']}]", "-all]")
        measured[name] = {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in info.items()
        }
    versions = {"python": platform.python_version()}
    versions |= {name: version(name) for name in PACKAGES}
    return {
        "measured_on": bench["datetime"][:10],
        "hardware": machine,
        "versions": versions,
        "measured": measured,
    }


def table(results):
    """Markdown: every rival on `paper`, fastest first, each with the tefast beside it."""
    measured, machine = results["measured"], results["hardware"]
    read = measured["test_one_pass_read[paper-all]"]
    lines = [
        f"| 5413 sequences, 25 steps, 1024 units, 16 bins; {machine['threads']} threads of "
        f"{machine['processor']} ({machine['instruction_set']}) | ms | tefast in turns with it, ms "
        "| times tefast's |",
        "| --- | ---: | ---: | ---: |",
        row_of("only reading the input (554 MB) once", read),
    ]
    for name, label, remark in sorted(RIVALS, key=lambda rival: measured[rival[0]]["ratio"]):
        lines.append(row_of(f"{label} ({remark})" if remark else label, measured[name]))
    return "\n".join(lines) + "\n"


def row_of(label, row):
    """A line of the table."""
    ratio = f"{row['ratio']:.3g}" if row["ratio"] < 100 else f"{row['ratio']:,.0f}"
    own = row["tefast_milliseconds"]
    return f"| {label} | {row['milliseconds']:,.0f} | {own:.0f} | {ratio} |"


def details(results):
    """Every measurement, for the terminal."""
    lines = [f"{'benchmark':36}{'ms':>12}{'tefast ms':>12}{'ratio':>10}"]
    for name, row in results["measured"].items():
        lines.append(
            f"{name:36}{row['milliseconds']:12.3f}{row['tefast_milliseconds']:12.3f}"
            f"{row['ratio']:10.3f}"
        )
    return "\n".join(lines)


def readme(text, results):
    """The README with its table made anew."""
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:begin] + "\n" + table(results) + "\n" + text[end:]


def committed():
    """The newest results of a CPU, which the README shows. Each kind of machine has a file."""
    paths = (path for path in RESULTS.glob("*-threads.json") if not path.stem.startswith("gpu-"))
    found = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    return max(found, key=lambda results: results["measured_on"])


def main(arguments):
    if arguments == ["--readme"]:
        path = ROOT / "README.md"
        path.write_text(readme(path.read_text(encoding="utf-8"), committed()), encoding="utf-8")
        return
    (source,) = arguments
    results = collect(json.loads(Path(source).read_text(encoding="utf-8")))
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{host_kind(results['hardware'])}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(details(results), table(results), f"written to {path.relative_to(ROOT)}", sep="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
