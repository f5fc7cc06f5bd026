"""The command line speaks of its own options, and of places in the files that it was given."""

import re

import numpy as np
import pytest

import tefast
from tefast import _cli
from tefast._cli import arguments, scoring, wording
from tefast._counting import pieces

PYTHON = re.compile(r"\w+=['\d(]|\b[hy](\[|\.| \()|np\.|\w+_(range|policy|history|step)\b")
rng = np.random.default_rng(0)
H, Y = rng.random((6, 15, 5)), rng.random((6, 15))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    table = pandas.DataFrame(rng.random((50, 4)), columns=["stim", "a", "b,c", "d"])
    table.to_csv("t.csv", index=False)
    for name, row, column, value in (
        ("nan", 5, "b,c", np.nan), ("inf", 6, "d", np.inf), ("nansource", 9, "stim", np.nan)
    ):  # fmt: skip
        bad = table.copy()
        bad.loc[row, column] = value
        bad.to_csv(f"{name}.csv", index=False)
    bad.to_csv("nameless.csv", index=False, header=False)
    table.assign(d=["x", "y"] * 25).to_csv("texts.csv", index=False)
    (100 * table).astype(int).to_csv("whole.csv", index=False)
    holes = H.copy()
    holes[3, 4, 2] = np.nan
    np.savez(
        "r.npz", h=H, y=Y, holes=holes, flat=Y.T, long=np.full(6, 16), whole=(9 * H).astype(int)
    )
    return tmp_path


def run(line, capsys):
    status = _cli.main(["score", *(line if isinstance(line, list) else line.split())])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nan.csv --source stim",
         "the first at row 5 (counted from 0) of column 'b,c'; --nan-policy omit leaves out"),
        ("nan.csv --source stim --target 2:", "row 5 (counted from 0) of column 'b,c'"),
        ("nansource.csv --source stim",
         "the source must hold no NaN, got 1, the first at row 9 (counted from 0) of column 'sti"),
        ("nameless.csv --source 0 --header no", "row 9 (counted from 0) of column 0"),
        ("inf.csv --source stim", "got 1 infinite values, the first at row 6 (counted from 0) of"),
        ("r.npz --target holes --source y", "the first at holes[3, 4, 2]; --nan-policy omit"),
        ("r.npz --target holes[1:4] --source y", "the first at holes[3, 4, 2]"),
        ("r.npz --target holes[2] --source y", "the first at holes[3, 4, 2]"),
        ("r.npz --target h --source holes[2]", "the first at holes[3, 4, 2]"),
        ("r.npz --target y holes[2] --source y", "must name columns of one array or table"),
        ("r.npz --target whole --source y --bins 2", "(--bins 2), but "),
        ("whole.csv --source stim", "whole.csv"),
        ("whole.csv --source stim --binning quantile", "--binning is given, but integers are"),
        ("whole.csv --source stim --target-range 0 1", "--target-range is given, but the target"),
        ("t.csv --source stim --bins 3001", "--bins must lie in 2 .. 256, got 3001; integers and "
         "labels of more values are for --binning symbols alone"),
        ("t.csv --source stim --bins 1", "--bins must lie in 2 .. 256, got 1"),
        ("t.csv --source stim --edges .1 .2", "--bins 16 takes 15 --edges between bins, got 2; "
         "give --bins 3"),
        ("texts.csv --source stim --binning symbols --target-range 0 1",
         "--target-range goes with --binning uniform, got --binning symbols"),
        ("t.csv --source stim --binning quantile --source-range 0 1",
         "--source-range goes with --binning uniform, got --binning quantile"),
        ("t.csv --source stim --delay 60", "--source-history 1 and --delay 60 takes at least 61"),
        ("t.csv --source stim --target-step 0", "--target-step must be a positive integer, got 0"),
        ("t.csv --source stim --seed -1", "--seed must be an integer, 0 or more, got -1"),
        ("t.csv --source stim --base 1", "--base must be a finite number above 1"),
        ("t.csv --source stim --layout NT", "--layout TU reads it as 50 steps of 3 units"),
        ("t.csv --source stim --layout NTU", "--layout NTU has 3 letters, but the target of shape"),
        ("t.csv --source stim a", "--joint takes several at once"),
        ("r.npz --target h --source flat", "read as 6 sequences of 15 steps of 5 units (--layout"),
        ("r.npz --target h --source h", "; --joint takes the last axis of the source as several"),
        ("r.npz --target h[7] --source y", "no column '7' in h; it has 0, 1, 2, 3, 4"),
        ("r.npz --target h --source y --lengths long", "0 .. T = 15, got 16 for sequence 0"),
        ("texts.csv --source stim", "such as --target a b,c; or take every distinct value of all "
         "columns, of texts and integers too, as a symbol by --binning symbols"),
        ("r.npz --target y --source y --layout T", "--layout T has 1 letter, but the target"),
    ],
)  # fmt: skip
def test_errors_name_options_and_places(line, message, capsys):
    status, out, error = run(line, capsys)
    assert (status, out) == (2, "")
    if message == "whole.csv":
        message = "--bin-integers bins integers as numbers, such as the samples of a converter"
        assert re.search(r"\d+ at row \d+ \(counted from 0\) of column '.*' is not one", error)
    assert message in error
    assert not PYTHON.search(error.removeprefix("tefast: error: ")), error


def test_rows_of_what_is_read_in_pieces(capsys, monkeypatch):
    monkeypatch.setattr(scoring, "is_too_large", lambda *_: True)
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2 * 15 * 5 * 8)
    line = "r.npz --target holes --source y --significance none --quiet"
    status, _, error = run(line, capsys)
    assert status == 2
    assert "the first at holes[3, 4, 2]" in error
    with pytest.raises(ValueError, match=r"in sequences 2 to 3: .* the first at h\[1, 4, 2\]"):
        tefast.stream(np.load("r.npz")["holes"], Y, rows=2)


def test_warnings_name_options_and_units(capsys):
    line = "t.csv --source stim --significance none --quiet --binning quantile --bins"
    status, _, error = run(f"{line} 200 --names p q r", capsys)
    assert status == 0
    assert "tefast: warning: --binning quantile with --bins 200: " in error
    assert "(unit 0 (p) has 50)" in error


def test_every_argument_is_an_option():
    score = arguments.parser()._subparsers._group_actions[0].choices["score"]
    known = {flag for action in score._actions for flag in action.option_strings}
    assert set(wording.SCORE.flags.values()) - known == {"--progress"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("t.csv --source stim --target a d", ["a", "d"]),
        ("t.csv --source stim --target a,d", ["a", "d"]),
        ("t.csv --source stim --target b,c a", ["b,c", "a"]),
        ("t.csv --source stim --target 1,2 d", ["a", "b,c", "d"]),
        ("t.csv --source stim --target -2 -1", ["b,c", "d"]),
        ("t.csv --source stim --target -2:", ["b,c", "d"]),
        ("--target a d --source stim t.csv", ["a", "d"]),
        ("--source stim --target a d t.csv", ["a", "d"]),
        ("--source stim t.csv --target a d", ["a", "d"]),
        ("t.csv --source stim a --target d --joint", ["d"]),
        ("t.csv --source stim,a --target d --joint", ["d"]),
        ("t.csv --source stim --names p q r", ["p", "q", "r"]),
        ("t.csv --source stim --names p,q r", ["p", "q", "r"]),
        ("t.csv --source stim --names p,q r s", ["p,q", "r", "s"]),
        ("r.npz --source y --target y y", ["y", "y"]),
    ],
)
def test_several_words_after_an_option(words, names, capsys):
    import csv

    status, out, _ = run(f"{words} --significance none --bins 2 --quiet", capsys)
    assert status == 0
    assert [row["name"] for row in csv.DictReader(out.splitlines())] == names


@pytest.mark.parametrize("words", ["--delay 1 2 3", "--delay 1,2 3", "--delay 1,2,3"])
def test_several_numbers_after_an_option(words, capsys):
    line = f"t.csv --source stim --bins 2 --significance none --quiet --edges .3,.6 {words}"
    status, out, _ = run(line.replace("--bins 2", "--bins 3"), capsys)
    assert status == 0
    assert [line.split(",")[2] for line in out.splitlines()[1:4]] == ["1", "2", "3"]


def test_arrays_of_several_files_side_by_side(capsys):
    for name in "pqy":
        np.save(f"{name}.npy", rng.random((6, 15)))
    status, out, _ = run("--target p.npy q.npy --source y.npy --significance none --quiet", capsys)
    assert status == 0
    assert [line.split(",")[1] for line in out.splitlines()] == ["name", "p", "q"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--target a b --source stim", "expected FILE before the options, such as: score FILE "
         "--target a b. All words behind --target are taken for names"),
        ("t.csv --source stim --target a d a", "--target a d a names a column of t twice"),
        ("t.csv --source stim --names p q", "--names p q gives 2 names, expected 3"),
    ],
)  # fmt: skip
def test_words_that_are_wrong(line, message, capsys):
    status, out, error = run(line, capsys)
    assert (status, out) == (2, "")
    assert message in error
