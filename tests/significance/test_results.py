"""What significance found: shown, as a frame, as a plot; progress on a terminal."""

import io
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import tefast
from tefast._significance.result import FIELDS
from tefast._support import progress

rng = np.random.default_rng(0)
Y = rng.integers(0, 3, (40, 30))
H = rng.integers(0, 3, (40, 30, 6))
H[:, 1:, 2] = np.where(rng.random((40, 29)) < 0.4, Y[:, :-1], H[:, 1:, 2])
FOUND = tefast.significance(H, Y, 3)


def test_it_is_shown_in_a_few_lines():
    te, p, q = FOUND.te[2], FOUND.p_value[2], FOUND.q_value[2]
    assert (
        repr(FOUND)
        == str(FOUND)
        == (
            "Significance of 6 units\n"
            "  significant: 1 at q < 0.05\n"
            "  method:      trials, 200 surrogates\n"
            f"  highest:     unit 2 with te {te:#.4g} bits, p {p:#.4g}, q {q:#.4g}"
        )
    )


def test_it_shows_other_bases_levels_and_methods():
    pytest.importorskip("scipy")
    found = tefast.significance(H[..., 2:3], Y, 3, method="chi2", base=np.e, alpha=0.01)
    text = repr(found)
    assert text.startswith("Significance of 1 unit\n")
    assert "1 at q < 0.01" in text
    assert "chi2, no surrogates" in text
    assert " nats, p " in text


def test_units_without_transitions_do_not_break_it():
    nothing = np.full(2, np.nan)
    empty = replace(FOUND, **dict.fromkeys(FIELDS, nothing))
    assert "0 at q < 0.05" in repr(empty)
    assert "highest" not in repr(empty)
    assert empty.to_frame().isna().all().all()


def test_it_is_frozen_and_says_what_was_done():
    assert (FOUND.method, FOUND.surrogates, FOUND.alpha, FOUND.base) == ("trials", 200, 0.05, 2)
    with pytest.raises(FrozenInstanceError):
        FOUND.te = 0


def test_a_frame():
    pandas = pytest.importorskip("pandas")
    frame = FOUND.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.index.name == "unit"
    assert frame.index.tolist() == list(range(6))
    assert tuple(frame.columns) == FIELDS
    for name in FIELDS:
        np.testing.assert_array_equal(frame[name], getattr(FOUND, name))
    assert frame.attrs == {"method": "trials", "surrogates": 200, "alpha": 0.05, "base": 2}
    assert FOUND.to_frame(list("abcdef")).index.tolist() == list("abcdef")
    assert FOUND.to_frame(np.arange(10, 16)).loc[12, "q_value"] == FOUND.q_value[2]
    with pytest.raises(ValueError, match="names: expected one for each of 6 units, got 2"):
        FOUND.to_frame(["a", "b"])


def test_names_come_with_the_target():
    xarray = pytest.importorskip("xarray")
    h = xarray.DataArray(H, dims=("trial", "time", "cell"), coords={"cell": list("uvwxyz")})
    found = tefast.significance(h, Y, 3)
    assert found.to_frame().index.tolist() == list("uvwxyz")
    assert "unit w with te" in repr(found)
    if sys.modules.get("matplotlib"):
        assert [text.get_text() for text in found.plot().axes[0].texts] == ["w"]
    series = replace(FOUND, te=pytest.importorskip("pandas").Series(FOUND.te, index=list("ghijkl")))
    assert "unit i with te" in repr(series)


def test_a_table_of_pandas_gives_its_names():
    pandas = pytest.importorskip("pandas")
    h = pandas.DataFrame(H.reshape(-1, 6), columns=list("pqrstu"))
    found = tefast.significance(h, Y.ravel(), 3, surrogates=200)
    assert found.to_frame().index.tolist() == list("pqrstu")
    assert "unit r with te" in repr(found)


def test_tensors_are_shown_too():
    torch = pytest.importorskip("torch")
    found = tefast.significance(torch.from_numpy(H), torch.from_numpy(Y), 3)
    assert repr(found) == repr(FOUND)
    np.testing.assert_array_equal(found.to_frame(), FOUND.to_frame())


def test_a_plot(tmp_path):
    figure_kind = pytest.importorskip("matplotlib.figure").Figure
    from tefast.plot import SIGNIFICANT

    figure = FOUND.plot("Six units")
    assert isinstance(figure, figure_kind)
    (axes,) = figure.axes
    assert axes.get_title() == "Six units"
    assert axes.get_ylabel() == "transfer entropy [bits]"
    marked, others = axes.collections[1:]
    assert (len(marked.get_offsets()), len(others.get_offsets())) == (1, 5)
    assert marked.get_offsets()[0, 1] == FOUND.te[2]
    from matplotlib.colors import to_hex

    assert to_hex(marked.get_facecolors()[0]).upper() == SIGNIFICANT
    figure.savefig(tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("package", "call", "command"),
    [
        ("pandas", FOUND.to_frame, "pip install pandas"),
        ("matplotlib", FOUND.plot, "pip install matplotlib"),
    ],
)
def test_what_is_missing_is_said(package, call, command, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "tefast.plot", raising=False)
    monkeypatch.delattr(tefast, "plot", raising=False)
    with pytest.raises(ImportError, match=command):
        call()


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal():
    """Makes standard error one; not before the test itself, when pytest still moves it."""
    pytest.importorskip("tqdm")

    def begin(patch):
        stream = Terminal()
        patch.setattr(sys, "stderr", stream)
        return stream

    return begin


def test_long_jobs_have_a_bar_on_a_terminal(terminal, monkeypatch):
    from tefast._significance import significance

    stream = terminal(monkeypatch)
    monkeypatch.setattr(significance, "PIECE", 1e-9)
    monkeypatch.setattr(significance, "BAR_AFTER", 1e9)
    tefast.significance(H, Y, 3)
    assert stream.getvalue() == ""  # it was over before that
    monkeypatch.setattr(significance, "BAR_AFTER", 0.0)
    found = tefast.significance(H, Y, 3)
    assert "surrogates" in stream.getvalue()
    np.testing.assert_array_equal(found.p_value, FOUND.p_value)


def test_whoever_asks_for_progress_gets_no_bar(terminal, monkeypatch):
    from tefast._significance import significance

    stream = terminal(monkeypatch)
    monkeypatch.setattr(significance, "BAR_AFTER", 0.0)
    told = []
    tefast.significance(H, Y, 3, progress=lambda *step: told.append(step))
    assert told[-1] == (200, 200)
    assert stream.getvalue() == ""


def test_there_is_no_bar_without_a_terminal_or_tqdm(terminal, monkeypatch):
    stream = terminal(monkeypatch)
    assert progress.Bar("things").can_show
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tqdm", None)
        with progress.Bar("things") as bar:
            assert not bar.can_show
            bar(1, 2)
    assert stream.getvalue() == ""
    for other in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", other)
        assert not progress.Bar("things").can_show
