"""Every kind of file, written by its own package, gives the numbers of the same data as .npy."""

import csv
import gzip
import json
import struct
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import _cli
from tefast._cli import recordings
from tefast._cli.recordings import layout
from tefast._cli.recordings.choice import choose, columns
from tefast._cli.recordings.recording import Recordings, of_array

rng = np.random.default_rng(0)
STEPS = 240
NAMES = ["price", "a b", "volume", "d"]
DATA = rng.random((STEPS, 4))
DATA[1:, 2] = 0.5 * DATA[:-1, 0] + 0.5 * DATA[1:, 2]
LABELS = rng.integers(0, 4, (STEPS, 3))
TE = tefast.transfer_entropy(DATA[:, 1:], DATA[:, 0], 4)
H = rng.random((6, 40, 5)).astype(np.float32)
Y = rng.random((6, 40))
ESTIMATE = "--significance none --bins 4 --quiet"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line, capsys):
    """Status, rows and standard error of a command."""
    status = _cli.main(["score", *(line if isinstance(line, list) else line.split())])
    out, err = capsys.readouterr()
    return status, list(csv.DictReader(out.splitlines())), err


def scores(line, capsys):
    """Scores and names of a command that succeeds."""
    words = [*(line if isinstance(line, list) else line.split()), *ESTIMATE.split()]
    status, rows, err = run(words, capsys)
    assert (status, err) == (0, "")
    return [float(row["te"]) for row in rows], [row.get("name") for row in rows]


def frame(names=NAMES, data=DATA):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(data, columns=names)


def write_classic(path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("scipy")
    array = xarray.DataArray(DATA, dims=("time", "unit"), coords={"unit": NAMES})
    array.to_dataset(name="v").to_netcdf(path, engine="scipy")


def write_netcdf4(path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    array = xarray.DataArray(DATA, dims=("time", "unit"), coords={"unit": NAMES})
    array.to_dataset(name="v").to_netcdf(path, engine="h5netcdf")


def write_h5ad(path, sparse=None):
    """The layout of AnnData 0.8 and newer."""
    with pytest.importorskip("h5py").File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_matrix(file, "X", sparse)
        write_matrix(file, "layers/counts", sparse)
        for part, index in (("obs", [f"cell{i}" for i in range(STEPS)]), ("var", NAMES)):
            group = file.create_group(part)
            group.attrs.update({"encoding-type": "dataframe", "_index": "_index"})
            group["_index"] = index
        file["obs/time"] = DATA[:, 0]
        file["obs/kind/codes"] = LABELS[:, 0].astype(np.int8)
        file["obs/kind/categories"] = ["a", "b", "c", "d"]


def write_matrix(file, name, sparse):
    if sparse is None:
        file[name] = DATA
        return
    matrix = pytest.importorskip("scipy.sparse")
    held = {"csr": matrix.csr_array, "csc": matrix.csc_array}[sparse](DATA)
    group = file.create_group(name)
    group.attrs.update({"encoding-type": f"{sparse}_matrix", "shape": DATA.shape})
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(held, part)


def write_matlab73(path, variables):
    """What MATLAB's save -v7.3 writes: HDF5 behind 512 bytes, axes reversed, classes named."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in variables.items():
            write_matlab_array(file, name, array)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def write_matlab_array(file, name, array):
    h5py = sys.modules["h5py"]
    if isinstance(array, list):
        cells = [file.create_dataset(f"#refs#/{name}{i}", data=stored(each)[0])
                 for i, each in enumerate(array)]  # fmt: skip
        for cell, each in zip(cells, array, strict=True):
            cell.attrs["MATLAB_class"] = np.bytes_(stored(each)[1])
        item = file.create_dataset(name, (1, len(cells)), h5py.ref_dtype)
        item[0] = [cell.ref for cell in cells]
        item.attrs["MATLAB_class"] = np.bytes_("cell")
        return
    values, kind = stored(array)
    file[name] = values
    file[name].attrs["MATLAB_class"] = np.bytes_(kind)


def stored(value):
    """A value as MATLAB lays it down, and its class."""
    if isinstance(value, str):
        return np.array([[ord(c)] for c in value], np.uint16), "char"
    if value.dtype == bool:
        return value.T.astype(np.uint8), "logical"
    return value.T, {"float64": "double", "float32": "single"}.get(str(value.dtype), "int64")


def write_zarr(path):
    pytest.importorskip("zarr").create_array(path, data=DATA)


WRITERS = {
    "d.npy": lambda path: np.save(path, DATA),
    "d.npz": lambda path: np.savez(path, d=DATA),
    "d.csv": lambda path: frame().to_csv(path, index=False),
    "rows.csv": lambda path: frame().to_csv(path),
    "plain.csv": lambda path: frame().to_csv(path, index=False, header=False),
    "semicolons.csv": lambda path: frame().to_csv(path, sep=";", decimal=",", index=False),
    "spaces_after.csv": lambda path: Path(path).write_text(
        "price, a b, volume, d\n" + "\n".join(", ".join(map(repr, row)) for row in DATA.tolist())
    ),
    "excel's.csv": lambda path: frame().to_csv(path, index=False, encoding="utf-8-sig"),
    "unicode.txt": lambda path: frame().to_csv(path, sep="\t", index=False, encoding="utf-16"),
    "trailing.csv": lambda path: Path(path).write_text(
        "\n".join(",".join(map(repr, row)) + "," for row in DATA.tolist())
    ),
    "of_r.txt": lambda path: Path(path).write_text(  # as write.table writes, with names of rows
        "price a.b volume d\n"
        + "\n".join(" ".join([f'"{i}"', *map(repr, row)]) for i, row in enumerate(DATA.tolist()))
    ),
    "d.tsv": lambda path: frame().to_csv(path, sep="\t", index=False),
    "d.txt": lambda path: np.savetxt(path, DATA, header="measured\nby us", fmt="%.17g"),
    "aligned.dat": lambda path: Path(path).write_text(
        "% of MATLAB\n\n" + "\n".join("  " + "   ".join(map(repr, row)) for row in DATA.tolist())
    ),
    "d.csv.gz": lambda path: frame().to_csv(path, index=False),
    "d.csv.xz": lambda path: frame().to_csv(path, index=False),
    "d.parquet": lambda path: frame().to_parquet(path),
    "d.feather": lambda path: frame().to_feather(path),
    "d.xlsx": lambda path: frame().to_excel(path, index=False),
    "rows.xlsx": lambda path: frame().to_excel(path),
    "plain.xlsx": lambda path: frame().to_excel(path, index=False, header=False),
    "d.mat": lambda path: pytest.importorskip("scipy.io").savemat(path, {"d": DATA}),
    "d4.mat": lambda path: pytest.importorskip("scipy.io").savemat(path, {"d": DATA}, format="4"),
    "d73.mat": lambda path: write_matlab73(path, {"d": DATA}),
    "d.nc": write_classic,
    "d4.nc": write_netcdf4,
    "d.h5ad": write_h5ad,
    "csr.h5ad": lambda path: write_h5ad(path, "csr"),
    "csc.h5ad": lambda path: write_h5ad(path, "csc"),
    "d.safetensors": lambda path: pytest.importorskip("safetensors.numpy").save_file(
        {"d": DATA}, path
    ),
    "d.h5": lambda path: pytest.importorskip("h5py").File(path, "w").create_dataset("d", data=DATA),
    "d.zarr": write_zarr,
    "fields.npy": lambda path: np.save(
        path, np.array(list(map(tuple, DATA.tolist())), [(name, "f8") for name in NAMES])
    ),
}
NAMELESS = ("d.npy", "d.npz", "plain.csv", "trailing.csv", "d.txt", "aligned.dat", "plain.xlsx",
            "d.mat", "d4.mat", "d73.mat", "d.safetensors", "d.h5", "d.zarr")  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file(name, capsys):
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    if name.endswith(("parquet", "feather")):
        pytest.importorskip("pyarrow")
    WRITERS[name](name)
    found, names = scores(f"{name} --source 0", capsys)
    np.testing.assert_array_equal(found, TE)
    expected = [None] * 3 if name in NAMELESS else NAMES[1:]
    assert [each and each.replace(".", " ") for each in names] == expected
    if name not in (*NAMELESS, "of_r.txt"):
        line = [name, "--source", "price", "--target", "d,a b"]
        found, names = scores(line, capsys)
        np.testing.assert_array_equal(found, TE[[2, 0]])
        assert names == ["d", "a b"]


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("d.zarr", "d4.mat")])
@pytest.mark.parametrize("other", ["other.txt", "none", "other.csv"])
def test_what_is_in_a_file_tells_its_kind(name, other, capsys):
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    if name.endswith(("parquet", "feather")):
        pytest.importorskip("pyarrow")
    WRITERS[name](name)
    Path(name).rename(other)
    found, _ = scores(f"{other} --source 0", capsys)
    np.testing.assert_array_equal(found, TE)


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_is_listed(name, capsys):
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    if name.endswith(("parquet", "feather")):
        pytest.importorskip("pyarrow")
    WRITERS[name](name)
    assert _cli.main(["score", name, "--list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"({STEPS}, 4)" in out
    if name not in NAMELESS:
        assert "price" in out
    assert "double" in out or "float64" in out


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5", "nc", "mat", "mat73", "zarr"])
def test_three_axes(kind, capsys):
    path = "rec.mat" if kind == "mat73" else f"rec.{kind}"
    arrays = {"h": H, "y": Y}
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "safetensors":
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    elif kind == "h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["h"], file["y"] = H, Y
    elif kind == "nc":
        xarray = pytest.importorskip("xarray")
        pytest.importorskip("h5netcdf")
        dims = {"h": (("n", "t", "u"), H), "y": (("n", "t"), Y)}
        xarray.Dataset(dims).to_netcdf(path, engine="h5netcdf")
    elif kind == "mat":
        pytest.importorskip("scipy.io").savemat(path, arrays)
    elif kind == "mat73":
        write_matlab73(path, arrays)
    else:
        group = pytest.importorskip("zarr").open_group(path, mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array, chunks=(2, 20, 2)[: array.ndim])
    te = tefast.transfer_entropy(H, Y, 4)
    np.testing.assert_array_equal(scores(f"{path} --target h --source y", capsys)[0], te)
    for some in ("1:4", "0,4", "4,1,2", "::2", "-1"):
        found, _ = scores(f"{path} --target h[{some}] --source y", capsys)
        places = [np.atleast_1d(np.arange(5)[eval(f"np.s_[{part}]")]) for part in some.split(",")]
        np.testing.assert_array_equal(found, te[np.concatenate(places)])
    found, _ = scores(f"{path} --target h[1:] --source h[0]", capsys)
    np.testing.assert_array_equal(found, tefast.transfer_entropy(H[..., 1:], H[..., 0], 4))


@pytest.mark.parametrize("kind", ["npz", "safetensors", "h5", "mat73", "zarr", "csr.h5ad"])
def test_columns_are_streamed(kind, capsys, monkeypatch):
    from tefast._cli import scoring
    from tefast._counting import pieces

    monkeypatch.setattr(pieces, "PIECE_BYTES", 5000)
    monkeypatch.setattr(scoring, "is_too_large", lambda *_: True)
    name = {"npz": "d.npz", "h5": "d.h5", "mat73": "d73.mat", "csr.h5ad": "csr.h5ad"}
    name = name.get(kind, f"d.{kind}")
    WRITERS[name](name)
    found, _ = scores(f"{name} --source 0 --target 3,1", capsys)
    np.testing.assert_array_equal(found, TE[[2, 0]])


def test_integers_and_booleans_of_a_table_are_symbols(capsys):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(LABELS, columns=["x", "y", "z"])
    table["flag"] = table["x"] > 1
    table.to_csv("labels.csv", index=False)
    te = tefast.transfer_entropy(LABELS[:, 1:], LABELS[:, 0], 4)
    np.testing.assert_array_equal(scores("labels.csv --source x --target y,z", capsys)[0], te)
    binned = tefast.transfer_entropy(LABELS[:, 1:].astype(float), LABELS[:, 0].astype(float), 4)
    line = "labels.csv --source x --target y,z --bin-integers"
    np.testing.assert_array_equal(scores(line, capsys)[0], binned)
    te = tefast.transfer_entropy(LABELS[:, 1:], (LABELS[:, 0] > 1).astype(int), 4)
    np.testing.assert_array_equal(scores("labels.csv --source flag --target y,z", capsys)[0], te)


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_missing_values(kind, capsys):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip({"parquet": "pyarrow", "xlsx": "openpyxl"}.get(kind, "pandas"))
    x, y = DATA[:, 1].copy(), DATA[:, 0]
    x[7] = np.nan
    labels = pandas.array(LABELS[:, 0].tolist(), dtype="Int64")
    labels[3] = pandas.NA
    table = pandas.DataFrame({"y": y, "x": x, "label": labels})
    write = {"csv": table.to_csv, "parquet": table.to_parquet, "xlsx": table.to_excel}[kind]
    write(f"gaps.{kind}", index=False)
    status, _, error = run(f"gaps.{kind} --source y --target x", capsys)
    assert status == 2
    assert "must hold no NaN, got 1, the first at row 7 (counted from 0) of column 'x'" in error
    line = f"gaps.{kind} --source y --nan-policy omit"
    te = tefast.transfer_entropy(x, y, 4, nan_policy="omit")
    np.testing.assert_array_equal(scores(f"{line} --target x", capsys)[0], te)
    status, _, error = run(f"{line} --target label", capsys)
    assert status == 2
    assert "column 'label' holds integers, which are symbols, and 1 missing values; --bin-" in error
    floats = LABELS[:, 0].astype(float)
    floats[3] = np.nan
    te = tefast.transfer_entropy(floats, y, 4, nan_policy="omit")
    np.testing.assert_array_equal(scores(f"{line} --target label --bin-integers", capsys)[0], te)


def test_integers_among_floats(capsys):
    table = frame()
    table["d"] = LABELS[:, 0]
    table.to_csv("mixed.csv", index=False)
    status, _, error = run("mixed.csv --source price", capsys)
    assert status == 2
    assert (
        "mixed has floats in column 'a b', column 'volume'; integers in column 'd': integers are "
        "symbols and floats are binned; --bin-integers bins them all"
    ) in error
    data = np.c_[DATA[:, 1:3], LABELS[:, 0]]
    te = tefast.transfer_entropy(data, DATA[:, 0], 4)
    np.testing.assert_array_equal(scores("mixed.csv --source price --bin-integers", capsys)[0], te)


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather", "xlsx"])
def test_columns_that_are_no_data(kind, capsys):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip({"csv": "pandas", "xlsx": "openpyxl"}.get(kind, "pyarrow"))
    table = frame()
    table.insert(0, "when", pandas.date_range("2024-01-01", periods=STEPS))
    table.insert(1, "place", "Kyoto")
    table.insert(2, "id", range(1, STEPS + 1))
    table.insert(3, "seconds", np.round(np.arange(STEPS) / 30, 3))
    options = {} if kind == "feather" else {"index": False}
    getattr(table, {"xlsx": "to_excel"}.get(kind, f"to_{kind}"))(f"d.{kind}", **options)
    for target, message in (
        (
            "0:5",
            "column 'when' holds " + ("texts ('2024-01-01" if kind == "csv" else "dates (2024"),
        ),
        (
            "place",
            "column 'place' holds texts ('Kyoto', ...), no numbers; leave it out by --target",
        ),
    ):
        status, _, error = run(f"d.{kind} --source price --target {target}", capsys)
        assert status == 2
        assert message in error
        among = "" if target == "0:5" else " 'a b' volume d"
        assert f"such as --target id seconds price{among}" in error
        assert ("as a symbol by --binning symbols" in error) == ("texts" in message)
    table = table.drop(columns=["when", "place"])
    for column in ("id", "seconds"):
        part = table[[column, *NAMES]]
        getattr(part, {"xlsx": "to_excel"}.get(kind, f"to_{kind}"))(f"t.{kind}", **options)
        status, _, error = run(f"t.{kind} --source price", capsys)
        assert status == 2
        assert f"column {column!r} rises evenly (" in error
        line = f"t.{kind} --source price --target {column} {ESTIMATE} --bin-integers"
        status, _, error = run(line, capsys)
        assert status == 0
        assert "tefast: warning:" in error
        assert "as row numbers and times do" in error
        found, _ = scores(f"t.{kind} --source price --target 2:", capsys)
        np.testing.assert_array_equal(found, TE)


def test_headers_that_are_there_or_not(capsys):
    Path("numbers.csv").write_text("0,1\n" + "\n".join(f"{a},{b}" for a, b in LABELS[:, :2] % 2))
    line = "numbers.csv --source 0 --target 1 --significance none --bins 2"
    status, rows, error = run(line, capsys)
    assert status == 0
    assert "the first line (0 1) is taken for data; --header yes takes it for the names" in error
    whole = np.r_[[[0, 1]], LABELS[:, :2] % 2]
    assert float(rows[0]["te"]) == tefast.transfer_entropy(whole[:, 1], whole[:, 0], 2)
    status, rows, error = run(f"{line} --header yes --quiet", capsys)
    assert (status, error) == (0, "")
    assert float(rows[0]["te"]) == tefast.transfer_entropy(whole[1:, 1], whole[1:, 0], 2)
    frame(["2001", "2002", "2003", "2004"]).to_csv("years.csv", index=False)
    found, names = scores("years.csv --header yes --source 2001", capsys)
    np.testing.assert_array_equal(found, TE)
    assert names == ["2002", "2003", "2004"]
    for line in ("--source 2001 --target 1:", "--source 0"):
        status, _, error = run(f"years.csv --header yes {line}", capsys)
        assert status == 2
        assert "may mean places or names in years, whose column 0 is named '2001'" in error


def test_names_of_units(capsys):
    np.savez("rec.npz", h=DATA[:, 1:], y=DATA[:, 0], channels=np.array(["C3", "Cz", "C4"]))
    Path("names.txt").write_text("C3\nCz\n\nC4\n", encoding="utf-8")
    for names in ("channels", "names.txt", "C3,Cz,C4"):
        found, shown = scores(f"rec.npz --target h --source y --names {names}", capsys)
        assert shown == ["C3", "Cz", "C4"]
        np.testing.assert_array_equal(found, TE)
    status, _, error = run("rec.npz --target h --source y --names a,b", capsys)
    assert status == 2
    assert "--names a,b gives 2 names, expected 3, one for each unit of h" in error


def test_several_delays(capsys):
    np.save("d.npy", DATA)
    line = "d.npy --source 0 --bins 4 --surrogates 99 --significance shuffle"
    status, rows, error = run(f"{line} --delay 1 3 2", capsys)
    assert status == 0
    assert [(row["unit"], row["delay"]) for row in rows] == [
        (str(u), str(d)) for u in range(3) for d in (1, 3, 2)
    ]
    found = {
        d: tefast.significance(DATA[:, 1:], DATA[:, 0], 4, delay=d, surrogates=99, method="shuffle")
        for d in (1, 3, 2)
    }
    q = tefast.benjamini_hochberg(np.stack([each.p_value for each in found.values()]))
    for row in rows:
        one, u = found[int(row["delay"])], int(row["unit"])
        for name in ("te", "p_value", "null_mean", "effective_te"):
            assert float(row[name]) == getattr(one, name)[u]
        assert float(row["q_value"]) == q[list(found).index(int(row["delay"])), u]
    assert "surrogates at delay 3: 99 of 99" in error
    assert "the highest unit 1 with" in error
    assert "at delay 1" in error
    status, _, error = run(f"{line} --delay 1 1", capsys)
    assert status == 2
    assert "--delay has a delay twice: 1 1" in error


def test_enough_surrogates_for_several_delays(capsys):
    np.save("d.npy", np.tile(DATA, (1, 3)))
    _, rows, error = run("d.npy --source 0 --bins 4 --delay 1 2 3 --significance shuffle", capsys)
    assert "surrogates at delay 1: 660 of 660" in error  # 11 units, 3 delays, alpha 0.05
    assert "warning" not in error
    found = [row["unit"] for row in rows if float(row["q_value"]) < 0.05]
    assert found == ["1", "5", "9"]


@pytest.mark.parametrize("name", ["d.npy", "d.csv", "d73.mat"])
def test_several_columns_as_one_source(name, capsys):
    WRITERS[name](name)
    te = tefast.transfer_entropy(DATA[:, [1, 3]], DATA[:, [0, 2]], 3, joint=True)
    line = [*f"{name} --source 0,2 --joint --significance none --bins 3 --quiet".split()]
    status, rows, error = run(line, capsys)
    assert (status, error) == (0, "")
    np.testing.assert_array_equal([float(row["te"]) for row in rows], te)


def test_columns_of_other_layouts(capsys):
    np.save("tall.npy", DATA.T)
    np.save("wide.npy", H.transpose(2, 0, 1))
    found, _ = scores("tall.npy --layout UT --source 0", capsys)
    np.testing.assert_array_equal(found, TE)
    found, names = scores("tall.npy --layout UT --source 0 --target 3,1 --names b,a", capsys)
    np.testing.assert_array_equal(found, TE[[2, 0]])
    assert names == ["b", "a"]
    te = tefast.transfer_entropy(H[..., 1:], H[..., 0], 4)
    for target in ("", "--target 1:", "--target wide.npy[1:]"):
        found, _ = scores(f"wide.npy --layout UNT --source 0 {target}", capsys)
        np.testing.assert_array_equal(found, te)
    status, _, error = run("tall.npy --layout NTU --source 0", capsys)
    assert status == 2
    assert "tall has the shape (4, 240), and no axis 2" in error


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_wide_tables(header, separator, capsys):
    pandas = pytest.importorskip("pandas")
    data = rng.random((40, 20_000))
    names = [f"gene {i}" for i in range(20_000)]
    table = pandas.DataFrame(data, columns=names)
    table.to_csv("wide", index=header, header=header, sep=separator)
    found, shown = scores("wide --source 0 --target 7,19999", capsys)
    te = tefast.transfer_entropy(data[:, [7, 19_999]], data[:, 0], 4)
    np.testing.assert_array_equal(found, te)
    assert shown == (["gene 7", "gene 19999"] if header else [None, None])


def test_series_that_lie_side_by_side(capsys):
    np.savez("rec.npz", x=DATA[:, 1], y=DATA[:, 0], z=DATA[:, 2], other=DATA[:9, 0])
    found, names = scores("rec.npz --source y --target x,z", capsys)
    np.testing.assert_array_equal(found, TE[:2])
    assert names == ["x", "z"]
    status, _, error = run("rec.npz --source y --target x,other", capsys)
    assert status == 2
    assert "arrays that go together must have one shape and type, got x (240,) float64, o" in error


def test_sheets_of_a_workbook(capsys):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    with pandas.ExcelWriter("book.xlsx") as book:
        frame().to_excel(book, sheet_name="Monday", index=False)
        frame(data=DATA[::-1]).to_excel(book, sheet_name="Tuesday", index=False)
        pandas.DataFrame().to_excel(book, sheet_name="Empty", index=False)
    status, _, error = run("book.xlsx --source price", capsys)
    assert status == 2
    assert "book.xlsx holds no array 'price'; it has Monday (240, 4), Tuesday (240, 4)" in error
    found, names = scores("book.xlsx --source Monday[price] --target Monday[1:]", capsys)
    np.testing.assert_array_equal(found, TE)
    assert names == NAMES[1:]


def test_matlab_shows_vectors_structs_and_cells(capsys):
    scipy_io = pytest.importorskip("scipy.io")
    labels = np.array(["C3", "Cz", "C4"], object)
    inside = {"h": DATA[:, 1:], "y": DATA[:, :1], "chan": labels, "z": DATA[:, 0] + 1j}
    ragged = np.array([DATA[:5, 0], DATA[:6, 0]], object)
    variables = {"eeg": inside, "row": DATA[None, :, 0], "ragged": ragged, "z": DATA + 1j,
                 "cells": np.array([*H, None], object)[:-1]}  # fmt: skip
    scipy_io.savemat("five.mat", variables)
    write_matlab73("seven.mat", {"row": DATA[None, :, 0], "flag": DATA > 0.5, "chan": list(labels),
                                 "ragged": [DATA[:5], DATA[:6]], "cells": list(H),
                                 "h": DATA[:, 1:]})  # fmt: skip
    line = "five.mat --source eeg.y --target eeg.h --names eeg.chan"
    found, names = scores(line, capsys)
    np.testing.assert_array_equal(found, TE)
    assert names == ["C3", "Cz", "C4"]
    np.testing.assert_array_equal(scores("five.mat --source row --target eeg.h", capsys)[0], TE)
    found, names = scores("seven.mat --source row --target h --names chan", capsys)
    np.testing.assert_array_equal(found, TE)
    assert names == ["C3", "Cz", "C4"]
    np.save("y.npy", Y)
    te = tefast.transfer_entropy(H, Y, 4)
    for name in ("five.mat", "seven.mat"):
        line = f"{name} --target cells --source y.npy"
        np.testing.assert_array_equal(scores(line, capsys)[0], te)
        status, _, error = run(f"{name} --source row --target ragged", capsys)
        assert status == 2
        assert f"{name}: ragged is a cell array whose cells differ in size or class" in error
    for name in ("z", "eeg.z"):
        status, _, error = run(f"five.mat --source row --target {name}", capsys)
        assert status == 2
        assert "holds complex numbers, which are not binned" in error
    line = "seven.mat --source flag[0] --target flag[1:]"
    flags = (DATA > 0.5).astype(int)
    te = tefast.transfer_entropy(flags[:, 1:], flags[:, 0], 4)
    np.testing.assert_array_equal(scores(line, capsys)[0], te)


def test_matlab_packs_whole_doubles_into_bytes(capsys):
    """A double array that MATLAB stores as uint8 is still one of doubles, and binned."""
    pytest.importorskip("scipy")
    whole = np.rint(100 * DATA)

    def element(kind, data):
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    name = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", *whole.shape))
    name += element(1, b"d") + element(2, whole.astype(np.uint8).tobytes(order="F"))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    Path("packed.mat").write_bytes(header + struct.pack("<II", 14, len(name)) + name)
    te = tefast.transfer_entropy(whole[:, 1:], whole[:, 0], 4)
    np.testing.assert_array_equal(scores("packed.mat --source 0", capsys)[0], te)


def test_real_files_of_matlab():
    """Those that SciPy brings along for its own tests."""
    scipy_io = pytest.importorskip("scipy.io")
    where = Path(scipy_io.__file__).parent / "matlab" / "tests" / "data"
    if not where.exists():
        pytest.skip("SciPy was installed without its tests' files")
    matrix = np.zeros((3, 5))
    matrix[0], matrix[:, 0] = range(1, 6), range(1, 4)
    expected = {"testdouble": np.linspace(0, 2 * np.pi, 9), "testmatrix": matrix,
                "test3dmatrix": np.arange(1, 25).reshape(2, 3, 4, order="F"),
                "testsparse": None, "testhdf5": np.linspace(0, 2 * np.pi, 9)}  # fmt: skip
    tried = 0
    for name, value in expected.items():
        for path in where.glob(f"{name}_*.mat"):
            with recordings.opened(path) as found:
                array = found["testdouble" if name == "testhdf5" else name].whole()
            assert array.dtype == np.float64
            if value is not None:
                np.testing.assert_allclose(array, value, atol=1e-15)
            tried += 1
    assert tried > 10


def test_netcdf_is_decoded(capsys):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    packed = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 0.5, "_FillValue": -1}
    data = DATA.copy()
    data[9, 1] = np.nan
    times = {"time": np.arange(STEPS) * np.timedelta64(1, "h") + np.datetime64("2020-01-01", "ns")}
    station = xarray.Dataset({"v": (("time", "u"), data), "w": ("time", data[:, 0])}, times)
    for name, engine in (("packed.nc", "h5netcdf"), ("classic.nc", "scipy")):
        station.to_netcdf(name, engine=engine, encoding={"v": packed})
        decoded = xarray.load_dataset(name, engine=engine)["v"].to_numpy()
        te = tefast.transfer_entropy(decoded, data[:, 0], 4, nan_policy="omit")
        line = f"{name} --target v --source w --nan-policy omit"
        np.testing.assert_array_equal(scores(line, capsys)[0], te)
    station.to_netcdf("deep.nc", engine="h5netcdf", group="site/a")
    te = tefast.transfer_entropy(data, data[:, 0], 4, nan_policy="omit")
    line = "deep.nc --target site/a/v --source site/a/w --nan-policy omit"
    np.testing.assert_array_equal(scores(line, capsys)[0], te)


@pytest.mark.parametrize("kind", ["h5", "zarr"])
def test_packed_numbers_elsewhere_are_told(kind, capsys):
    if kind == "h5":
        with pytest.importorskip("h5py").File("p.h5", "w") as file:
            file["v"] = DATA
            file["v"].attrs.update({"scale_factor": 0.1, "_FillValue": -999.0})
    else:
        array = pytest.importorskip("zarr").create_array("p.zarr", data=DATA)
        array.attrs.update({"scale_factor": 0.1, "_FillValue": -999.0})
    status, rows, error = run(f"p.{kind} --source 0 {ESTIMATE}", capsys)
    assert status == 0
    assert "has the attribute scale_factor and _FillValue; its numbers are taken as they" in error
    np.testing.assert_array_equal([float(row["te"]) for row in rows], TE)


def test_anndata_has_layers_and_columns_of_cells(capsys):
    write_h5ad("d.h5ad", "csr")
    for target in ("X", "layers/counts", "counts"):
        line = f"d.h5ad --source obs/time --target {target}"
        found, names = scores(line, capsys)
        np.testing.assert_array_equal(found, tefast.transfer_entropy(DATA, DATA[:, 0], 4))
        assert names == NAMES
    found, _ = scores("d.h5ad --source kind", capsys)
    np.testing.assert_array_equal(found, tefast.transfer_entropy(DATA, LABELS[:, 0], 4))
    status, _, error = run("d.h5ad --source prize", capsys)
    assert status == 2
    assert (
        "d.h5ad holds no array 'prize', and no column 'prize' in X; did you mean 'price'?" in error
    )


def test_anndata_before_07(capsys):
    h5py = pytest.importorskip("h5py")
    with h5py.File("old.h5ad", "w") as file:
        file["X"] = DATA
        for part, index in (("obs", range(STEPS)), ("var", NAMES)):
            rows = np.array([(str(each).encode(),) for each in index], [("index", "S9")])
            file[part] = rows
    found, names = scores("old.h5ad --source price", capsys)
    np.testing.assert_array_equal(found, TE)
    assert names == NAMES[1:]


def test_nwb_by_the_names_of_its_series(capsys):
    with pytest.importorskip("h5py").File("r.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["acquisition/lfp/data"] = DATA[:, 1:]
        file["acquisition/stimulus/data"] = DATA[:, 0]
        file["specifications/core/namespace"] = "text"
    for source, target in (
        ("acquisition/stimulus/data", "acquisition/lfp/data"),
        ("/acquisition/stimulus", "/acquisition/lfp"),
        ("stimulus", "lfp"),
    ):
        found, _ = scores(f"r.nwb --source {source} --target {target}", capsys)
        np.testing.assert_array_equal(found, TE)
    assert _cli.main(["score", "r.nwb", "--list"]) == 0
    assert "specifications" not in capsys.readouterr().out


def test_fields_of_structured_arrays(capsys):
    rows = np.zeros(STEPS, [("y", "f8"), ("h", "f8", (3,)), ("n", "i8")])
    rows["y"], rows["h"], rows["n"] = DATA[:, 0], DATA[:, 1:], LABELS[:, 0]
    np.savez("s.npz", rows=rows)
    with pytest.importorskip("h5py").File("s.h5", "w") as file:
        file["rows"] = rows
    for name in ("s.npz", "s.h5"):
        found, names = scores(f"{name} --source y --target h", capsys)
        np.testing.assert_array_equal(found, TE)
        assert names == ["h[0]", "h[1]", "h[2]"]
        status, _, error = run(f"{name} --source h --target y", capsys)
        assert status == 2
        assert "--source takes one series, got column 'h' of rows, of shape (240, 3)" in error


def test_ragged_arrays_are_named_as_such(capsys):
    ragged = np.empty(2, object)
    ragged[:] = [DATA[:5, 1:], DATA[:7, 1:]]
    np.savez("r.npz", h=ragged, y=Y)
    np.save("r.npy", ragged)
    h5py = pytest.importorskip("h5py")
    with h5py.File("r.h5", "w") as file:
        file["y"] = Y
        file.create_dataset("h", (2,), h5py.vlen_dtype(float))[:] = [DATA[:5, 0], DATA[:7, 0]]
    for line in ("r.npz --target h --source y", "r.npy --source 0", "r.h5 --target h --source y"):
        status, _, error = run(line, capsys)
        assert status == 2
        assert "is an object array: its elements are sequences of unequal length" in error
        assert error.count("\n") == 1
    advice = error.partition('python -c "')[2].rpartition('"')[0].replace("FILE.npy", "r.npy")
    exec(advice, {})
    with np.load("filled.npz") as filled:
        np.testing.assert_array_equal(filled["lengths"], [5, 7])
        np.testing.assert_array_equal(filled["h"][1], ragged[1])
        np.testing.assert_array_equal(filled["h"][0, :5], ragged[0])
        assert not filled["h"][0, 5:].any()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty.csv is empty"),
        ("raw.bin", rng.random(99).tobytes(), "raw.bin is of no known kind"),
        ("raw.dat", rng.random(99).tobytes(), "np.fromfile('raw.dat', 'float32').reshape(-1, UN"),
        ("m.pkl", b"\x80\x04\x95\x00\x00\x00", "to convert it: python -c \"import pickle"),
        ("m.json", b"[\n1,\n2,\n3\n]\n", "import pandas; pandas.read_json('m.json')"),
        ("m.rds", b"\x00\x01X\x00", "Rscript -e \"write.csv(readRDS('m.rds')"),
        ("m.xls", b"\xd0\xcf\x11\xe0\x00", "open it in a spreadsheet program and save it as .xlsx"),
        ("m.raw", b"\x00\x01\x02", "np.fromfile('m.raw', 'float32').reshape(-1, UNITS)"),
        ("prose.txt", b"no table at all\nbut words\n", "cannot be read as a table of text"),
        ("one.csv", b"a,b\n", "one.csv cannot be read as a table of text: it has no rows"),
        ("uneven.csv", b"a,b\n1,2\n1,2,3,4\n", "uneven.csv cannot be read as a table of text: Err"),
        ("d.parquet", b"PAR1 and nothing more", "d.parquet cannot be read as a Parquet file"),
        ("d.feather", b"ARROW1 and nothing", "d.feather cannot be read as a Feather file"),
        ("d.mat", b"MATLAB 5.0 MAT-file".ljust(200), "d.mat cannot be read as a MATLAB file"),
        ("d.nc", b"CDF\x01" + bytes(40), "d.nc"),
        ("d.xlsx", b"PK\x03\x04 nothing", "d.xlsx cannot be read as a Excel workbook"),
        ("d.h5ad", b"\x89HDF\r\n\x1a\n" + bytes(40), "d.h5ad cannot be read as a HDF5 file"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read(name, content, message, capsys):
    for package in ("pandas", "pyarrow", "openpyxl", "scipy", "xarray", "h5py"):
        pytest.importorskip(package)
    Path(name).write_bytes(content)
    status, _, error = run(f"{name} --source 0", capsys)
    assert status == 2
    assert error.startswith("tefast: error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--source prize", "no column 'prize' in d; did you mean 'price'?"),
        ("--source 9", "no column '9' in d; it has price, a b, volume, d"),
        ("--source 0:2", "--source takes one column, got 2 of d"),
        ("--source price,d", "--source takes one column, got 2 of d"),
        ("--source price --target 1:b", "no column '1:b' in d; a range is START:STOP"),
        ("--source price --target 1,volume,1", "'1,volume,1' names a column of d twice"),
        ("--source price --target 2:2", "'2:2' takes none of the 4 columns of d"),
        ("--source d", "--source takes one column, got 4 of d"),
        ("--source price --target e[0]", "no column 'e[0]' in d"),
    ],
)
def test_columns_that_are_not_there(line, message, capsys):
    frame().to_csv("d.csv", index=False)
    status, _, error = run(f"d.csv {line}", capsys)
    assert status == 2
    assert message in error


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("pandas", "d.csv"), ("pandas", "d.xlsx"), ("openpyxl", "d.xlsx"), ("pyarrow", "d.parquet"),
        ("pyarrow", "d.feather"), ("scipy.io", "d.mat"), ("h5py", "d73.mat"), ("xarray", "d.nc"),
        ("h5netcdf", "d4.nc"), ("h5py", "d.h5ad"), ("scipy", "csr.h5ad"),
    ],
)  # fmt: skip
def test_packages_that_are_missing(package, name, capsys, monkeypatch):
    for each in ("pandas", "pyarrow", "openpyxl", "scipy.io", "xarray", "h5netcdf", "h5py"):
        pytest.importorskip(each)
    WRITERS[name](name)
    for part in [part for part in sys.modules if part.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.setitem(sys.modules, package, None)
    status, _, error = run(f"{name} --source 0", capsys)
    assert status == 2
    assert "this file needs " in error
    assert package.partition(".")[0] in error
    assert 'pip install "tefast[files]"' in error
    assert error.count("\n") == 1


def test_symbols_outside_name_the_option(capsys):
    np.save("d.npy", np.rint(2000 * DATA).astype(np.int16))
    status, _, error = run("d.npy --source 0", capsys)
    assert status == 2
    assert "holds integers, which are symbols 0 .. 15" in error
    assert "; --bin-integers bins integers as numbers" in error
    found, _ = scores("d.npy --source 0 --bin-integers", capsys)
    whole = np.rint(2000 * DATA)
    np.testing.assert_array_equal(found, tefast.transfer_entropy(whole[:, 1:], whole[:, 0], 4))


# What a table can hold, as a brute force of its own sees it: written by csv, read back.
CELLS = st.floats(-1e6, 1e6).map(repr)
NAME = st.text("abcdefgXYZ _-.", min_size=1, max_size=8).map(str.strip).filter(
    lambda name: name and name.lower() not in layout.MISSING
    and layout.is_header([name], [["1"]])
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    width=st.integers(2, 5),
    rows=st.integers(2, 6),
    header=st.booleans(),
)
def test_layouts_are_told(tmp_path_factory, data, separator, width, rows, header):
    pytest.importorskip("pandas")
    names = data.draw(st.lists(NAME, min_size=width, max_size=width, unique=True))
    cells = [[data.draw(CELLS) for _ in range(width)] for _ in range(rows)]
    path = tmp_path_factory.mktemp("layout") / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        if header:
            writer.writerow(names)
        writer.writerows(cells)
    with recordings.opened(path) as found:
        table = found["t"]
        assert table.names == (tuple(names) if header else None)
        read = np.stack(table.read(range(width)), axis=-1)
    np.testing.assert_array_equal(read, np.array(cells, float))


@settings(max_examples=100, deadline=None)
@given(
    units=st.integers(1, 6),
    parts=st.lists(
        st.one_of(st.integers(-6, 5), st.tuples(*[st.none() | st.integers(-6, 6)] * 2)), min_size=1,
        max_size=3,
    ),
)  # fmt: skip
def test_choices_of_columns(units, parts):
    array = np.arange(units * 10.0).reshape(10, units)
    holder = of_array("a", array)
    texts, places = [], []
    for part in parts:
        if isinstance(part, int):
            texts.append(str(part))
            places += [range(units)[part]] if -units <= part < units else [None]
        else:
            low, high = ("" if each is None else str(each) for each in part)
            texts.append(f"{low}:{high}")
            places += range(units)[slice(*part)]
    if None in places or not places or len(set(places)) < len(places):
        with pytest.raises((LookupError, ValueError), match=r"column|takes none"):
            columns(holder, ",".join(texts))
        return
    choice = columns(holder, ",".join(texts))
    assert choice.places == tuple(places)
    some = holder.columns(choice.places)
    np.testing.assert_array_equal(some.whole(), array[:, places])
    np.testing.assert_array_equal(some[2:7], array[2:7, places])
    assert some.shape == (10, len(places))


@settings(max_examples=80, deadline=None)
@given(
    axis=st.integers(-1, 2),
    places=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
    key=st.sampled_from([(), np.s_[1:3], np.s_[:, 2:4], np.s_[1:, 1:, :], np.s_[:2, :, 1:2]]),
)
def test_columns_along_any_axis(axis, places, key):
    array = np.arange(4.0 * 5 * 6).reshape(4, 5, 6)
    whole = [slice(None)] * 3
    for i, part in enumerate(key if isinstance(key, tuple) else (key,)):
        whole[i] = part if i != axis % 3 else slice(None)
    some = of_array("a", array).columns(places, axis)
    assert some.shape == np.take(array, places, axis).shape
    np.testing.assert_array_equal(some.whole(), np.take(array, places, axis))
    np.testing.assert_array_equal(some[tuple(whole)], np.take(array, places, axis)[tuple(whole)])
    one = of_array("a", array).column(places[0], axis)
    without = np.take(array, places[0], axis)
    assert one.shape == without.shape
    np.testing.assert_array_equal(one.whole(), without)
    lead = [part for i, part in enumerate(whole) if i != axis % 3]
    for n in range(3):
        np.testing.assert_array_equal(one[tuple(lead[:n])], without[tuple(lead[:n])])


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather", "xlsx"])
def test_labels_as_symbols(kind, capsys):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip({"csv": "pandas", "xlsx": "openpyxl"}.get(kind, "pyarrow"))
    words = np.array(["rest", "walk", "run"])
    table = pandas.DataFrame({"state": words[LABELS[:, 0] % 3], "other": words[LABELS[:, 1] % 3],
                              "code": 10 * LABELS[:, 2] - 7, "x": DATA[:, 0]})  # fmt: skip
    options = {} if kind == "feather" else {"index": False}
    getattr(table, {"xlsx": "to_excel"}.get(kind, f"to_{kind}"))(f"s.{kind}", **options)
    line = f"s.{kind} --binning symbols --significance none --quiet --source"
    expected = {
        "state --target other": (LABELS[:, 1] % 3, LABELS[:, 0] % 3, 3),
        "other --target code": (LABELS[:, 2], LABELS[:, 1] % 3, 4),
    }
    for chosen, (h, y, bins) in expected.items():
        status, rows, error = run(f"{line} {chosen}", capsys)
        assert (status, error) == (0, "")
        te = tefast.transfer_entropy(h, y, bins)
        np.testing.assert_allclose(float(rows[0]["te"]), te, rtol=1e-12)
    gaps = table.astype({"state": object, "code": "Int64"})
    gaps.loc[5, ["state", "code"]] = None
    getattr(gaps, {"xlsx": "to_excel"}.get(kind, f"to_{kind}"))(f"s.{kind}", **options)
    y, h = LABELS[:, 0].astype(float) % 3, LABELS[:, 1:].astype(float)
    y[5] = h[5, 1] = np.nan
    h[:, 0] %= 3
    te = tefast.transfer_entropy(h, y, binning="symbols", nan_policy="omit")
    found, _ = scores(f"{line} state --target other,code --nan-policy omit", capsys)
    np.testing.assert_allclose(found, te, rtol=1e-12)


def test_names_go_before_places():
    found = Recordings({"a": of_array("a", DATA, names=("1", "x,y", "p:q", "[z]"))})
    for text, places in (
        ("1", (0,)),
        ("x,y", (1,)),
        ("p:q", (2,)),
        ("a[p:q]", (2,)),
        ("[z]", (3,)),
    ):
        assert choose(found, text, Path("f"), "--target").places == places
    twice = Recordings({"a": of_array("a", DATA, names=("x", "x", "y", "z"))})
    with pytest.raises(ValueError, match="a has several columns 'x': choose by place"):
        choose(twice, "x", Path("f"), "--target")


def test_nothing_is_loaded_that_is_not_needed(folder):
    import subprocess

    np.save("d.npy", DATA)
    code = (
        "import sys; from tefast import _cli; "
        f"status = _cli.main('score d.npy --source 0 {ESTIMATE}'.split()); "
        "known = {'pandas', 'pyarrow', 'openpyxl', 'xarray', 'h5py', 'h5netcdf', 'scipy'}; "
        "print(known & set(sys.modules), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_files_are_closed(folder):
    h5py = pytest.importorskip("h5py")
    WRITERS["d.h5"]("d.h5")
    with ExitStack() as stack:
        stack.enter_context(recordings.opened(Path("d.h5")))
    with h5py.File("d.h5", "a") as file:  # which fails while another has it open
        file["more"] = 1
    with gzip.open("d.json.gz", "wt") as file:
        json.dump([1], file)
