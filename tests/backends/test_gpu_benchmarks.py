"""The benchmarks of a GPU as far as they run without one: on the CPU, on small sizes, untimed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_the_path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def case(name="tiny", shape=(130, 9, 37), dtype="float32", **options):
    from gpu.cases import Case
    from workloads import Workload

    return Case(Workload(name, shape, **options), dtype)


@pytest.mark.parametrize("kind", ["uniform", "saturated"])
@pytest.mark.parametrize(("dtype", "bins"), [("float32", 16), ("bfloat16", 16), ("bfloat16", 64)])
@pytest.mark.parametrize("way", ["bincount", "scatter_add"])
def test_torch_counts_as_tefast_does(monkeypatch, way, dtype, bins, kind):
    from gpu import ours, with_torch

    tiny = case(dtype=dtype, bins=bins, kind=kind)
    monkeypatch.setattr(with_torch, "MOST_CELLS", 10 * 130 * 9)  # several blocks of units
    scores = getattr(with_torch, way)(tiny.inputs())
    expected = ours.call(tiny.inputs(), tiny.work.options)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-12)


def test_edges_of_the_operator_are_those_of_the_public_function():
    import tefast

    inputs, edges = case(bins=5).inputs(), [-0.6, -0.2, 0.2, 0.6]
    np.testing.assert_allclose(inputs.h_edges, [edges], rtol=0, atol=1e-15)
    assert inputs.h_edges.dtype == torch.float64
    by_edges = tefast.transfer_entropy(inputs.h, inputs.y, 5, binning=inputs.h_edges[0])
    ranged = tefast.transfer_entropy(inputs.h, inputs.y, 5, h_range=(-1, 1), y_range=(-1, 1))
    assert torch.equal(by_edges, ranged)


@pytest.mark.parametrize("ranges_given", [True, False])
def test_what_agrees_with_the_cpu_passes_the_check(ranges_given):
    from gpu.check import check

    tiny = case(ranges_given=ranges_given)
    scores, difference = check(tiny, tiny.inputs(), tiny.inputs())
    assert scores.shape == (37,)
    assert difference == 0


def test_other_scores_do_not_pass_the_check():
    from gpu import check

    expected = torch.ones(3, dtype=torch.float64)
    assert check.scores_agree(expected + 5e-13, expected, "this") < 1e-12
    for scores in (expected + 2e-12, expected * torch.nan):
        with pytest.raises(check.DisagreementError, match="this differs from the CPU backend"):
            check.scores_agree(scores, expected, "this")


def test_other_counts_do_not_pass_the_check():
    from gpu import check

    tiny = case()
    host, other = tiny.inputs(), tiny.inputs()
    other = replace(other, h=other.h.clone())
    other.h[3, 4, 5] *= -1
    with pytest.raises(check.DisagreementError, match=r"\d of 151552 counts"):
        check.counts_agree(host, other, tiny.work.options)


class Steps:
    """A clock that advances by what it is told."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def mark(self):
        self.now += self.step
        return self.now

    def milliseconds(self, first, last):
        return last - first


@pytest.mark.parametrize(("step", "rounds"), [(1, 50), (50, 20), (1e6, 5)])
def test_slow_calls_are_timed_fewer_times(step, rounds):
    from gpu.timing import timed

    called = []
    found = timed(called.append, ["a", "b", "c"], Steps(step), seconds=1)
    assert found == {"median": step, "quartiles": [step, step], "rounds": rounds}
    assert len(called) == rounds + 3
    assert called[-rounds:][:4] == ["a", "b", "c", "a"]


def test_summary():
    from gpu.timing import summary

    assert summary([3.0, 1.0, 2.0, 5.0, 4.0]) == {"median": 3, "quartiles": [2, 4], "rounds": 5}
    assert summary([2.0]) == {"median": 2, "quartiles": [2, 2], "rounds": 1}


def test_small_inputs_are_copied_more_often():
    from gpu.cases import rotation

    inputs = case().inputs()
    copies = rotation(inputs, 1, CPU)
    assert len(copies) == 2
    assert torch.equal(copies[0].h, copies[1].h)
    assert copies[0].h.data_ptr() != copies[1].h.data_ptr()


def test_a_run_on_the_cpu(tmp_path, capsys, monkeypatch):
    from gpu import timing
    from gpu.__main__ import run
    from gpu.table import table

    monkeypatch.setattr(timing, "ROUNDS", 5)
    chosen = [case(), case("found", ranges_given=False), case("short", (130, 1, 37)), case(bins=8)]
    out = tmp_path / "new" / "gpu.json"
    results = run(chosen, CPU, out, 600)
    assert json.loads(out.read_text()) == results
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]
    names = ["tiny, 16 bins, float32", "found, 16 bins, float32", "tiny, 8 bins, float32"]
    ways = [list(results["cases"][name]["milliseconds"]) for name in names]
    rivals = ["torch bincount", "torch scatter_add"]
    assert ways == [["copy", "call", *rivals], ["copy", "call"], ["copy", "call", *rivals]]
    assert results["cases"][names[0]]["skipped"]["Triton"] == "it runs on a GPU alone"
    failed = {f"{part}: short, 16 bins, float32" for part in ("cases", "from_host")}
    assert set(results["failed"]) == failed
    assert all("at least 2 steps" in reason for reason in results["failed"].values())
    assert list(results["streaming"]) == names[:1]
    assert not results["left_out"]
    assert os.uname().nodename not in out.read_text()
    assert names[2] in table(results)
    capsys.readouterr()


def test_a_run_without_time_names_what_it_left_out(tmp_path):
    from gpu.__main__ import run
    from gpu.table import table

    results = run([case(), case(bins=8)], CPU, tmp_path / "gpu.json", 0)
    assert results == json.loads((tmp_path / "gpu.json").read_text())
    assert not results["cases"]
    assert "cases: tiny, 8 bins, float32" in results["left_out"]
    assert table(results).startswith("Left out, since time ran out: cases: tiny, 16 bins, float32;")


def times(**medians):
    return {name: {"median": value, "quartiles": [value, value], "rounds": 9}
            for name, value in medians.items()}  # fmt: skip


def test_table():
    from gpu.table import table

    shape = [5413, 25, 1024]
    ours = times(copy=0.4, call=0.5, operator=0.25, graph=0.24)
    others = times(**{"torch bincount": 30.0, "torch scatter_add": 20.0, "CuPy, direct": 123.4})
    derived = {
        "of_copy": 0.8,
        "ratio": {"torch bincount": 60, "torch scatter_add": 40, "CuPy, direct": 246.8},
    }
    host = times(**{"CPU backend": 46.0, "pageable: copy": 200.0, "pageable: copy and call": 201.0})
    results = {
        "hardware": {"gpu": {"name": "Made-up GPU"}},
        "cases": {
            "paper, 16 bins": {
                "shape": shape, "milliseconds": ours | others, "derived": derived,
                "skipped": {"Triton": "no such module"},
            },
            "range": {
                "shape": shape, "milliseconds": times(copy=0.4, call=1.0), "skipped": {},
                "derived": {"of_copy": 0.2, "ratio": {}},
            },
        },
        "from_host": {"paper, 16 bins": {"shape": shape, "milliseconds": host}},
        "streaming": {},
        "failed": {"cases: skewed": "DisagreementError: 3 of 8 counts"},
        "left_out": [],
    }  # fmt: skip
    assert (
        table(results)
        == """\
| Made-up GPU, data on it | tefast, ms | operator | graph | of a copy's speed | PyTorch | CuPy | Triton |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| paper, 16 bins (5413, 25, 1024) | 0.5 | 0.25 | 0.24 | 80 % | 20 (40x) | 123 (247x) |  |
| range (5413, 25, 1024) | 1 |  |  | 20 % |  |  |  |

| Data in the host's memory | CPU backend, ms | copied and counted | the copy alone | pinned: copied and counted | the copy alone, pinned |
| --- | ---: | ---: | ---: | ---: | ---: |
| paper, 16 bins (5413, 25, 1024) | 46 | 201 | 200 |  |  |

Skipped: Triton (paper, 16 bins): no such module
FAILED: cases: skewed: DisagreementError: 3 of 8 counts
"""  # noqa: E501
    )


def test_small_calls_for_the_sanitizer(capsys):
    from gpu import sanitized

    sanitized.main()
    assert "operator, 64 bins, edges for each unit" in capsys.readouterr().out


def test_the_readme_shows_the_newest_results_of_a_cpu(tmp_path, monkeypatch):
    import report

    monkeypatch.setattr(report, "RESULTS", tmp_path)
    days = {
        "growth": "2026-04-01",
        "gpu-made-up-2-threads": "2026-03-01",
        "some-cpu-2-threads": "2026-02-01",
        "some-cpu-16-threads": "2026-01-01",
    }
    for name, day in days.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"measured_on": day}))
    assert report.committed() == {"measured_on": "2026-02-01"}


def gpu_check(out, **environment):
    done = subprocess.run(
        [BENCHMARKS / "gpu_check.sh", out], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_without_a_gpu_the_check_says_so(tmp_path):
    (tmp_path / "gpu.json").write_text("of an earlier run")
    status, printed = gpu_check(tmp_path, CUDA_VISIBLE_DEVICES="")
    assert status == 1
    assert "no GPU: torch sees none" in printed
    assert printed.endswith("FAILED: gpu\n")
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.log"]


# Stands in for Python and for compute-sanitizer: says that there is a GPU, does nothing, and fails
# where $FAIL matches its arguments.
PRETENDER = """#!/usr/bin/env bash
case "$*" in
  *get_device_capability*) echo "Made-up GPU 9 0" ;;
  *"-m gpu --out"*) echo {} >"$5" ;;
  *gpu.table*) echo "a table" ;;
esac
if [[ "$*" =~ $FAIL ]]; then echo "$REASON"; exit 3; fi
"""


@pytest.mark.parametrize(
    ("fail", "reason", "named"),
    [
        ("^$", "", []),
        ("pip install", "no compiler", ["build"]),
        ("__file__", "not the tefast that was built", ["import"]),
        ("-m pytest|racecheck", "found something", ["tests", "racecheck"]),
        ("memcheck|racecheck", "Error: Device not supported", []),
        ("-m gpu --out", "a wrong count", ["benchmarks"]),
    ],
)
def test_the_check_names_the_stages_that_failed(tmp_path, fail, reason, named):
    for name in ("python", "compute-sanitizer"):
        (tmp_path / name).write_text(PRETENDER)
        (tmp_path / name).chmod(0o755)
    status, printed = gpu_check(
        tmp_path / "out",
        PYTHON=str(tmp_path / "python"),
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        FAIL=fail,
        REASON=reason,
    )
    assert status == bool(named)
    assert printed.splitlines()[-1] == (f"FAILED: {' '.join(named)}" if named else "all passed")
    assert reason in printed
    assert ("a table" in printed) == (not {"build", "import"} & set(named))
    assert ("nothing was watched" in printed) == ("not supported" in reason)
