"""``python -m tefast score``: the library's numbers from any file, and mistakes in one line."""

import csv
import importlib
import math
import subprocess
import sys

import numpy as np
import pytest

import tefast
from tefast import _cli
from tefast._cli import arguments, recordings, scoring
from tefast._significance.result import FIELDS

rng = np.random.default_rng(0)
Y = rng.random((20, 15))
H = rng.random((20, 15, 30)).astype(np.float32)
H[:, 1:, 7] = 0.7 * Y[:, :-1] + 0.3 * H[:, 1:, 7]
LENGTHS = rng.integers(5, 16, 20)
ARRAYS = {"h": H, "y": Y, "lengths": LENGTHS}
BOTH = "rec.npz --target h --source y"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "rec.npz", **ARRAYS)
    return tmp_path


def run(line, capsys):
    """Status, standard output and standard error of a command."""
    status = _cli.main(["score", *line.split()])
    out, err = capsys.readouterr()
    return status, out, err


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def column(name, text):
    return np.array([float(row[name]) for row in rows(text)])


def write(kind):
    """The arrays in a file of some kind; its name and those of the arrays."""
    name = f"rec.{kind}"
    if kind == "npz":
        np.savez_compressed(name, **ARRAYS)
    elif kind == "safetensors":
        pytest.importorskip("safetensors.numpy").save_file(ARRAYS, name)
    elif kind == "h5":
        with pytest.importorskip("h5py").File(name, "w") as file:
            for part, array in ARRAYS.items():
                file[part] = array
            file["nothing"] = pytest.importorskip("h5py").Empty("f")
    else:
        group = pytest.importorskip("zarr").open_group(name, mode="w")
        for part, array in ARRAYS.items():
            group.create_array(part, data=array, chunks=array.shape)
    return name


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5", "zarr"])
def test_every_kind_of_file(kind, folder, capsys):
    name = write(kind)
    status, out, _ = run(f"{name} --target h --source y --significance none --bins 4", capsys)
    assert status == 0
    np.testing.assert_array_equal(column("te", out), tefast.transfer_entropy(H, Y, 4))
    status, out, _ = run(f"{name} --list", capsys)
    assert status == 0
    assert sorted(out.splitlines()) == [
        "h  (20, 15, 30)  float32",
        "lengths  (20,)  int64",
        "y  (20, 15)  float64",
    ]


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5", "zarr"])
def test_what_is_too_large_is_streamed(kind, folder, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "is_too_large", lambda *_: True)
    line = f"{write(kind)} --target h --source y --lengths lengths --significance none --bins 4"
    status, out, err = run(line, capsys)
    assert status == 0
    assert "pieces: 2 of 2" in err  # one for the ranges, one to count
    expected = tefast.transfer_entropy(H, Y, 4, lengths=LENGTHS)
    np.testing.assert_array_equal(column("te", out), expected)


@pytest.mark.parametrize(
    "line",
    [
        "h.npy --source y.npy",
        "--target h.npy --source y.npy",
        "rec.npz --target h --source y.npy",
        "rec.npz --target h --source-file y.npy",
        "h.npy --source y --source-file rec.npz",
    ],
)
def test_arrays_of_several_files(line, folder, capsys):
    status, out, err = run(f"{line} --significance none --lengths lengths.npy --quiet", capsys)
    assert (status, err) == (0, "")
    np.testing.assert_array_equal(column("te", out), tefast.transfer_entropy(H, Y, lengths=LENGTHS))


def test_a_table_and_a_plot(folder, capsys):
    matplotlib = pytest.importorskip("matplotlib.image")
    line = (
        "rec.npz --target h --source y --bins 4 --surrogates 600 --out new/scores.csv --plot p.png"
    )
    status, out, err = run(line, capsys)
    assert (status, out) == (0, "")
    found = tefast.significance(H, Y, 4, surrogates=600)
    text = (folder / "new" / "scores.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == (
        "unit,te,p_value,q_value,null_mean,null_std,effective_te,standard_error"
    )
    assert [int(row["unit"]) for row in rows(text)] == list(range(30))
    for name in FIELDS:
        np.testing.assert_array_equal(column(name, text), getattr(found, name))
    assert "surrogates: 600 of 600" in err
    assert "30 units, the highest unit 7" in err
    assert "wrote new/scores.csv and p.png" in err
    image = matplotlib.imread(folder / "p.png")
    assert image.shape == (675, 1200, 4)
    orange = np.abs(image[:, :, :3] - [0xD5 / 255, 0x5E / 255, 0]).sum(2) < 0.1
    assert orange.any()  # unit 7 is marked
    left = {path.name for path in folder.iterdir()}
    assert left == {"h.npy", "y.npy", "lengths.npy", "rec.npz", "new", "p.png"}


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("--edges -1e-1 .5 1.5 --bins 4 --base e",
         {"bins": 4, "binning": [-0.1, 0.5, 1.5], "base": math.e}),
        ("--binning quantile --bins 3", {"bins": 3, "binning": "quantile"}),
        ("--target-range -1e-3 1 --source-range 0 .9 --delay 2",
         {"h_range": (-1e-3, 1), "y_range": (0, 0.9), "delay": 2}),
        ("--bins 3 --target-history 2 --source-history 2 --bias miller_madow --threads 1",
         {"bins": 3, "target_history": 2, "source_history": 2, "bias": "miller_madow"}),
        ("--target-history 2 --target-step 3 --source-history 2 --source-step 4 --bins 3",
         {"target_history": 2, "target_step": 3, "source_history": 2, "source_step": 4, "bins": 3}),
        ("--backend reference --nan-policy omit", {"nan_policy": "omit", "backend": "reference"}),
    ],
)  # fmt: skip
def test_options_are_those_of_the_library(line, options, folder, capsys):
    line = f"rec.npz --target h --source y --significance none {line}"
    status, out, _ = run(line, capsys)
    assert status == 0
    np.testing.assert_array_equal(column("te", out), tefast.transfer_entropy(H, Y, **options))
    assert {row["p_value"] for row in rows(out)} == {""}


@pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning")
@pytest.mark.parametrize("large", [False, True])
def test_several_sources_at_once(large, folder, capsys, monkeypatch):
    monkeypatch.setattr(scoring, "is_too_large", lambda *_: large)
    both = np.stack([Y, rng.random(Y.shape)], axis=-1)
    np.save("both.npy", both)
    line = "h.npy --source both.npy --bins 3 --significance"
    status, out, _ = run(f"{line} none --joint", capsys)
    assert status == 0
    te = tefast.transfer_entropy(H, both, 3, joint=True)
    np.testing.assert_array_equal(column("te", out), te)
    status, out, _ = run(f"{line} circular --surrogates 9 --joint", capsys)
    given = {"method": "circular", "surrogates": 9, "joint": True}
    p_value = tefast.significance(H, both, 3, **given).p_value
    np.testing.assert_array_equal(column("p_value", out), p_value)
    status, out, err = run(f"{line} none", capsys)
    assert (status, out) == (2, "")
    assert "--joint takes the last axis of the source as several sources at once" in err


@pytest.mark.filterwarnings("ignore:method='chi2' with:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning")
@pytest.mark.parametrize("method", ["trials", "circular", "conditional", "chi2"])
def test_other_tests(method, folder, capsys):
    if method == "chi2":
        pytest.importorskip("scipy")
    line = f"rec.npz --target h --source y --bins 3 --significance {method} --seed 3"
    status, out, err = run(f"{line} --surrogates 20", capsys)
    assert status == 0
    assert ("tefast: warning: --significance chi2 with 10 transitions" in err) == (method == "chi2")
    found = tefast.significance(H, Y, 3, method=method, seed=3, surrogates=20)
    np.testing.assert_array_equal(column("q_value", out), found.q_value)
    assert f", {method})" in err


def test_too_few_surrogates_are_said_to_be(folder, capsys):
    line = "rec.npz --target h --source y --bins 4"
    _, _, err = run(f"{line} --surrogates 20", capsys)
    assert "tefast: warning: --significance trials: " in err
    assert "--surrogates 600 would do" in err
    assert "all of 20 surrogates, but then" in err
    assert err.count("would do for q < 0.05") == 1
    _, _, err = run(f"{line} --surrogates 20 --alpha 0.001", capsys)
    assert "would do for q < 0.001" in err
    _, out, err = run(f"{line} --surrogates 600", capsys)
    assert "1 significant" in err
    assert "would do" not in err
    assert column("q_value", out)[7] < 0.05


def test_without_a_number_of_surrogates_there_are_enough(folder, capsys):
    _, out, err = run("rec.npz --target h --source y --bins 4", capsys)
    assert "surrogates: 600 of 600" in err
    assert column("q_value", out)[7] < 0.05


def test_samples_of_a_converter(folder, capsys):
    h, y = (2000 * H - 1000).astype(np.int16), (1e6 * Y).astype(np.int32)
    np.savez("raw.npz", h=h, y=y)
    line = "raw.npz --target h --source y --significance none"
    status, _, err = run(line, capsys)
    assert status == 2
    assert "holds integers, which are symbols" in err
    status, out, _ = run(f"{line} --bin-integers", capsys)
    assert status == 0
    expected = tefast.transfer_entropy(h.astype(float), y.astype(float))
    np.testing.assert_array_equal(column("te", out), expected)


def test_bfloat16(folder, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    h = torch.from_numpy(H).bfloat16()
    save = pytest.importorskip("safetensors.torch").save_file
    save({"h": h, "y": torch.from_numpy(Y)}, "b.safetensors")
    status, out, _ = run("b.safetensors --target h --source y --significance none", capsys)
    assert status == 0
    np.testing.assert_array_equal(column("te", out), tefast.transfer_entropy(h, Y))


def test_names_that_look_like_numbers(folder, capsys):
    np.savez("numbered.npz", **{"1": H, "2": Y})
    assert run("numbered.npz --target 1 --source 2 --significance none", capsys)[0] == 0


def test_groups_of_hdf5_and_zarr(folder, capsys):
    with pytest.importorskip("h5py").File("deep.nwb", "w") as file:
        file["session/h"] = H
        file["session/y"] = Y
    line = "deep.nwb --target session/h --source session/y --significance none"
    assert run(line, capsys)[0] == 0
    group = pytest.importorskip("zarr").open_group("deep.zarr", mode="w")
    group.create_group("session").create_array("h", data=H)
    zarr = sys.modules["zarr"]
    zarr.create_array("y.zarr", data=Y)
    line = "deep.zarr --target session/h --source-file y.zarr --significance none"
    status, out, _ = run(line, capsys)
    assert status == 0
    np.testing.assert_array_equal(column("te", out), tefast.transfer_entropy(H, Y))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.npz --target h --source y", "there is no file none.npz"),
        ("rec.raw --target h --source y", "rec.raw is of no known kind (.npy, .npz, "),
        ("rec.npz --target q --source y",
         "rec.npz holds no array 'q'; it has h (20, 15, 30), y (20, 15), lengths (20,)"),
        ("rec.npz --source y", "rec.npz holds several arrays, choose by --target; it has h"),
        ("rec.npz --target h", "expected --source NAME, or --source-file FILE with one array"),
        ("--source y.npy", "expected --target NAME in a FILE, or --target ARRAY.npy"),
        ("--list", "expected the FILE whose arrays are to be listed"),
        ("rec.npz --target h --source lengths", "the source must have shape (20, 15)"),
        (f"{BOTH} --lengths y", "lengths must be integers"),
        (f"{BOTH} --bins 1", "bins must lie in 2 .. 256"),
        (f"{BOTH} --h-range 1 0", "--target-range must be finite with low < high"),
        (f"{BOTH} --edges 1 2", "--bins 16 takes 15 --edges between bins, got 2"),
        (f"{BOTH} --edges 1 2 --binning quantile", "--edges takes the place of --binning quantile"),
        (f"{BOTH} --bias grassberger", "--bias goes with --significance none, got auto"),
        (f"{BOTH} --alpha 0", "--alpha must lie between 0 and 1"),
        (f"{BOTH} --out rec.npz --force", "rec.npz is an input"),
        (f"{BOTH} --out h.npy", "h.npy is there already; --force overwrites it"),
        (f"{BOTH} --out .", "is a folder, expected a file"),
        (f"{BOTH} --out s.png --plot s.png", "--out and --plot are both s.png"),
        (f"{BOTH} --out h.npy/scores.csv", "h.npy is not a folder"),
        (f"{BOTH} --plot scores.xyz", "scores.xyz: a plot ends in one of"),
        ("broken.npy --source y.npy", "broken.npy cannot be read as a NumPy array"),
        ("broken.npz --source y", "broken.npz cannot be read as a NumPy archive"),
        ("broken.h5 --source y", "broken.h5 cannot be read as a HDF5 file"),
        ("broken.safetensors --source y", "broken.safetensors cannot be read as a safetensors"),
        ("broken.zarr --source y", "broken.zarr cannot be read as a Zarr array or group"),
        ("words.npz --target h --source y", "the target holds labels, such as 'word' at h[0, 0,"),
        ("objects.npz --target h --source y", "objects.npz: h is an object array: its elements"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_status_2(line, message, folder, capsys):
    if "h5" in line:
        pytest.importorskip("h5py")
    if "safetensors" in line or "zarr" in line:
        pytest.importorskip(line.split()[0].removeprefix("broken."))
    for kind in recordings.SUFFIXES:
        (folder / f"broken{kind}").write_bytes(b"nothing of the kind" * 9)
    np.savez("words.npz", h=np.full((20, 15, 2), "word"), y=Y)
    np.savez("objects.npz", h=np.full((20, 15, 2), None), y=Y)
    Y.tofile("rec.raw")
    before = sorted(folder.rglob("*"))
    status, out, error = run(line, capsys)
    assert (status, out) == (2, "")
    assert error.startswith("tefast: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert sorted(folder.rglob("*")) == before


def test_a_damaged_archive(folder, capsys):
    whole = bytearray((folder / "rec.npz").read_bytes())
    middle = whole.find(H.tobytes()[:64])
    whole[middle + 100] ^= 1
    (folder / "rec.npz").write_bytes(whole)
    status, _, error = run(f"{BOTH} --significance none", capsys)
    assert status == 2
    assert "rec.npz cannot be read as a NumPy archive: Bad CRC-32" in error


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("h5py", "broken.h5 --source y"),
        ("zarr", "broken.zarr --source y"),
        ("safetensors", "broken.safetensors --source y"),
        ("matplotlib.figure", f"{BOTH} --plot p.png"),
    ],
)
def test_missing_packages(package, line, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "tefast.plot", raising=False)
    monkeypatch.delattr(tefast, "plot", raising=False)
    for kind in recordings.SUFFIXES:
        (folder / f"broken{kind}").write_bytes(b"nothing of the kind" * 9)
    status, _, error = run(line, capsys)
    assert status == 2
    assert error.count("\n") == 1
    assert 'pip install "tefast[files]"' in error


def test_force_overwrites_and_failures_leave_what_was_there(folder, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    (folder / "s.csv").write_text("before")
    (folder / "p.png").write_text("before")
    line = f"{BOTH} --bins 3 --surrogates 5 --force --out s.csv --plot p.png"
    from tefast import plot

    def fails(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(plot, "write", fails)
        assert run(line, capsys)[0] == 2
    assert (folder / "s.csv").read_text() == "before"
    assert not list(folder.glob(".part-*"))
    assert run(line, capsys)[0] == 0
    assert (folder / "s.csv").read_text().startswith("unit,te")
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["p.png", "p.pdf", "p.svg"])
@pytest.mark.parametrize("left", [0, 3000], ids=["full", "nearly full"])
def test_a_full_disk(name, left, folder, disk, capsys):
    pytest.importorskip("matplotlib")
    table, plot, reserve = (disk.path / each for each in ("s.csv", name, "reserve"))
    table.write_text("before")
    plot.write_text("before")
    reserve.write_bytes(bytes(left))
    disk.fill()
    reserve.unlink()
    line = f"{BOTH} --bins 3 --significance none --quiet --force --out {table} --plot {plot}"
    status, out, error = run(line, capsys)
    assert (status, out) == (2, "")
    assert error.startswith(f"tefast: error: cannot write {disk.path}")
    assert error.endswith(": No space left on device\n")
    assert error.count("\n") == 1
    assert table.read_text() == plot.read_text() == "before"
    assert not list(disk.path.glob(".part-*"))
    disk.free()
    assert run(line, capsys)[0] == 0
    assert table.read_text().startswith("unit,te")


@pytest.mark.parametrize("more", ["", "--list"])
def test_standard_output_on_a_full_disk(more, folder):
    line = f"{BOTH} --bins 3 --significance none --quiet {more}"
    command_line = [sys.executable, "-m", "tefast", "score", *line.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command_line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("tefast: error: ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_shows_the_default_of_every_option(capsys):
    from tefast.experiment import cli

    parsers = [arguments.parser()._subparsers._group_actions[0].choices["score"], cli.parser()]
    for parser in parsers:
        for option in parser._actions:
            is_switch = option.nargs == 0 or option.dest == "file"
            assert is_switch or "(default: " in option.help, option.dest
        with pytest.raises(SystemExit):
            parser.parse_args(["--help"])
        assert "default: 16" in capsys.readouterr().out


def test_the_console_script():
    import tomllib
    from pathlib import Path

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    module, _, name = tomllib.loads(text)["project"]["scripts"]["tefast"].partition(":")
    assert getattr(importlib.import_module(module), name) is _cli.main


def test_plots_have_the_names_of_units():
    pytest.importorskip("matplotlib")
    from tefast import plot

    names = [f"unit ${u}$" for u in range(30)]
    found = tefast.significance(H, Y, 4, surrogates=600)
    style = {"unit": "bits", "alpha": 0.05, "title": "title", "names": names}
    figures = [
        plot.scores(found.te, found, **style),
        plot.delays({d: (found.te * d, found) for d in (1, 2)}, **style),
        plot.delays(dict.fromkeys((1, 2), (found.te, None)), **style),
    ]
    shown = [[text.get_text() for text in figure.axes[0].texts] for figure in figures]
    assert shown == [[r"unit \$7\$"], [r"unit \$7\$"], []]
    legend = [text.get_text() for text in figures[1].axes[0].get_legend().get_texts()]
    assert legend == ["delay 1: 1 with q up to 0.05", "delay 2: 1 with q up to 0.05"]
    for figure in figures:
        figure.canvas.draw()


@pytest.mark.parametrize("units", [1, 5, 9, 30])
def test_nothing_in_a_plot_overlaps(units):
    pytest.importorskip("matplotlib")
    from tefast import plot

    h = H[..., :units].copy()
    h[:, 1:] = 0.3 * h[:, 1:] + 0.7 * Y[:, :-1, None]
    names = [f"a name that is long, number {u}" for u in range(units)]
    found = tefast.significance(h, Y, 2)
    style = {"unit": "bits", "alpha": 0.05, "title": "title", "names": names}
    by_delay = dict.fromkeys(range(1, 5), (found.te, found))
    for figure in (plot.scores(found.te, found, **style), plot.delays(by_delay, **style)):
        figure.canvas.draw()
        axes = figure.axes[0]
        inside, legend = axes.get_window_extent(), axes.get_legend().get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == min(units, 5)
        assert all(box.x1 <= inside.x1 + 5 for box in boxes[1:])
        assert not any(box.overlaps(legend) for box in boxes[1:])
        ticks = axes.get_xticks()
        np.testing.assert_array_equal(ticks, np.round(ticks))


def test_an_interrupt_writes_nothing(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tefast, "significance", interrupted)
    status, _, error = run(f"{BOTH} --out s.csv", capsys)
    assert status == 130
    assert "interrupted" in error
    assert not (folder / "s.csv").exists()


def test_a_bar_on_a_terminal(folder, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, error = run(f"{BOTH} --bins 3 --surrogates 5 --out s.csv", capsys)
    assert "5/5" in error


@pytest.mark.parametrize("line", [f"score {BOTH} --bins 3", "network rec.npz --series h --bins 3"])
def test_the_module_is_a_command_of_numpy_alone(line, folder):
    code = (
        "import sys; from tefast import _cli; "
        f"status = _cli.main({line!r}.split()); "
        "known = {'torch', 'matplotlib', 'h5py', 'zarr', 'safetensors', 'scipy', 'tqdm'}; "
        "print(known & set(sys.modules), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "set()"
    command_line = [sys.executable, "-m", "tefast"]
    shown = subprocess.run([*command_line, "--help"], capture_output=True, text=True, check=True)
    assert "score every unit of a recording" in shown.stdout
    wrong = subprocess.run([*command_line, "score"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
