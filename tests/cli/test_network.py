"""``python -m tefast network``: the edges among the series of any file, as Python finds them."""

import csv
import io
import json
import math
import sys

import numpy as np
import pytest

import tefast
from tefast import _cli
from tefast._cli import network_arguments, network_outputs, wording
from tefast._cli.progress import Told
from tefast._counting import pairs
from tefast._pairing import plan

rng = np.random.default_rng(0)
X = rng.random((12, 40, 5)).astype(np.float32)
X[:, 2:, 3] = 0.8 * X[:, :-2, 1] + 0.2 * X[:, 2:, 3]
FLAT = X.reshape(-1, 5)
LENGTHS = rng.integers(20, 41, 12)
NAMES = ("V1", "LM", "AL,left", "PM", "RSP")
BINS = "--bins 3 --quiet"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "rec.npz", x=X)
    np.savez(tmp_path / "two.npz", x=X, lengths=LENGTHS, names=np.array(NAMES))
    return tmp_path


@pytest.fixture
def table(folder):
    with open(folder / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([NAMES, *FLAT.astype(float).tolist()])
    pytest.importorskip("pandas")
    return folder / "t.csv"


def run(line, capsys):
    """Status, standard output and standard error of a command."""
    status = _cli.main(["network", *(line if isinstance(line, list) else line.split())])
    out, err = capsys.readouterr()
    return status, out, err


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def check_rows(found, network, edges):
    """The rows are the edges of a network, the strongest first."""
    s, u = np.nonzero(edges)
    order = np.argsort(-network.te[s, u], kind="stable")
    s, u = s[order], u[order]
    assert [row["source"] for row in found] == [str(network.source_names[i]) for i in s]
    assert [row["target"] for row in found] == [str(network.names[i]) for i in u]
    for name in ("te", "delay", "p_value", "q_value", "effective_te", "coincidence"):
        matrix = getattr(network, name)
        assert (matrix is not None) == (name in found[0]), name
        if matrix is not None:
            values = [float(row[name] or "nan") for row in found]
            np.testing.assert_array_equal(values, matrix[s, u])


def write(kind):
    """The series in a file of some kind; its name, and the options that choose them."""
    name = f"rec.{kind}"
    if kind == "npy":
        np.save(name, X)
    elif kind == "npz":
        return name, ""
    elif kind == "h5":
        with pytest.importorskip("h5py").File(name, "w") as file:
            file["session/x"], file["other"] = X, LENGTHS
        return name, "--series session/x"
    else:
        np.savetxt(name, FLAT.astype(float), delimiter=",")
        pytest.importorskip("pandas")
    return name, ""


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "csv"])
def test_every_kind_of_file(kind, folder, capsys):
    name, options = write(kind)
    status, out, err = run(f"{name} {options} {BINS}", capsys)
    assert (status, err) == (0, "")
    network = tefast.pairwise_transfer_entropy(FLAT.astype(float) if kind == "csv" else X, 3)
    check_rows(rows(out), network, ~np.eye(5, dtype=bool))


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("--delays 1-3", {"delays": range(1, 4)}),
        ("--delays 0,2 5-6 4", {"delays": (0, 2, 4, 5, 6)}),
        ("--delays 1,3 --sources 1,-1", {"delays": (1, 3), "sources": [1, 4]}),
        ("--sources 1: --target-history 2 --source-history 2 --target-step 2 --source-step 3",
         {"sources": [1, 2, 3, 4], "target_history": 2, "source_history": 2, "target_step": 2,
          "source_step": 3}),
        ("--range -.1 1.5 --bias miller_madow --base e --threads 1",
         {"x_range": (-0.1, 1.5), "bias": "miller_madow", "base": math.e, "threads": 1}),
        ("--edges .2 .4", {"binning": [0.2, 0.4]}),
        ("--binning quantile --backend reference", {"binning": "quantile", "backend": "reference"}),
        ("--layout TNU", {"layout": "TNU"}),
        ("--significance circular --surrogates 400 --seed 4 --alpha .1 --delays 1-3",
         {"significance": "circular", "surrogates": 400, "seed": 4, "alpha": 0.1,
          "delays": range(1, 4)}),
        ("--significance trials --surrogates 19 --alpha .9",
         {"significance": "trials", "surrogates": 19, "alpha": 0.9}),
    ],
)  # fmt: skip
def test_options_are_those_of_the_library(line, options, folder, capsys):
    status, out, _ = run(f"rec.npz {BINS} {line}", capsys)
    assert status == 0
    network = tefast.pairwise_transfer_entropy(X, 3, **options)
    edges = network.edges()
    assert edges.any()
    check_rows(rows(out), network, edges)


@pytest.mark.parametrize(
    ("line", "x", "options"),
    [
        ("--nan-policy omit", np.where(X > 0.99, np.nan, X), {"nan_policy": "omit"}),
        ("--bin-integers", (1000 * X).astype(np.int16), None),
        ("--binning symbols", (7 * X).astype(np.int64) - 3, {"binning": "symbols"}),
        ("--bins 2", X > 0.5, {"bins": 2}),
    ],
)
def test_kinds_of_values(line, x, options, folder, capsys):
    np.save("values.npy", x)
    status, out, _ = run(f"values.npy {BINS} {line}", capsys)
    assert status == 0
    x, options = (x.astype(np.float32), {}) if options is None else (x, options)
    network = tefast.pairwise_transfer_entropy(x, **({"bins": 3} | options))
    check_rows(rows(out), network, network.edges())


def test_too_many_series_for_memory(folder, capsys, monkeypatch):
    monkeypatch.setattr(plan, "memory_limit", lambda: 8)
    status, out, err = run(f"rec.npz {BINS} --out n.npz", capsys)
    assert (status, out) == (2, "")
    assert "; pass --checkpoint, a folder in which it is kept in files, or fewer sources\n" in err
    assert run(f"rec.npz {BINS} --out n.npz --checkpoint kept", capsys)[0] == 0
    expected = tefast.pairwise_transfer_entropy(X, 3, checkpoint=folder / "again").te
    np.testing.assert_array_equal(tefast.Network.load("n.npz").te, expected)


def test_every_argument_is_an_option():
    parser = _cli.arguments.parser()._subparsers._group_actions[0].choices["network"]
    known = {flag for action in parser._actions for flag in action.option_strings}
    assert set(wording.NETWORK.flags.values()) - known == {"--progress"}


def test_names_of_columns(table, capsys):
    line = [str(table), *BINS.split(), "--delays", "2", "--significance", "circular"]
    line += ["--surrogates", "400", "--sources", "LM", "AL,left", "-1"]
    status, out, _ = run(line, capsys)
    assert status == 0
    frame = pytest.importorskip("pandas").DataFrame(FLAT.astype(float), columns=NAMES)
    network = tefast.pairwise_transfer_entropy(
        frame, 3, sources=["LM", "AL,left", "RSP"], delays=2, significance="circular",
        surrogates=400,
    )  # fmt: skip
    check_rows(rows(out), network, network.edges())
    assert rows(out)[0]["source"] == "LM"
    assert rows(out)[0]["target"] == "PM"
    assert rows(out)[0]["delay"] == "2"
    expected = network.to_dataframe().to_csv(index=False, lineterminator="\n")
    assert out == expected


def test_some_columns(table, capsys):
    status, out, _ = run(f"{table} --series 1: {BINS}", capsys)
    assert status == 0
    assert {row["source"] for row in rows(out)} == set(NAMES[1:])
    status, again, _ = run(f"--bins 3 --quiet --series LM 2 PM RSP {table}", capsys)
    assert (status, again) == (0, out)


@pytest.mark.parametrize("names", [["names"], list(NAMES)])
def test_lengths_and_names(names, folder, capsys):
    line = ["two.npz", *["--series", "x", "--lengths", "lengths", "--out", "n.npz"], *BINS.split()]
    status, out, _ = run([*line, "--by-delay", "--delays", "1,2", "--names", *names], capsys)
    assert (status, out) == (0, "")
    found = tefast.Network.load("n.npz")
    expected = tefast.pairwise_transfer_entropy(X, 3, lengths=LENGTHS, delays=(1, 2), by_delay=True)
    assert found.names == found.source_names == NAMES
    np.testing.assert_array_equal(found.te_by_delay, expected.te_by_delay)
    np.testing.assert_array_equal(found.delay, expected.delay)


def test_all_files_at_once(table, capsys):
    pytest.importorskip("matplotlib")
    line = f"{table} --bins 3 --delays 2 --significance circular --surrogates 400"
    status, out, err = run(f"{line} --out new/e.csv --matrix te.csv --plot p.svg", capsys)
    assert (status, out) == (0, "")
    assert "pairs: 25 of 25\n" in err
    assert "1 of 20 pairs of 5 series are edges (q below 0.05, circular); the strongest LM -> PM "
    assert "at delay 2; wrote new/e.csv, te.csv and p.svg\n" in err
    folder = table.parent
    assert "<svg" in (folder / "p.svg").read_text()
    network = tefast.pairwise_transfer_entropy(
        FLAT.astype(float), 3, delays=2, significance="circular", surrogates=400
    )
    first, *more = csv.reader((folder / "te.csv").read_text().splitlines())
    assert first == ["", *NAMES]
    assert [row[0] for row in more] == list(NAMES)
    matrix = [[float(value or "nan") for value in row[1:]] for row in more]
    np.testing.assert_array_equal(matrix, network.te)
    assert run(f"{line} --out e.json --quiet", capsys)[:2] == (0, "")
    told = json.loads((folder / "e.json").read_text())
    assert told["names"] == list(NAMES)
    assert (told["delays"], told["method"], told["surrogates"]) == ([2], "circular", 400)
    assert [{k: str(v) for k, v in row.items()} for row in told["edges"]] == rows(
        (folder / "new" / "e.csv").read_text()
    )
    assert not list(folder.rglob(".part-*"))


def test_what_is_not_there_is_left_empty():
    te = np.array([[np.nan, 0.0], [0.5, np.nan]])
    share = np.array([[np.nan, np.nan], [1.0, np.nan]])
    names = ("a", 'b "c"')
    network = tefast.Network(te, np.ones((2, 2), int), names, names, coincidence=share)
    text = io.StringIO()
    network_outputs.write_csv(network, network.edges(), text)
    assert text.getvalue() == (
        'source,target,te,delay,coincidence\n"b ""c""",a,0.5,1,1.0\na,"b ""c""",0.0,1,\n'
    )
    text = io.StringIO()
    network_outputs.write_json(network, network.edges(), text)
    assert json.loads(text.getvalue())["edges"][1] == {
        "source": "a", "target": 'b "c"', "te": 0.0, "delay": 1, "coincidence": None
    }  # fmt: skip
    text = io.StringIO()
    network_outputs.write_json(network, np.zeros((2, 2), bool), text)
    assert json.loads(text.getvalue())["edges"] == []


def test_without_a_test_all_pairs_are_listed_and_said_to_be(folder, capsys):
    status, out, err = run("rec.npz --bins 3 --out -", capsys)
    assert (status, len(rows(out))) == (0, 20)
    assert err.splitlines()[-1].startswith(
        "20 pairs of 5 series, none tested; --significance tests them; the strongest "
    )


def test_direct_edges(folder, capsys):
    x = rng.integers(0, 2, (4000, 3))
    x[1:, 1] = np.where(rng.random(3999) < 0.9, x[:-1, 0], x[1:, 1])
    x[1:, 2] = np.where(rng.random(3999) < 0.9, x[:-1, 1], x[1:, 2])
    np.save("chain.npy", x)
    line = "chain.npy --bins 2 --delays 1-3 --significance circular"
    status, out, _ = run(line, capsys)
    assert {(row["source"], row["target"]) for row in rows(out)} == {
        ("0", "1"), ("1", "2"), ("0", "2")
    }  # fmt: skip
    pytest.importorskip("matplotlib")
    status, out, err = run(f"{line} --direct --plot p.png", capsys)
    assert status == 0
    assert {(row["source"], row["target"]) for row in rows(out)} == {("0", "1"), ("1", "2")}
    assert "2 of 6 pairs of 3 series are direct edges" in err
    status, out, _ = run(f"{line} --direct --tolerance .9", capsys)
    assert len(rows(out)) == 3


def test_a_file_may_have_the_name_of_a_command(folder, capsys):
    (folder / "rec.npz").rename("network")
    status, out, _ = run(f"network {BINS}", capsys)
    assert (status, len(rows(out))) == (0, 20)
    status, out, _ = run("network --list", capsys)
    assert (status, out) == (0, "x  (12, 40, 5)  float32\n")


def test_it_goes_on_where_it_was_stopped(folder, capsys, monkeypatch):
    monkeypatch.setattr(pairs, "ROW_BYTES", 1)  # a pair a tile
    seen = []

    def told(_, done, total):
        seen.append(done)
        if done == 11 and total == 25:
            raise KeyboardInterrupt

    monkeypatch.setattr(Told, "__call__", told)
    x = rng.integers(0, 2, (300, 5))
    np.save("x.npy", x)
    line = "x.npy --bins 2 --delays 1-2 --checkpoint kept --out n.npz"
    status, out, err = run(line, capsys)
    assert (status, out) == (130, "")
    assert "interrupted; what is done is in kept, and the same command goes on there\n" in err
    assert not (folder / "n.npz").exists()
    status, _, err = run(line.replace("--bins 2", "--bins 3"), capsys)
    assert status == 2
    assert "--checkpoint: kept holds results of --bins 2, now 3; pass another folder" in err
    assert run(line, capsys)[0] == 0
    assert seen == list(range(1, 26))
    expected = tefast.pairwise_transfer_entropy(x, 2, delays=(1, 2))
    found = tefast.Network.load("n.npz")
    np.testing.assert_array_equal(found.te, expected.te)
    np.testing.assert_array_equal(found.delay, expected.delay)


def test_an_interrupt_writes_nothing(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tefast, "pairwise_transfer_entropy", interrupted)
    status, _, err = run("rec.npz --out e.csv", capsys)
    assert status == 130
    assert "interrupted; nothing was written; with --checkpoint DIR the same command would" in err
    assert not (folder / "e.csv").exists()


def test_failures_leave_what_was_there(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    from tefast import plot

    for name in ("e.csv", "m.csv", "p.png"):
        (folder / name).write_text("before")
    line = f"rec.npz {BINS} --force --out e.csv --matrix m.csv --plot p.png"

    def fails(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(plot, "write", fails)
        assert run(line, capsys)[0] == 2
    assert {(folder / name).read_text() for name in ("e.csv", "m.csv", "p.png")} == {"before"}
    assert not list(folder.glob(".part-*"))
    assert run(line, capsys)[0] == 0
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_bar_on_a_terminal(folder, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "25/25" in run("rec.npz --bins 3", capsys)[2]


def test_help_shows_the_default_of_every_option(capsys):
    parser = _cli.arguments.parser()
    network = parser._subparsers._group_actions[0].choices["network"]
    for option in network._actions:
        is_switch = option.nargs == 0 or option.dest == "file"
        assert is_switch or "(default: " in option.help, option.dest
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "score every unit of a recording" in shown
    assert "network measure all pairs of series" in shown
    assert "network cells.csv --delays 1-30 --significance circular --plot network.png" in shown


@pytest.mark.parametrize(
    ("text", "found"),
    [("1-3", [1, 2, 3]), ("1,2,5", [1, 2, 5]), ("1-3,20", [1, 2, 3, 20]), ("0", [0]), ("4-4", [4])],
)
def test_delays(text, found):
    assert network_arguments.delays(text) == found


@pytest.mark.parametrize("text", ["", "3-1", "-1", "1-", "1:3", "a", "1.5", "1-999999999"])
def test_delays_that_are_none(text, folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(["rec.npz", "--delays", text], capsys)
    assert stopped.value.code == 2
    assert "expected " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.npz", "there is no file none.npz"),
        ("", "expected --series NAME in a FILE, or --series ARRAY.npy"),
        ("--list", "expected the FILE whose arrays are to be listed"),
        ("two.npz", "two.npz holds several arrays, choose by --series; it has x (12, 40, 5)"),
        ("two.npz --series q", "two.npz holds no array 'q'"),
        ("rec.npz --sources 7", "--sources: no column '7' in x; it has 0, 1, 2, 3, 4"),
        ("rec.npz --sources 1 0,1", "--sources 1 0,1 names a series twice"),
        ("t.csv --sources RPS", "--sources: no column 'RPS' in t; did you mean 'RSP'?"),
        ("t.csv --names a b c d a", "two series of t are called 'a'; --names gives other names"),
        ("t.csv --names a b", "--names a b gives 2 names, expected 5"),
        ("t.csv --series V1", "the data must hold two series or more, got one: the data of shape"),
        ("rec.npz --delays 50", "--delays 50 takes at least 51 steps, the data of shape (12, 40, "),
        ("rec.npz --delays 1-3,2", "--delays names a delay twice"),
        ("rec.npz --bins 0", "--bins must lie in 2 .. 256, got 0"),
        ("rec.npz --edges .1 .2 --bins 5", "--bins 5 takes 4 --edges between bins, got 2"),
        ("rec.npz --edges .1 --binning quantile", "--edges takes the place of --binning quantile"),
        ("rec.npz --range 1 0", "--range must be finite with low < high"),
        ("rec.npz --range 0 1 --binning quantile", "--range goes with --binning uniform, got"),
        ("rec.npz --alpha 2", "--alpha must lie between 0 and 1"),
        ("rec.npz --surrogates 0", "--surrogates must be a positive integer, got 0"),
        ("rec.npz --layout TU", "--layout TU has 2 letters, but the data of shape (12, 40, 5)"),
        ("two.npz --series x --lengths names", "--lengths must be integers"),
        ("long.npz --series x --lengths n", "--lengths must lie in 0 .. T = 40, got 99 for sequen"),
        ("nan.csv", "the data must hold no NaN, got 1, the first at row 7 (counted from 0) of "
         "column 'PM'; --nan-policy omit leaves out"),
        ("whole.csv", "--bin-integers bins integers as numbers"),
        ("texts.csv", "texts: column 'PM' holds texts ('a', ...), no numbers; leave it out by "
         "--series, such as --series V1 LM AL,left RSP"),
        ("t.csv --significance trials", "--significance trials exchanges the sources of sequences"),
        ("rec.npz --direct --sources 1", "--direct takes all series as sources"),
        ("rec.npz --tolerance .1", "--tolerance 0.1 goes with --direct"),
        ("rec.npz --direct --tolerance 1", "--tolerance must lie in 0 .. 1, below 1, got 1"),
        ("rec.npz --start 1", "--start goes with --spikes WIDTH"),
        ("rec.npz --by-delay", "--by-delay goes with an --out that ends in .npz"),
        ("rec.npz --out e.txt", "--out e.txt: expected a name that ends in .csv, .json, .npz"),
        ("rec.npz --matrix m.npz", "--matrix m.npz: expected a name that ends in .csv"),
        ("rec.npz --plot p.xyz", "p.xyz: a plot ends in one of"),
        ("rec.npz --out rec.npz --force", "rec.npz is an input"),
        ("rec.npz --out two.npz", "two.npz is there already; --force overwrites it"),
        ("rec.npz --out e.csv --matrix e.csv", "--out and --matrix are both e.csv"),
        ("rec.npz --out rec.npz/e.csv", "rec.npz is not a folder"),
        ("rec.npz --checkpoint two.npz", "--checkpoint two.npz is a file, expected a folder"),
        ("rec.npz --checkpoint .", "--checkpoint: expected a new or empty folder"),
        ("--series a b", "such as: network FILE --series a b"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_status_2(line, message, table, capsys):
    np.savez("long.npz", x=X, n=np.full(12, 99))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(FLAT.astype(float), columns=NAMES)
    frame.assign(PM=["a", "b"] * 240).to_csv("texts.csv", index=False)
    (100 * frame).astype(int).to_csv("whole.csv", index=False)
    frame.loc[7, "PM"] = np.nan
    frame.to_csv("nan.csv", index=False)
    if "--plot" in line:
        pytest.importorskip("matplotlib")
    before = sorted(table.parent.rglob("*"))
    status, out, error = run(line, capsys)
    assert (status, out) == (2, "")
    assert error.startswith("tefast: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(table.parent.rglob("*")) == before


def test_a_plot_without_matplotlib(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "tefast.plot", raising=False)
    monkeypatch.delattr(tefast, "plot", raising=False)
    status, out, error = run("rec.npz --plot p.png", capsys)
    assert (status, out) == (2, "")
    assert error == 'tefast: error: --plot needs matplotlib: pip install "tefast[files]"\n'


def test_warnings_name_options_and_series(table, capsys):
    line = f"{table} --bins 12 --quiet --significance"
    _, _, error = run(f"{line} chi2", capsys)
    assert "tefast: warning: --significance chi2, source 0 (V1): it " in error
    _, _, error = run(f"{line} circular --surrogates 5", capsys)
    assert "tefast: warning: --significance circular: " in error
    assert "--surrogates 400 would do for q < 0.05" in error
