"""Tables of pandas and polars: a column a unit, whose names come back with the scores."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

import tefast
from tefast._inputs import values
from tefast._inputs.kinds import unit_names

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")

rng = np.random.default_rng(0)
T = 80
H = rng.random((T, 3))
Y = rng.random(T)
SYMBOLS = rng.integers(0, 3, (T, 3))
SOURCE = rng.integers(0, 3, T)
GONE = rng.random((T, 3)) < 0.1
NAMES = ["rate", "speed", "load"]
OMIT = {"nan_policy": "omit"}

BESIDE = ("transfer_entropy", "reverse_transfer_entropy", "mutual_information")
ALONE = ("entropy", "active_information", "entropy_rate")


def in_pandas(array):
    return pandas.DataFrame(array, columns=NAMES, index=pandas.RangeIndex(100, 100 + T))


def in_polars(array):
    return polars.DataFrame(array, schema=NAMES)


def scores(result):
    """The numbers and the names of scores of either kind."""
    if isinstance(result, pandas.Series):
        return result.to_numpy(), list(result.index)
    assert isinstance(result, polars.DataFrame)
    return result.to_numpy()[0], result.columns


@pytest.mark.parametrize("table", [in_pandas, in_polars])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_columns_are_units(table, dtype, backend):
    floats = dtype.startswith("f")
    h, y = (H, Y) if floats else (SYMBOLS, SOURCE)
    bins = 2 if dtype == "bool" else 3
    h, y = h.astype(dtype), y.astype(dtype)
    for name in (*BESIDE, *ALONE):
        beside = (y,) if name in BESIDE else ()
        found = getattr(tefast, name)(table(h), *beside, bins, backend=backend)
        expected = getattr(tefast, name)(h, *beside, bins, backend=backend)
        numbers, names = scores(found)
        np.testing.assert_array_equal(numbers, expected)
        assert names == unit_names(found) == NAMES


def test_sources_may_be_series():
    expected = tefast.transfer_entropy(H, Y, 3)
    for y in (pandas.Series(Y), polars.Series("y", Y), pandas.Index(Y), pandas.array(Y)):
        np.testing.assert_array_equal(tefast.transfer_entropy(H, y, 3), expected)
        z = tefast.conditional_transfer_entropy(H, SOURCE, y, 3)
        np.testing.assert_array_equal(z, tefast.conditional_transfer_entropy(H, SOURCE, Y, 3))
    both = tefast.conditional_transfer_entropy(in_polars(H), Y, in_pandas(H), 2)
    np.testing.assert_array_equal(scores(both)[0], tefast.conditional_transfer_entropy(H, Y, H, 2))


def test_series_give_scalars():
    for h in (pandas.Series(H[:, 0], name="rate"), polars.Series("rate", H[:, 0])):
        found = tefast.transfer_entropy(h, Y, 3)
        assert isinstance(found, np.float64)
        assert found == tefast.transfer_entropy(H[:, 0], Y, 3)


def test_steps_keep_their_rows_and_columns():
    expected = tefast.local_transfer_entropy(H, Y, 3, delay=2)
    found = tefast.local_transfer_entropy(in_pandas(H), Y, 3, delay=2)
    np.testing.assert_array_equal(found, expected)
    assert list(found.columns) == NAMES
    assert list(found.index) == list(range(102, 100 + T))
    one = tefast.local_transfer_entropy(in_pandas(H)["speed"], Y, 3, delay=2)
    assert (one.name, list(one.index)) == ("speed", list(range(102, 100 + T)))
    np.testing.assert_array_equal(one, expected[:, 1])
    frame = tefast.local_transfer_entropy(in_polars(H), Y, 3, delay=2)
    assert frame.columns == NAMES
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    series = tefast.local_transfer_entropy(in_polars(H)["speed"], Y, 3, delay=2)
    assert isinstance(series, polars.Series)
    assert (series.name, series.to_list()) == ("speed", expected[:, 1].tolist())


@pytest.mark.parametrize("table", [in_pandas, in_polars])
def test_patterns_follow_the_rows(table):
    found = tefast.ordinal_patterns(table(H), 3)
    np.testing.assert_array_equal(found, tefast.ordinal_patterns(H, 3, axis=0))
    assert list(found.columns) == NAMES
    scores = tefast.transfer_entropy(found, tefast.ordinal_patterns(Y, 3), 6)
    assert unit_names(scores) == NAMES


@pytest.mark.parametrize("table", [in_pandas, in_polars])
def test_significance_and_streams_keep_names(table):
    found = tefast.significance(table(H), Y, 3, surrogates=9)
    expected = tefast.significance(H, Y, 3, surrogates=9)
    for name in ("te", "p_value", "q_value", "standard_error"):
        numbers, names = scores(getattr(found, name))
        np.testing.assert_array_equal(numbers, getattr(expected, name))
        assert names == NAMES
    frame = found.to_frame()
    assert list(frame.index) == NAMES
    np.testing.assert_array_equal(frame.q_value, expected.q_value)
    assert repr(found).replace(NAMES[int(expected.te.argmax())], "") != repr(found)
    for rows in (7, None):
        numbers, names = scores(tefast.stream(table(H), Y, 3, rows=rows).compute())
        np.testing.assert_array_equal(numbers, tefast.transfer_entropy(H, Y, 3))
        assert names == NAMES
    one = tefast.stream(table(H)["speed"], Y, 3).compute()
    assert (len(one), one.to_numpy()) == (1, tefast.transfer_entropy(H[:, 1], Y, 3))
    edges = tefast.learn_edges(table(H), 3)
    np.testing.assert_array_equal(edges, tefast.learn_edges(H, 3))


def test_tables_of_one_type_are_not_copied():
    for array in (H, SYMBOLS, H.astype(np.float32)):
        table = pandas.DataFrame(array, columns=NAMES)
        assert np.shares_memory(values.target(table).array, table.to_numpy())
        column = polars.Series("rate", array[:, 0])
        assert np.shares_memory(values.target(column).array, column.to_numpy())
    frame = polars.DataFrame(np.asfortranarray(H), schema=NAMES)
    assert np.shares_memory(values.target(frame).array, frame.to_numpy())


def test_tables_are_never_changed():
    for table in (in_pandas, in_polars):
        before, given = table(H), table(H)
        tefast.significance(given, Y, 3, surrogates=3)
        assert before.equals(given)


def test_other_layouts_of_tables():
    trials = pandas.DataFrame(H.T)  # three trials in rows
    y = rng.random((3, T))
    found = tefast.transfer_entropy(trials, y, 3, layout="NT")
    assert isinstance(found, np.float64)
    assert found == tefast.transfer_entropy(H.T, y, 3)
    genes = pandas.DataFrame(H.T, index=NAMES)
    named = tefast.transfer_entropy(genes, Y, 3, layout="UT")
    assert list(named.index) == NAMES
    np.testing.assert_array_equal(named, tefast.transfer_entropy(H, Y, 3))
    with pytest.raises(ValueError, match=r"layout='UT' reads it as 80 steps of 3 units"):
        tefast.transfer_entropy(genes, Y, 3)


# Values that are not there.


def test_missing_floats_are_nan():
    gaps = np.where(GONE, np.nan, H)
    expected = tefast.transfer_entropy(gaps, Y, 3, **OMIT)
    nullable = pandas.DataFrame(gaps, columns=NAMES).astype("Float64")
    assert {str(dtype) for dtype in nullable.dtypes} == {"Float64"}
    nothing = polars.DataFrame(
        {name: [None if np.isnan(x) else x for x in gaps[:, i]] for i, name in enumerate(NAMES)}
    )
    assert nothing.null_count().sum_horizontal().item() == GONE.sum()
    for table in (pandas.DataFrame(gaps, columns=NAMES), nullable, nothing, in_polars(gaps)):
        found = tefast.transfer_entropy(table, Y, 3, **OMIT)
        np.testing.assert_array_equal(scores(found)[0], expected)
        with pytest.raises(ValueError, match=f"must hold no NaN, got {GONE.sum()}, the first at h"):
            tefast.transfer_entropy(table, Y, 3)


def integers_with_gaps(kind):
    """Symbols, some of them missing, in the types that hold such."""
    columns = [
        [None if gone else int(x) for x, gone in zip(*pair, strict=True)]
        for pair in zip(SYMBOLS.T, GONE.T, strict=True)
    ]
    made = dict(zip(NAMES, columns, strict=True))
    if kind == "polars":
        return polars.DataFrame(made)
    if kind == "enum":
        letters = {name: [None if x is None else "abc"[x] for x in made[name]] for name in NAMES}
        return polars.DataFrame(letters, schema=dict.fromkeys(NAMES, polars.Enum(["a", "b", "c"])))
    if kind == "category":
        return pandas.DataFrame(
            {name: pandas.Categorical(made[name], categories=[0, 1, 2]) for name in NAMES}
        )
    if kind == "arrow":
        pytest.importorskip("pyarrow")
        kind = "int16[pyarrow]"
    return pandas.DataFrame({name: pandas.array(made[name], dtype=kind) for name in NAMES})


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "arrow", "category", "polars", "enum"])
def test_missing_integers_are_left_out(kind, backend):
    table = integers_with_gaps(kind)
    expected = tefast.transfer_entropy(
        np.ma.array(SYMBOLS, mask=GONE), SOURCE, 3, backend=backend, **OMIT
    )
    found = tefast.transfer_entropy(table, SOURCE, 3, backend=backend, **OMIT)
    numbers, names = scores(found)
    np.testing.assert_array_equal(numbers, expected)
    assert names == NAMES
    message = (
        rf"must have all its values, got {GONE.sum()} missing ones, .*column 'load'|speed|rate"
    )
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(table, SOURCE, 3, backend=backend)


def test_nullable_tables_without_gaps():
    ints, floats, bools = (
        pandas.DataFrame(array, columns=NAMES).convert_dtypes()
        for array in (SYMBOLS, H, SYMBOLS > 0)
    )
    assert str(bools.dtypes.iloc[0]) == "boolean"
    for table, array in ((ints, SYMBOLS), (floats, H), (bools, SYMBOLS > 0)):
        found = tefast.mutual_information(table, SOURCE, 3)
        np.testing.assert_array_equal(found, tefast.mutual_information(array, SOURCE, 3))
    gaps = bools.mask(pandas.DataFrame(GONE, columns=NAMES))
    expected = tefast.entropy(np.ma.array(SYMBOLS > 0, mask=GONE), 2, **OMIT)
    np.testing.assert_array_equal(tefast.entropy(gaps, 2, **OMIT), expected)
    there = polars.DataFrame({"a": [True, None, False, True] * 9})
    expected = tefast.entropy(np.array([1, 0, 1] * 9), 2)
    assert tefast.entropy(there, 2, **OMIT)["a"].item() == pytest.approx(expected, abs=1e-13)


def test_categories_are_symbols():
    words = np.array(["rest", "jump", "move"])[SYMBOLS]
    table = pandas.DataFrame(words, columns=NAMES).astype("category")
    codes = np.stack([table[name].cat.codes for name in NAMES], axis=1)
    np.testing.assert_array_equal(
        tefast.transfer_entropy(table, SOURCE, 3), tefast.transfer_entropy(codes, SOURCE, 3)
    )
    cut = pandas.DataFrame({name: pandas.cut(H[:, i], 3) for i, name in enumerate(NAMES)})
    same = tefast.entropy(H, 3, h_range=(H.min(0), H.max(0)))
    np.testing.assert_allclose(tefast.entropy(cut, 3), same, atol=0.1)
    for first in ("zebra", "aardvark"):  # whatever categories other columns have
        polars.Series([first], dtype=polars.Categorical)
        frame = polars.DataFrame(words, schema=NAMES).cast(polars.Categorical)
        np.testing.assert_allclose(
            scores(tefast.transfer_entropy(frame, SOURCE, 3))[0],
            tefast.transfer_entropy(codes, SOURCE, 3),
            atol=1e-13,
        )


def test_columns_of_several_types():
    narrow = pandas.DataFrame(
        {"a": SYMBOLS[:, 0].astype(np.uint8), "b": SYMBOLS[:, 1], "c": SYMBOLS[:, 2] > 0}
    )
    expected = tefast.transfer_entropy(np.column_stack([*SYMBOLS.T[:2], SYMBOLS[:, 2] > 0]), Y, 3)
    np.testing.assert_array_equal(tefast.transfer_entropy(narrow, Y, 3), expected)
    unsigned = pandas.DataFrame({"a": SYMBOLS[:, 0].astype(np.uint64), "b": SYMBOLS[:, 1]})
    np.testing.assert_array_equal(
        tefast.transfer_entropy(unsigned, Y, 3), tefast.transfer_entropy(SYMBOLS[:, :2], Y, 3)
    )
    floats = polars.DataFrame({"a": H[:, 0].astype(np.float32), "b": H[:, 1]})
    both = np.column_stack([H[:, 0].astype(np.float32), H[:, 1]])
    np.testing.assert_array_equal(
        scores(tefast.transfer_entropy(floats, Y, 3))[0], tefast.transfer_entropy(both, Y, 3)
    )
    holed = pandas.DataFrame({"a": pandas.arrays.SparseArray(SYMBOLS[:, 0]), "b": SYMBOLS[:, 1]})
    np.testing.assert_array_equal(
        tefast.transfer_entropy(holed, Y, 3), tefast.transfer_entropy(SYMBOLS[:, :2], Y, 3)
    )
    twins = pandas.DataFrame(H, columns=["a", "a", "b"])
    assert list(tefast.entropy(twins, 3).index) == ["a", "a", "b"]
    wide = pandas.DataFrame({"a": np.array([2**64 - 1] * T, np.uint64), "b": -SYMBOLS[:, 1]})
    with pytest.raises(TypeError, match="negative integers and 18446744073709551615"):
        tefast.transfer_entropy(wide, Y, 3)


# What is refused, by the name of its column.


def with_column(values):
    return pandas.DataFrame({"rate": H[:, 0], "what": values})


DATES = pandas.date_range("2026-01-01", periods=T)
REFUSED = [
    (DATES, r"column 'what' of h \(target\) holds dates .*leave them out"),
    (DATES.tz_localize("UTC"), "column 'what' .* holds dates"),
    (DATES - DATES[0], "column 'what' .* holds time differences"),
    (DATES.to_period("D"), r"column 'what' .* holds period\[D\], .*astype\('category'\)"),
    (pandas.interval_range(0, T), r"column 'what' .* holds interval"),
    ([Decimal(1)] * T, "column 'what' .* objects of type Decimal; convert them"),
    ([datetime.date(2026, 1, 1)] * T, "column 'what' .* objects of type date; leave them out"),
    (H[:, 0] * 1j, "column 'what' .* complex numbers; take their real part"),
    (pandas.Series([1.5, None] * (T // 2), dtype=object), "column 'what' .* of type float; conv"),
    (pandas.Series([[1]] * T), "column 'what' .* of type list"),
    (SOURCE, r"floats \(column 'rate'\) and integers \(column 'what'\); .* cannot be mixed"),
    (["rest"] * T, r"floats \(column 'rate'\) and labels \(column 'what'\)"),
    (pandas.Categorical(["rest"] * T), r"floats \(column 'rate'\) and integers \(column 'what'\)"),
]


@pytest.mark.parametrize(("column", "message"), REFUSED)
def test_columns_that_are_refused(column, message):
    with pytest.raises(TypeError, match=message):
        tefast.transfer_entropy(with_column(column), Y)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (polars.Series([Decimal("1.5")] * T), r"holds Decimal.*cast it to Float64"),
        (polars.Series([2**100] * T, dtype=polars.Int128), "holds Int128, which NumPy lacks"),
        (polars.Series([datetime.datetime(2026, 1, 1)] * T), "holds Datetime.*leave it out"),
        (polars.Series([[1, 2]] * T), r"holds List\(Int64\)"),
        (polars.Series([None] * T), "holds Null"),
        (polars.Series(["rest"] * T), r"floats \(column 'rate'\) and labels \(column 'what'\)"),
    ],
)
def test_columns_of_polars_that_are_refused(column, message):
    table = polars.DataFrame({"rate": H[:, 0], "what": column})
    with pytest.raises(TypeError, match=message):
        tefast.transfer_entropy(table, Y)
    alone = message.partition("\\(column")[0] if "floats" not in message else "holds labels"
    with pytest.raises(TypeError, match=alone):
        tefast.transfer_entropy(H, column)


def test_labels_are_named_by_their_column():
    words = np.array(["rest", "move"])[SYMBOLS % 2].astype(object)
    words[3, 1] = None
    for table in (pandas.DataFrame(words, columns=NAMES), polars.DataFrame(words, schema=NAMES)):
        found = values.target(table)
        assert found.is_labels
        assert np.flatnonzero(found.missing[0, :, 1]).tolist() == [3]
        message = (
            r"h \(target\) holds labels, such as h.*\[0, 0\] \(column 'rate'\) = '(rest|move)'"
        )
        with pytest.raises(TypeError, match=message):
            tefast.transfer_entropy(table, Y)
    strings = pandas.DataFrame(words, columns=NAMES, dtype="string")
    codes = np.ma.array(SYMBOLS % 2, mask=words == None)  # noqa: E711
    expected = tefast.transfer_entropy(codes, SOURCE, 3, **OMIT)
    for table in (in_pandas(words), in_polars(words), strings):
        found = tefast.transfer_entropy(table, SOURCE, binning="symbols", **OMIT)
        numbers, names = scores(found)
        np.testing.assert_allclose(numbers, expected, rtol=0, atol=1e-13)
        assert names == NAMES


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tefast.transfer_entropy(in_polars(H).lazy(), Y), TypeError, r"collect\(\) it"),
        (lambda: tefast.transfer_entropy(in_pandas(H), pandas.Series(Y)), ValueError,
         r"y \(source\) has another index than h \(target\), .* reindex one by the other"),
        (lambda: tefast.transfer_entropy(in_pandas(H), in_pandas(H)), ValueError,
         r"80 steps of 3 units .*; y is one series: pass one column .*, such as y\['rate'\]"),
        (lambda: tefast.transfer_entropy(in_polars(H), in_polars(H)), ValueError,
         r"pass one column of the table, such as y\['rate'\]"),
        (lambda: tefast.transfer_entropy(H[:, :1], in_pandas(H)[["load"]]), ValueError,
         r"such as y\['load'\]"),
        (lambda: tefast.entropy(in_pandas(H)[[]]), ValueError, r"empty axis: shape \(80, 0\)"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_trials_in_the_index_are_no_single_series():
    index = pandas.MultiIndex.from_product([range(4), range(20)], names=["trial", "time"])
    x, y = pandas.DataFrame(H, columns=NAMES, index=index), pandas.Series(Y, index=index)
    message = r"an index of several levels \(trial, time\), .* (\[part.* in x.groupby\(level=0\)\])"
    with pytest.raises(ValueError, match=message) as raised:
        tefast.transfer_entropy(x, y)
    advice = raised.match(message) and str(raised.value).partition("sequence: ")[2]
    h, y = eval(advice, {"x": x}), eval(advice, {"x": y})
    found = tefast.transfer_entropy(h, y, 3)
    assert list(found.index) == NAMES
    np.testing.assert_array_equal(
        found, tefast.transfer_entropy(H.reshape(4, 20, 3), Y.reshape(4, 20), 3)
    )


def test_names_of_units():
    xarray = pytest.importorskip("xarray")
    named = xarray.DataArray([1.0, 2.0], dims="unit", coords={"unit": ["a", "b"]})
    assert unit_names(named) == ["a", "b"]
    for bare in (named.drop_vars("unit"), np.zeros(2), np.float64(1.0)):
        assert unit_names(bare) is None
