"""``python -m tefast network --spikes``: spike times, whatever their columns and cells are."""

import csv

import numpy as np
import pytest

import tefast
from tefast import _cli

rng = np.random.default_rng(0)
FIRES = rng.random((4000, 3)) < 0.2
FIRES[3:, 2] |= FIRES[:-3, 0] & (rng.random(3997) < 0.7)
STEP, CELL = np.nonzero(FIRES)
TIME = 0.01 * STEP + 0.005
SHUFFLED = rng.permutation(len(TIME))
NUMBERS = np.array([4, 7, 40])[CELL]
LABELS = np.array(["a1", "b", "c c"])[CELL]
LINE = "--spikes .01 --stop 40 --delays 1-5 --significance chi2 --quiet"
FOUND = tefast.pairwise_transfer_entropy(
    FIRES.astype(np.int8), 2, delays=range(1, 6), significance="chi2"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line, capsys):
    status = _cli.main(["network", *(line if isinstance(line, list) else line.split())])
    out, err = capsys.readouterr()
    return status, out, err


def check(line, cells, capsys):
    """The edges are those of the steps that the times were made of."""
    status, out, err = run(f"{line} {LINE}", capsys)
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(out.splitlines()))
    s, u = np.nonzero(FOUND.edges())
    assert {(row["source"], row["target"], row["delay"], row["te"]) for row in rows} == {
        (str(cells[i]), str(cells[j]), str(FOUND.delay[i, j]), str(FOUND.te[i, j]))
        for i, j in zip(s, u, strict=True)
    }
    assert (str(cells[0]), str(cells[2])) in {(row["source"], row["target"]) for row in rows}


def table(name, columns, order=SHUFFLED):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({key: column[order] for key, column in columns.items()})
    frame.to_csv(name, index=False)


@pytest.mark.parametrize(("cells", "known"), [(NUMBERS, (4, 7, 40)), (LABELS, ("a1", "b", "c c"))])
def test_a_table_in_any_order(cells, known, capsys):
    table("s.csv", {"trial": TIME, "time": TIME, "cell": cells})
    check("s.csv", known, capsys)
    table("other.csv", {"t": TIME, "unit": cells})
    check("other.csv --series unit t", known, capsys)
    check("other.csv --series unit,t", known, capsys)


def test_a_table_sorted_by_time(capsys):
    table("s.csv", {"cell": NUMBERS, "time": TIME}, slice(None))
    check("s.csv", (4, 7, 40), capsys)


def test_arrays(capsys):
    np.savez("s.npz", cell=NUMBERS, time=TIME, more=TIME)
    check("s.npz", (4, 7, 40), capsys)
    np.savez("t.npz", who=LABELS, when=TIME)
    check("t.npz --series who when", ("a1", "b", "c c"), capsys)
    np.save("both.npy", np.column_stack([NUMBERS, TIME]))
    check("both.npy", (4, 7, 40), capsys)
    np.save("fields.npy", np.array(list(zip(TIME, NUMBERS, strict=True)),
                                   [("time", float), ("cell", np.int16)]))  # fmt: skip
    check("fields.npy", (4, 7, 40), capsys)
    with pytest.importorskip("h5py").File("s.h5", "w") as file:
        file["units/id"], file["units/times"] = LABELS.astype("S"), TIME
    check("s.h5 --series units/id units/times", ("a1", "b", "c c"), capsys)


def test_sources_start_and_bins(capsys):
    table("s.csv", {"cell": LABELS, "time": TIME + 100})
    line = "s.csv --spikes .02 --start 110 --stop 130 --sources b,a1 --quiet --bins 3"
    status, out, _ = run(line, capsys)
    assert status == 0
    trains = [TIME[cell == CELL] + 100 for cell in range(3)]
    network = tefast.pairwise_transfer_entropy(
        tefast.bin_spikes(trains, 0.02, 110, 130), 3, sources=[1, 0]
    )
    rows = list(csv.DictReader(out.splitlines()))
    assert [float(row["te"]) for row in rows] == np.sort(network.te[~np.isnan(network.te)])[
        ::-1
    ].tolist()
    assert {row["source"] for row in rows} == {"b", "a1"}


def test_spikes_before_the_start_are_told(capsys):
    table("s.csv", {"cell": NUMBERS, "time": TIME - 0.1})
    early = int((TIME < 0.1).sum())
    _, _, err = run("s.csv --spikes .01 --quiet", capsys)
    assert err == (
        f"tefast: warning: {early} of {len(TIME)} spikes are before time 0 and are left out; "
        "--start TIME begins there\n"
    )
    assert run("s.csv --spikes .01 --quiet --start -0.1", capsys)[2] == ""


def test_warnings_name_cells(capsys):
    rates = np.repeat(rng.random((40, 2)), 100, axis=0)  # a memory of many steps
    step, cell = np.nonzero(rng.random(rates.shape) < rates)
    table("s.csv", {"cell": np.array([0, 12])[cell], "time": step + 0.5}, slice(None))
    _, _, err = run("s.csv --spikes 1 --significance chi2 --quiet", capsys)
    assert "--significance chi2 takes steps for independent, but " in err
    assert "of pairs like 0 -> 12 that" in err or "of pairs like 12 -> 0 that" in err
    assert "Use --significance trials or --significance circular" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected the FILE that holds spike times"),
        ("s.csv --spikes 0", "--spikes: expected a finite number above 0, got 0"),
        ("s.csv --spikes nan", "--spikes: expected a finite number above 0, got nan"),
        ("s.csv --start 3 --stop 3", "--start, --stop: expected a whole bin of width 0.1 between"),
        ("s.csv --start inf", "--start: expected a finite number, got inf"),
        ("s.csv --layout TU", "--layout does not go with --spikes"),
        ("s.csv --names a", "--names does not go with --spikes"),
        ("s.csv --range 0 1", "--range does not go with --spikes"),
        ("s.csv --bin-integers", "--bin-integers does not go with --spikes"),
        ("s.csv --binning quantile", "--binning quantile does not go with --spikes"),
        ("s.csv --nan-policy omit", "--nan-policy omit does not go with --spikes"),
        ("s.csv --series cell", "--series cell: --spikes takes two columns, the cell and the time"),
        ("s.csv --sources 9", "--sources: no column '9' in s; it has 4, 7, 40"),
        ("s.csv --sources 1", "'1' may mean places or names in s, whose column 0 is named '4'"),
        ("named.csv", "no column 'cell' in named; it has unit, t; --series CELL TIME names other"),
        ("arrays.npz", "no array 'cell'; it has a (3,), b (4,); --series CELL TIME names other"),
        ("arrays.npz --series a b", "expected a cell and a time for every spike, got 3 of a and 4"),
        ("arrays.npz --series b c", "arrays.npz holds no array 'c'"),
        ("half.csv", "half.csv: column 'cell' holds np.float64(0.5), no cell"),
        ("missing.csv", "missing.csv: nothing at row 2 (counted from 0) of column 'cell'"),
        ("late.csv", "late.csv: nothing at row 1 (counted from 0) of column 'time'"),
        ("inf.npy", "expected finite times, got inf at row 1 (counted from 0) of inf[1]"),
        ("texts.csv", "texts.csv: column 'time' holds 'x', no time of a spike in numbers"),
        ("one.csv", "the data must hold two series or more, got one"),
        ("huge.csv", "use wider bins"),
    ],
)
def test_mistakes_are_one_line_and_status_2(line, message, folder, capsys):
    table("s.csv", {"cell": NUMBERS, "time": TIME})
    (folder / "named.csv").write_text("unit,t\n1,0.5\n2,0.7\n")
    np.savez("arrays.npz", a=np.arange(3), b=np.arange(4))
    (folder / "half.csv").write_text("cell,time\n0.5,0.1\n1,0.2\n")
    (folder / "missing.csv").write_text("cell,time\n1,0.1\n1,0.2\n,0.3\n")
    (folder / "late.csv").write_text("cell,time\n1,0.1\n1,\n2,0.3\n")
    np.save("inf.npy", np.array([[1, 0.2], [2, np.inf]]))
    (folder / "texts.csv").write_text("cell,time\n1,x\n2,y\n")
    (folder / "one.csv").write_text("cell,time\n1,0.1\n1,2.5\n")
    (folder / "huge.csv").write_text("cell,time\n1,0.1\n2,1e15\n")
    before = sorted(folder.rglob("*"))
    more = "" if "--spikes" in line else "--spikes .1"
    status, out, error = run(f"{line} {more} --out e.csv", capsys)
    assert (status, out) == (2, "")
    assert error.startswith("tefast: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(folder.rglob("*")) == before
