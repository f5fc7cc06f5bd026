"""Selection of the units to remove."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tefast.nn import select_units

SCORES = torch.tensor([0.3, 0.9, 0.1, 0.9, 0.5])


@pytest.mark.parametrize("convert", [lambda s: s, lambda s: s.numpy()])
def test_order(convert) -> None:  # type: ignore[no-untyped-def]
    scores = convert(SCORES)
    assert select_units(scores, 5).tolist() == [1, 3, 4, 0, 2]
    assert select_units(scores, 5, descending=False).tolist() == [2, 0, 4, 1, 3]
    assert select_units(scores, 2).tolist() == [1, 3]
    assert select_units(scores, 2).dtype == torch.int64
    assert select_units(scores, 0).tolist() == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_ties_go_by_index(dtype: torch.dtype) -> None:
    scores = torch.zeros(1000, dtype=dtype)
    scores[500:] = 1
    expected = [*range(500, 1000), *range(500)]
    assert select_units(scores, 1.0).tolist() == expected
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
    assert len(select_units(torch.arange(10.0), amount)) == count


def test_half_is_read_as_written() -> None:
    assert 0.285 * 100 < 28.5
    assert len(select_units(torch.arange(100.0), 0.285)) == 29


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
def test_against_python_sort(values: list[float], amount: float, descending: bool) -> None:
    scores = torch.tensor(values, dtype=torch.float64)
    chosen = select_units(scores, amount, descending).tolist()
    sign = -1 if descending else 1
    expected = sorted(range(len(values)), key=lambda unit: (sign * values[unit], unit))
    assert chosen == expected[: len(chosen)]
    assert abs(len(chosen) - amount * len(values)) <= 0.5 + 1e-9


def test_input_is_not_changed() -> None:
    scores = SCORES.clone().requires_grad_()
    select_units(scores, 0.5)
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
        select_units(scores, amount)


def test_reversed_and_foreign_arrays() -> None:
    scores = np.array([0.1, 0.9, 0.5])
    assert select_units(scores[::-1], 1).tolist() == [1]
    assert select_units(scores.astype(">f4"), 1).tolist() == [1]
