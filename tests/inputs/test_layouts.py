"""Axes in any order: a layout gives the numbers of the default one, and a wrong one says so."""

import re
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast._inputs import layouts, values

torch = pytest.importorskip("torch")

rng = np.random.default_rng(0)
N, T, U = 7, 11, 5
H = rng.random((N, T, U)).astype(np.float32)
Y = rng.random((N, T))
Z = rng.random((N, T, 2))
STEPS = rng.random((N, T)) < 0.9
SOME = rng.random((N, T, U)) < 0.9
LENGTHS = rng.integers(4, T + 1, N)

THREE = ["".join(order) for order in permutations("NTU")]
ALL = [*THREE, "TU", "UT", "NT", "TN", "T"]

BESIDE = (
    "transfer_entropy",
    "normalized_transfer_entropy",
    "reverse_transfer_entropy",
    "mutual_information",
    "local_transfer_entropy",
)
ALONE = ("entropy", "active_information", "entropy_rate")


def cut(array, layout, letters="NTU"):
    """An array (N, T, U) in a layout; of an axis that this lacks the first position."""
    kept = array[tuple(slice(None) if letter in layout else 0 for letter in letters)]
    left = [letter for letter in letters if letter in layout]
    return kept.transpose([left.index(letter) for letter in layout if letter in left])


def inputs(layout):
    """Target, source, conditions, a mask of steps and one of values, and lengths, in a layout."""
    series = layout.replace("U", "")
    lengths = LENGTHS if "N" in layout else LENGTHS[:1]
    return (
        cut(H, layout),
        cut(Y, series, "NT"),
        np.moveaxis(np.stack([cut(Z[..., i], series, "NT") for i in range(2)]), 0, -1),
        cut(STEPS, series, "NT"),
        cut(SOME, layout),
        lengths,
    )


def default(layout):
    """The same data with all axes, in the default's order."""
    some = tuple(slice(None) if letter in layout else slice(0, 1) for letter in "NTU")
    # Where a target has no units, its mask is one of all inputs.
    values_mask = SOME[some] if "U" in layout else SOME[some][..., 0]
    return H[some], Y[some[:2]], Z[some[:2]], STEPS[some[:2]], values_mask, LENGTHS[some[0]]


def plain(result, layout):
    """A result of the default's order as one of a layout: scores, or values of steps."""
    result = np.asarray(result)
    if result.ndim == 3:
        return cut(result, layout)
    return result if "U" in layout else result[0]


@pytest.mark.parametrize("layout", ALL)
@pytest.mark.parametrize("name", BESIDE)
def test_a_source_beside_a_target_in_any_layout(name, layout, backend):
    measure = getattr(tefast, name)
    (h, y, _, steps, some, lengths), full = inputs(layout), default(layout)
    for mask, full_mask in ((None, None), (steps, full[3]), (some, full[4])):
        options = {"bins": 3, "backend": backend}
        found = measure(h, y, layout=layout, lengths=lengths, mask=mask, **options)
        expected = measure(*full[:2], lengths=full[5], mask=full_mask, **options)
        np.testing.assert_array_equal(found, plain(expected, layout))


@pytest.mark.parametrize("layout", ALL)
@pytest.mark.parametrize("name", ALONE)
def test_a_target_alone_in_any_layout(name, layout, backend):
    measure = getattr(tefast, name)
    (h, _, _, steps, some, lengths), full = inputs(layout), default(layout)
    for mask, full_mask in ((steps, full[3]), (some, full[4])):
        options = {"bins": 3, "backend": backend}
        found = measure(h, layout=layout, lengths=lengths, mask=mask, **options)
        expected = measure(full[0], lengths=full[5], mask=full_mask, **options)
        np.testing.assert_array_equal(found, plain(expected, layout))


@pytest.mark.parametrize("layout", ALL)
def test_conditions_edges_and_significance(layout):
    (h, y, z, _, _, lengths), full = inputs(layout), default(layout)
    options = {"bins": 3, "layout": layout, "lengths": lengths}
    for one, whole in ((z, full[2]), (z[..., 0], full[2][..., 0])):
        found = tefast.conditional_transfer_entropy(h, y, one, **options)
        expected = tefast.conditional_transfer_entropy(*full[:2], whole, 3, lengths=full[5])
        np.testing.assert_array_equal(found, plain(expected, layout))
    edges = tefast.learn_edges(h, **options)
    np.testing.assert_array_equal(edges, tefast.learn_edges(full[0], 3, lengths=full[5]))
    few = {"surrogates": 9, "method": "shuffle", "alpha": 0.9}  # few, which is all the same here
    found = tefast.significance(h, y, **few, **options)
    expected = tefast.significance(*full[:2], 3, lengths=full[5], **few)
    for name in ("te", "p_value", "q_value", "null_std", "standard_error"):
        np.testing.assert_array_equal(
            getattr(found, name), plain(getattr(expected, name), layout), strict=True
        )


@pytest.mark.parametrize("layout", ALL)
def test_streams_in_any_layout(layout, monkeypatch):
    (h, y, _, steps, _, lengths), full = inputs(layout), default(layout)
    limits = {"h_range": (0, 1), "y_range": (0, 1)}
    whole = tefast.TransferEntropy(full[0].shape[2], 3, **limits)
    whole.update(full[0], full[1], full[5], full[3])
    part = tefast.TransferEntropy(full[0].shape[2], 3, **limits)
    part.update(h, y, lengths, steps, layout)
    np.testing.assert_array_equal(part.counts, whole.counts)
    assert part.compute().shape == (full[0].shape[2],)  # it was told how many units there are
    whole.reset()
    whole.update(*full[:2], full[5])
    for rows in (1, 3, None):
        found = tefast.stream(h, y, 3, lengths=lengths, rows=rows, layout=layout, **limits)
        np.testing.assert_array_equal(found.counts, whole.counts)
    ranged = tefast.find_ranges(h, y, rows=2, layout=layout)
    np.testing.assert_array_equal(ranged["h_range"][0], full[0].min(axis=(0, 1)))
    entropy = tefast.Entropy(full[0].shape[2], 3, h_range=(0, 1))
    entropy.update_from(h, lengths, layout=layout)
    entropy.update(h, lengths, layout=layout)
    twice = tefast.Entropy(full[0].shape[2], 3, h_range=(0, 1))
    twice.update(full[0], full[5])
    np.testing.assert_array_equal(entropy.counts, 2 * twice.counts)


@settings(max_examples=50, deadline=None)
@given(
    layout=st.sampled_from(ALL),
    sizes=st.tuples(st.integers(1, 4), st.integers(2, 7), st.integers(1, 4)),
    seed=st.integers(0, 99),
)
def test_any_sizes(layout, sizes, seed):
    local = np.random.default_rng(seed)
    h, y = local.integers(0, 2, sizes), local.integers(0, 2, sizes[:2])
    mine = cut(h, layout), cut(y, layout.replace("U", ""), "NT")
    some = tuple(slice(None) if letter in layout else slice(0, 1) for letter in "NTU")
    found = tefast.local_transfer_entropy(*mine, 2, layout=layout)
    expected = tefast.local_transfer_entropy(h[some], y[some[:2]], 2)
    np.testing.assert_array_equal(found, cut(expected, layout), strict=True)


@pytest.mark.parametrize("layout", ALL)
def test_axes_are_moved_without_a_copy(layout):
    h, y, *_ = inputs(layout)
    target, source = values.read(h, y, layout)
    assert np.shares_memory(target.array, H)
    assert np.shares_memory(source.array, Y)
    assert target.array.ndim == source.array.ndim == 3
    tensor = torch.from_numpy(H)
    moved = layouts.moved(tensor.permute(2, 0, 1), "UNT")
    assert moved.data_ptr() == tensor.data_ptr()
    assert moved.shape == tensor.shape


@pytest.mark.parametrize("layout", ALL)
def test_positions_are_the_callers(layout):
    h, y, *_ = inputs(layout)
    target, _ = values.read(h, y, layout)
    numbers = np.arange(h.size).reshape(h.shape)
    for flat, number in enumerate(layouts.moved(numbers, layout).ravel()):
        where = [int(i) for i in np.unravel_index(number, h.shape)]
        assert target.index(flat) == f"h{where}"


def test_tensors_in_any_layout():
    h, y = torch.from_numpy(H), torch.from_numpy(Y)
    expected = tefast.local_transfer_entropy(H, Y, 3)
    found = tefast.local_transfer_entropy(h.permute(2, 0, 1), y, 3, layout="UNT")
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, expected.transpose(2, 0, 1))


def test_two_series_of_one_shape_are_one_unit(backend):
    expected = tefast.transfer_entropy(H[..., :1], Y, 3, backend=backend)[0]
    found = tefast.transfer_entropy(H[..., 0], Y, 3, backend=backend)
    assert isinstance(found, np.float64)
    assert found == expected
    assert tefast.transfer_entropy(H[..., 0], Y, 3, layout="NT", backend=backend) == expected
    local = tefast.local_transfer_entropy(H[..., 0], Y, 3, backend=backend)
    np.testing.assert_array_equal(
        local, tefast.local_transfer_entropy(H[..., :1], Y, 3, backend=backend)[..., 0]
    )


def test_the_same_array_twice_is_no_pair():
    # All pairs of columns were meant, most likely; against itself every score is 0.
    with pytest.raises(ValueError, match=r"was read as 7 steps of 11 units \(layout='TU'\)"):
        tefast.transfer_entropy(Y, Y)
    shared = tefast.mutual_information(Y, Y, 3, layout="NT")
    assert shared == pytest.approx(tefast.entropy(Y, 3, layout="NT"), abs=1e-13)


SCALARS = {
    "transfer_entropy": ("h", "y"),
    "conditional_transfer_entropy": ("h", "y", "z"),
    "normalized_transfer_entropy": ("h", "y"),
    "reverse_transfer_entropy": ("h", "y"),
    "mutual_information": ("h", "y"),
    "active_information": ("h",),
    "entropy_rate": ("h",),
    "entropy": ("h",),
}


@pytest.mark.parametrize("name", SCALARS)
def test_one_series_gives_a_scalar(name, backend):
    given = {"h": H[0, :, 0], "y": Y[0], "z": Z[0, :, 0]}
    arrays = [given[role] for role in SCALARS[name]]
    found = getattr(tefast, name)(*arrays, 3, backend=backend)
    assert isinstance(found, np.float64)
    assert f"{found:.3f}" == f"{float(found):.3f}"
    assert found.item() == found
    tensors = [torch.tensor(array) for array in arrays]
    tensor = getattr(tefast, name)(*tensors, 3, backend=backend)
    assert isinstance(tensor, torch.Tensor)
    assert (tensor.shape, tensor.dtype) == ((), torch.float64)
    assert f"{tensor:.3f}" == f"{found:.3f}"
    full = [array.reshape(1, T, *([1] if role == "h" else [])) for role, array in given.items()]
    expected = getattr(tefast, name)(*full[: len(arrays)], 3, backend=backend)
    np.testing.assert_array_equal(found, expected[0])


def test_significance_of_one_series():
    found = tefast.significance(H[0, :, 0], Y[0], 3, surrogates=9)
    for name in ("te", "p_value", "q_value", "null_mean", "effective_te", "standard_error"):
        assert isinstance(getattr(found, name), np.float64)
    tensors = tefast.significance(torch.from_numpy(H[0, :, 0]), Y[0], 3, surrogates=9)
    assert tensors.p_value.shape == ()
    assert tensors.p_value.item() == found.p_value
    for each in (found, tensors):
        assert "1 unit\n" in repr(each)
        np.testing.assert_array_equal(each.to_frame().te, [found.te])


@pytest.mark.parametrize(
    ("layout", "error", "message"),
    [
        (3, TypeError, "layout must be a string such as 'NTU', got 3"),
        ("NTX", ValueError, r"N \(sequences\), T \(steps\) or U \(units\).*; got 'NTX'"),
        ("ntu", ValueError, "one letter for each axis.*; got 'ntu'"),
        ("NTT", ValueError, "none twice.*; got 'NTT'"),
        ("NU", ValueError, "T among them.*; got 'NU'"),
        ("", ValueError, "T among them.*; got ''"),
        ("TU", ValueError, r"layout='TU' has 2 letters, but h \(target\) of shape \(7, 11, 5\) h"),
    ],
)
@pytest.mark.parametrize("name", ["transfer_entropy", "entropy", "significance", "stream"])
def test_wrong_layouts(name, layout, error, message):
    given = (H,) if name == "entropy" else (H, Y)
    with pytest.raises(error, match=message):
        getattr(tefast, name)(*given, layout=layout)


X = np.zeros
SHAPES = [
    # exchanged
    (X(40), X((40, 6)), {}, "were they exchanged? The target h comes first, then the source y"),
    (X((6, 40)), X((6, 40, 3)), {}, "were they exchanged?"),
    # transposed
    (X((6, 40)), X(40), {}, "layout='UT' reads it as 40 steps of 6 units; so does h.T"),
    # trials in the first axis
    (X((6, 40)), X((6, 40)), {"layout": "TU"}, "layout='NT' reads it as 6 sequences of 40 steps"),
    # channels before time
    (X((6, 3, 40)), X((6, 40)), {}, "layout='NUT' reads it as 6 sequences of 40 steps of 3 units"),
    (X((3, 6, 40)), X((6, 40)), {}, "layout='UNT' reads it as 6 sequences of 40 steps of 3 units"),
    (X((6, 40, 3)), X((6, 40)), {"layout": "NUT"}, "layout='NTU' reads it as 6 sequences of 40"),
    # the source's own
    (X((6, 40, 3)), X((40, 6)), {}, "y.T would fit"),
    (X((40, 3)), X((40, 1)), {}, "y has an axis too many: y[..., 0] would fit"),
    (X((40, 1)), X((40, 1)), {}, "y has an axis too many: y[..., 0] would fit"),
    (X((40, 3)), X((1, 40)), {}, "y has an axis too many: y[0] would fit"),
    (X((1, 40, 3)), X(40), {}, "y lacks the axis of sequences: y[None] would fit"),
    (X((6, 40, 3)), X(40), {}, "np.broadcast_to(y, (6, 40)) is the same source for every"),
    (X((6, 40, 3)), X(240), {}, "y.reshape(6, 40) would fit, if one sequence comes after"),
    (X((40, 3)), X((40, 2)), {}, "y is one series, and this holds 2"),
    (
        X((6, 40, 3)),
        X((6, 39)),
        {},
        "was read as 6 sequences of 40 steps of 3 units (layout='NTU')",
    ),
]


@pytest.mark.parametrize(("h", "y", "options", "guess"), SHAPES)
def test_the_cause_of_a_wrong_shape_is_guessed(h, y, options, guess):
    layout = options.get("layout", {1: "T", 2: "TU", 3: "NTU"}[h.ndim])
    read = re.escape(f"h (target) was read as {layouts.reading(h.shape, layout)}")
    with pytest.raises(ValueError, match=rf"y \(source\) must have shape .*{read}") as raised:
        tefast.transfer_entropy(h, y, **options)
    assert guess in str(raised.value)
    if "would fit" in guess:
        mended = eval(re.search(r"(y[\w.\[\], ()]+) would fit", guess)[1], {"y": y, "None": None})
        assert tefast.transfer_entropy(h, mended, h_range=(-1, 1), y_range=(-1, 1)).max() == 0


def test_the_guess_gives_numbers():
    h, y = np.swapaxes(H, 1, 2), Y
    with pytest.raises(ValueError, match="layout='NUT' reads it as") as raised:
        tefast.transfer_entropy(h, y, 3)
    layout = re.search(r"layout='(\w+)' reads", str(raised.value))[1]
    np.testing.assert_array_equal(
        tefast.transfer_entropy(h, y, 3, layout=layout), tefast.transfer_entropy(H, Y, 3)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tefast.entropy_rate(X((1, 40)), layout="TU"),
         r"at least 2 steps, h \(target\) of shape \(1, 40\) has 1; it was read as 1 step of 40 "
         r"units \(layout='TU'\); layout='NT' reads it as 1 sequence of 40 steps, and layout='UT'"),
        (lambda: tefast.transfer_entropy(X((6, 1, 40)), X((6, 1))),
         "read as 6 sequences of 1 step of 40 units .*; layout='NUT' reads it as"),
        (lambda: tefast.TransferEntropy(6, 2, binning=[0.5]).update(X((6, 40)), X(6)),
         r"must have 6 units, got 40; h \(target\) of shape \(6, 40\) was read as 6 steps of 40 "
         r"units \(layout='TU'\); layout='UT' reads it as 40 steps of 6 units; so does h.T"),
        (lambda: tefast.Entropy(1, 2, binning=[0.5]).update(X((6, 40))),
         "must have 1 units, got 40.*; layout='NT' reads it as 6 sequences of 40 steps"),
        (lambda: tefast.entropy(H, lengths=[3] * 5),
         r"lengths must have shape \(7,\), got \(5,\); h \(target\) of shape \(7, 11, 5\) was read "
         "as 7 sequences of 11 steps of 5 units .*layout='UTN' reads it as 5 sequences"),
        (lambda: tefast.transfer_entropy(H, Y, mask=np.ones((T, N), bool)),
         r"mask must have shape \(7, 11\), or \(7, 11, 5\) .* got \(11, 7\); h \(target\) was r"),
        (lambda: tefast.conditional_transfer_entropy(H, Y, Z[0]),
         r"z \(condition\) must have shape \(7, 11\), .*got \(11, 2\); h \(target\) was read as 7"),
        (lambda: tefast.transfer_entropy(H, Y, h_range=(np.zeros(T), 1)),
         r"shape \(5,\), got shape \(11,\); h \(target\) of shape \(7, 11, 5\) was read as 7 seq"),
        (lambda: tefast.transfer_entropy(H, Y, 3, binning={"h": X((T, 2))}),
         r"edges for 11 units, but h \(target\) of shape \(7, 11, 5\) was read as 7 sequ"),
        (lambda: tefast.learn_edges(X((2, 3, 4, 5))),
         r"\(N, T, U\), \(T, U\) or \(T,\), N sequences of T steps of U units, got \(2, 3, 4, 5\)"),
    ],
)  # fmt: skip
def test_other_errors_of_shape_say_how_axes_were_read(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", [*ALONE, "learn_edges"])
def test_fewer_steps_than_units_are_doubted(name, recwarn):
    measure = getattr(tefast, name)
    h = H[..., 0]  # 7 trials of 11 steps
    message = (
        r"h \(target\) of shape \(7, 11\) was read as 7 steps of 11 units \(layout='TU'\), fewer "
        "steps than units; layout='NT' reads it as 7 sequences of 11 steps, and layout='UT' reads "
        "it as 11 steps of 7 units; layout='TU' keeps this reading and silences the warning"
    )
    with pytest.warns(RuntimeWarning, match=message):
        doubted = measure(h, 3)
    np.testing.assert_array_equal(measure(h, 3, layout="TU"), doubted)
    measure(h, 3, layout="NT")
    measure(h.T, 3)
    measure(H, 3)
    assert len(recwarn) == 0


def test_names_of_steps_are_not_read_as_something_else():
    xarray = pytest.importorskip("xarray")
    h = xarray.DataArray(np.swapaxes(H, 1, 2), dims=("trial", "neuron", "time"))
    y = xarray.DataArray(Y, dims=("trial", "time"))
    message = (
        r"\('trial', 'neuron', 'time'\), and 'time' would be read as units \(layout='NTU'\); axes "
        "are taken by position: transpose it, or pass layout, such as 'NUT' or 'UNT'"
    )
    for call in (lambda: tefast.entropy(h, 3), lambda: tefast.transfer_entropy(h, y, 3)):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"\('trial', 'time'\), and 'time' would be read as units"):
        tefast.entropy(y, 3)
    with pytest.raises(ValueError, match="'time' would be read as sequences"):
        tefast.transfer_entropy(y.T.copy(), y.T, 3)
    found = tefast.transfer_entropy(h, y, 3, layout="NUT")
    np.testing.assert_array_equal(found, tefast.transfer_entropy(H, Y, 3))
    assert found.dims == ("neuron",)
    local = tefast.local_transfer_entropy(h, y, 3, layout="NUT")
    assert local.dims == h.dims
    scalar = tefast.transfer_entropy(h[:, 0], y, 3)
    assert (scalar.dims, float(scalar)) == ((), tefast.transfer_entropy(H[..., 0], Y, 3))
    # Sizes agree where there are as many channels as steps; names do not.
    square, beside = h[:, :, :U], y[:, :U]
    for other in (square.rename(time="x"), square):
        with pytest.raises(ValueError, match=r"layout"):
            tefast.transfer_entropy(other, beside.rename(time=other.dims[2]), 3)


@pytest.mark.parametrize("layout", ["NUT", "UT", "NT", "T"])
def test_layouts_on_the_command_line(layout, tmp_path, capsys, monkeypatch):
    from tefast import _cli

    monkeypatch.chdir(tmp_path)
    h, y, *_ = inputs(layout)
    np.savez("rec.npz", h=h, y=y)
    line = f"score rec.npz --target h --source y --layout {layout} --bins 3 --quiet"
    table = {}
    for name, options in (("te", "--significance none"), ("p_value", "--surrogates 9")):
        assert _cli.main([*line.split(), *options.split()]) == 0
        rows = [row.split(",") for row in capsys.readouterr().out.splitlines()]
        table[name] = [float(row[rows[0].index(name)]) for row in rows[1:]]
    found = tefast.significance(h, y, 3, surrogates=9, layout=layout)
    for name, column in table.items():
        np.testing.assert_allclose(column, np.atleast_1d(getattr(found, name)), atol=1e-13)


def test_tensors_on_a_device_are_not_moved_to_the_host(monkeypatch):
    import emulated

    from tefast._inputs import taking

    # As those on a GPU are: tensors on the emulated device stay what they are.
    monkeypatch.setattr(taking, "tensor_to_numpy", lambda x: x)
    with emulated.backend():
        for layout in ALL:
            (h, y, _, steps, _, lengths), full = inputs(layout), default(layout)
            tensors = torch.tensor(h), torch.tensor(y)
            assert isinstance(values.target(tensors[0], layout).array, torch.Tensor)
            options = {"bins": 3, "mask": steps, "lengths": lengths, "backend": "cuda"}
            found = tefast.transfer_entropy(*tensors, layout=layout, **options)
            assert isinstance(found, torch.Tensor)
            options |= {"mask": full[3], "lengths": full[5]}
            expected = tefast.transfer_entropy(*full[:2], **options)
            np.testing.assert_array_equal(found, plain(expected, layout))
        lists = [torch.tensor(H[n, :t]) for n, t in enumerate(LENGTHS)]
        beside = [torch.tensor(Y[n, :t]) for n, t in enumerate(LENGTHS)]
        assert isinstance(values.target(lists).array, torch.Tensor)
        found = tefast.transfer_entropy(lists, beside, 3, backend="cuda")
        expected = tefast.transfer_entropy(H, Y, 3, lengths=LENGTHS, backend="cuda")
        np.testing.assert_array_equal(found, expected)
        local = tefast.local_transfer_entropy(lists, beside, 3, backend="cuda")
        assert [part.shape for part in local] == [(t - 1, U) for t in LENGTHS]
