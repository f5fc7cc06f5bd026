"""Selection of the units to remove."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tefast.nn import select, select_units

SCORES = torch.tensor([0.3, 0.9, 0.1, 0.9, 0.5])


@pytest.mark.parametrize("convert", [lambda s: s, lambda s: s.numpy()])
def test_order(convert) -> None:  # type: ignore[no-untyped-def]
    scores = convert(SCORES)
    assert select_units(scores, 5, descending=True).tolist() == [1, 3, 4, 0, 2]
    assert select_units(scores, 5, descending=False).tolist() == [2, 0, 4, 1, 3]
    assert select_units(scores, 2, descending=True).tolist() == [1, 3]
    assert select_units(scores, 2, descending=True).dtype == torch.int64
    assert select_units(scores, 0, descending=True).tolist() == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_ties_go_by_index(dtype: torch.dtype) -> None:
    scores = torch.zeros(1000, dtype=dtype)
    scores[500:] = 1
    expected = [*range(500, 1000), *range(500)]
    assert select_units(scores, 1.0, descending=True).tolist() == expected
    assert select_units(-scores, 1.0, descending=False).tolist() == expected


@pytest.mark.parametrize(
    ("amount", "count"),
    [
        (0.0, 0),
        (1.0, 10),
        (0.5, 5),
        (0.25, 3),
        (0.35, 4),
        (0.349, 3),
        (0.75, 8),
        (0.04, 0),
        (0.06, 1),
        (np.float32(0.5), 5),
        (np.float64(0.25), 3),
        (0, 0),
        (1, 1),
        (10, 10),
        (np.int32(7), 7),
        (torch.tensor(4), 4),
    ],
)
def test_amount(amount: float, count: int) -> None:
    assert len(select_units(torch.arange(10.0), amount, descending=True)) == count


def test_half_is_read_as_written() -> None:
    assert 0.285 * 100 < 28.5
    assert len(select_units(torch.arange(100.0), 0.285, descending=True)) == 29


TIES = pytest.mark.filterwarnings("ignore:scores.*do not say which units are to go")


@TIES
@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
def test_against_python_sort(values: list[float], amount: float, descending: bool) -> None:
    scores = torch.tensor(values, dtype=torch.float64)
    chosen = select_units(scores, amount, descending=descending).tolist()
    sign = -1 if descending else 1
    expected = sorted(range(len(values)), key=lambda unit: (sign * values[unit], unit))
    assert chosen == expected[: len(chosen)]
    assert abs(len(chosen) - amount * len(values)) <= 0.5 + 1e-9


def test_input_is_not_changed() -> None:
    scores = SCORES.clone().requires_grad_()
    select_units(scores, 0.5, descending=True)
    assert torch.equal(scores.detach(), SCORES)


@pytest.mark.parametrize(
    ("scores", "amount", "error", "message"),
    [
        (SCORES, True, TypeError, "got a bool"),
        (SCORES, np.True_, TypeError, "got a bool"),
        (SCORES, "half", TypeError, "got str"),
        (SCORES, None, TypeError, "got NoneType"),
        (SCORES, 1.5, ValueError, r"fraction in \[0, 1\], got 1\.5"),
        (SCORES, -0.1, ValueError, r"fraction in \[0, 1\], got -0\.1"),
        (SCORES, float("nan"), ValueError, "got nan"),
        (SCORES, 6, ValueError, r"count in 0\.\.5, got 6"),
        (SCORES, -1, ValueError, r"count in 0\.\.5, got -1"),
        ([0.1, 0.2], 1, TypeError, "expected a tensor or an array, got list"),
        (SCORES > 0, 1, TypeError, r"expected real numbers, got torch\.bool"),
        (SCORES + 1j, 1, TypeError, r"expected real numbers, got torch\.complex64"),
        (SCORES[None], 1, ValueError, r"expected shape \(U,\), got \(1, 5\)"),
        (SCORES[:0], 0, ValueError, r"expected shape \(U,\), got \(0,\)"),
        (torch.tensor([0, torch.nan, torch.nan]), 1, ValueError, "2 of 3 NaN, first at 1"),
    ],
)
def test_errors(scores, amount, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        select_units(scores, amount, descending=True)


def test_reversed_and_foreign_arrays() -> None:
    scores = np.array([0.1, 0.9, 0.5])
    assert select_units(scores[::-1], 1, descending=True).tolist() == [1]
    assert select_units(scores.astype(">f4"), 1, descending=True).tolist() == [1]


EACH = {"a": np.array([0.1, 0.9, 0.5, 0.3]), "b": np.array([0.4, 0.2, 0.8])}


@pytest.mark.parametrize(
    ("options", "a", "b"),
    [
        ({"amount": 0.5}, [1, 2], [2, 0]),
        ({"amount": 0.5, "descending": False}, [0, 3], [1, 0]),
        ({"amount": 3, "scope": "all"}, [1, 2], [2]),
        ({"amount": 1.0, "scope": "all"}, [1, 2, 3], [2, 0]),
        ({"amount": 1.0}, [1, 2, 3], [2, 0]),
        ({"amount": 5, "scope": "all", "keep": 2, "descending": False}, [0, 3], [1]),
        ({"above": 0.3}, [1, 2], [2, 0]),
        ({"below": 0.3}, [0], [1]),
        ({"below": 2.0, "scope": "all"}, [0, 3, 2], [1, 0]),
        ({"amount": 0.75, "round_to": 2}, [1, 2], [2]),
        ({"amount": 0.75, "round_to": 8}, [], []),
        ({"amount": 0}, [], []),
    ],
)
def test_select_of_several(options: dict, a: list[int], b: list[int]) -> None:
    chosen = select(EACH, **{"descending": True, **options})
    assert {key: units.tolist() for key, units in chosen.items()} == {"a": a, "b": b}


@TIES
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=9), min_size=1, max_size=4),
    st.floats(0, 1),
    st.integers(1, 3),
    st.booleans(),
)
def test_select_over_all(each: list, amount: float, keep: int, descending: bool) -> None:
    scores = {n: torch.tensor(values, dtype=torch.float64) for n, values in enumerate(each)}
    options = {"amount": amount, "keep": keep, "descending": descending}
    chosen = select(scores, scope="all", **options)
    wanted = len(select_units(torch.cat(list(scores.values())), amount, descending=True))
    most = sum(max(0, len(values) - keep) for values in each)
    assert sum(map(len, chosen.values())) == min(wanted, most)
    sign = 1 if descending else -1
    gone = [sign * float(scores[n][u]) for n, units in chosen.items() for u in units]
    for n, values in scores.items():
        left = [u for u in range(len(values)) if u not in chosen[n].tolist()]
        if len(left) > keep and gone:  # not held back: worth no more than what went
            assert max(sign * float(values[u]) for u in left) <= min(gone)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "expected one of amount, above, below, .* and bytes, got none"),
        ({"amount": 1, "below": 0.5}, ValueError, "got amount and below"),
        ({"above": float("nan")}, ValueError, "above: expected a finite number, got nan"),
        ({"amount": 1, "scope": "layer"}, ValueError, "scope: expected 'each' or 'all'"),
        ({"amount": 1, "round_to": 0}, ValueError, "round_to: expected at least 1, got 0"),
        ({"amount": 1, "keep": 1.5}, ValueError, r"keep: expected a share in \[0, 1\], got 1.5"),
        ({"amount": 1, "keep": {"a": 1}}, ValueError, "keep: expected the keys .* 'b' is missing"),
        ({"amount": 1, "keep": 0}, ValueError, "keep: expected at least 1, got 0"),
        ({"amount": 1, "parameters": 0.5}, ValueError, "got amount and parameters"),
        ({"parameters": 0.5}, TypeError, "parameters: expected model=, .* got NoneType"),
        ({"amount": 9, "scope": "all"}, ValueError, r"count in 0\.\.7, got 9"),
    ],
)
def test_bad_options_of_select(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        select(EACH, **{"descending": True, **options})


def test_scores_of_one_layer_are_no_mapping() -> None:
    with pytest.raises(TypeError, match=r"a mapping to scores, .* got Tensor; select_units takes"):
        select(SCORES, amount=0.5, descending=True)


@pytest.mark.parametrize(
    "scores", [torch.zeros(8), torch.full((8,), 0.3), torch.tensor([0.0] * 7 + [1])]
)
def test_equal_scores_do_not_choose_in_silence(scores: torch.Tensor) -> None:
    for amount in (0.5, 1, 3):
        with pytest.warns(
            RuntimeWarning, match=r"scores: . of 8 are equal \(0.*which units are to go"
        ):
            found = select_units(scores, amount, descending=False)
        assert found.tolist() == list(range(len(found)))
        with pytest.warns(RuntimeWarning, match=r"scores\['b'\]: . of 8 are equal"):
            select({"a": torch.arange(8.0), "b": scores}, amount=amount, descending=False)
    with pytest.warns(RuntimeWarning, match=r"scores\[\(0, 0\)\]: . of 8 are equal"):
        select({(0, 0): scores, (0, 1): scores}, amount=0.25, descending=False, scope="all")
    # Nothing is left to chance where all of the equal ones go, or stay.
    select_units(scores, 7, descending=False) if float(scores[7]) == 1 else None
    select_units(scores, 0, descending=True)
    select_units(scores, 8, descending=True)
    select({"a": scores}, below=2.0, keep=1) if float(scores[7]) == 1 else None
    select_units(torch.tensor([0.0, 0.0, 0.1, 0.2, 0.3, 0.4]), 4, descending=True)


WIDE = {"wide": torch.arange(100.0) + 100, "thin": torch.arange(20.0), "one": torch.tensor([0.5])}


@pytest.mark.parametrize(
    ("amount", "left"), [(0.1, 10), (0.25, 8), (0.5, 5), (0.75, 3), (0.9, 1), (1.0, 1), (30, 8)]
)
def test_a_layer_keeps_half_of_the_share_that_is_left(amount: float, left: int) -> None:
    """Scores of one layer are all lower: by themselves they would take all but one unit of it."""
    chosen = select(WIDE, amount=amount, scope="all", descending=False)
    count = round(amount * 121 + 1e-9) if isinstance(amount, float) else amount
    assert 20 - len(chosen["thin"]) == max(left, 20 - count)
    assert sum(map(len, chosen.values())) == min(count, 118)
    assert not len(chosen["one"])
    bare = select(WIDE, amount=amount, scope="all", descending=False, keep=1)
    assert 20 - len(bare["thin"]) == max(1, 20 - count)
    share = select(WIDE, amount=amount, scope="all", descending=False, keep=0.25)
    assert 20 - len(share["thin"]) == max(5, 20 - count)
    named = select(WIDE, amount=amount, scope="all", descending=False,
                   keep={"wide": 90, "thin": 7, "one": 1})  # fmt: skip
    assert 20 - len(named["thin"]) == max(7, 20 - count)
    assert 100 - len(named["wide"]) >= 90


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"amount": 0.25}, [6, 6]),
        ({"amount": 4, "scope": "all", "keep": 1}, [6, 6]),
        ({"amount": 5, "scope": "all", "keep": 1}, [6, 6]),
        ({"amount": 6, "scope": "all", "keep": 1}, [5, 5]),
        ({"below": 4.5}, [8, 8]),
        ({"below": 10.5}, [6, 6]),
        ({"amount": 1.0, "scope": "all", "keep": {"l0": 2, "l1": 3}}, [3, 3]),
        ({"amount": 6, "scope": "all", "keep": 1, "round_to": 4}, [8, 8]),
    ],
)
def test_equally_many_are_left(options: dict, left: list[int]) -> None:
    scores = {"l0": torch.arange(8.0), "l1": torch.arange(8.0) + 8.5}
    chosen = select(scores, equal=True, descending=False, **options)
    assert [8 - len(units) for units in chosen.values()] == left
    for key, units in chosen.items():
        assert units.tolist() == scores[key].argsort().tolist()[: len(units)]
    named = {(name, (n, 0)): scores["l1"] + k * scores["l0"]
             for k, name in enumerate(("a", "b")) for n in range(2)}  # fmt: skip
    found = select(named, amount=10, scope="all", equal=True, descending=False, keep=1)
    assert len({len(found["a", (n, 0)]) for n in range(2)}) == 1
    assert len({len(found["b", (n, 0)]) for n in range(2)}) == 1


def test_a_threshold_that_leaves_little_warns_by_name() -> None:
    with pytest.warns(RuntimeWarning, match=r"scores\['thin'\]: 1 of 20 units are left, .*keep="):
        chosen = select(WIDE, below=50.0)
    assert {key: len(units) for key, units in chosen.items()} == {"wide": 0, "thin": 19, "one": 0}
    assert len(select(WIDE, below=50.0, keep=1)["thin"]) == 19
    assert len(select(WIDE, below=50.0, keep=0.2)["thin"]) == 16
    assert len(select(WIDE, below=17.5)["thin"]) == 18
