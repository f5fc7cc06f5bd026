"""Figures of rows: each shows what the rows say."""

from dataclasses import replace

import numpy as np
import pytest
from made_rows import CLIPS, FRACTIONS, GATE_ROWS, ROWS, measured, noisy, row
from matplotlib.colors import to_hex

from tefast.experiment.config import (
    CRITERIA,
    FROM_SCRATCH,
    NAMES,
    NO_ORDER,
    ORDERS,
    RECOVERIES,
    REGULARIZER_NAMES,
    REGULARIZERS,
)
from tefast.experiment.drawing import COLORS
from tefast.experiment.figures import (
    build_figure2,
    build_figure3,
    build_figure4,
    build_recoveries,
    build_size,
    figures,
)
from tefast.experiment.results import Curve, StudyResults


def lines_of(axes):
    return {one.get_label(): one for one in axes.lines if not one.get_label().startswith("_")}


def check_lines(axes, results, expected, dashes):
    lines = lines_of(axes)
    assert lines.keys() == expected.keys()
    for name, line in lines.items():
        at = results.fractions(expected[name])
        np.testing.assert_allclose(line.get_xdata(), [100 * f for f in at])
        means = [100 * results.spread(expected[name], f).mean for f in at]
        np.testing.assert_allclose(line.get_ydata(), means)
        assert line.get_linestyle() == (":" if "random" in name else dashes)


def test_figure_2_shows_what_the_rows_say():
    results = StudyResults(ROWS)
    panels = build_figure2(ROWS, classes=10, samples=CLIPS).axes
    assert len(panels) == 2
    for axes, order, dashes in zip(panels, ORDERS, ("-", "--"), strict=True):
        expected = {
            NAMES[one]: Curve("none", one, order) for one in CRITERIA if one != "random"
        } | {"random orders": Curve("none", "random", NO_ORDER)}
        check_lines(axes, results, expected, dashes)
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] >= 100


def test_figure_3_shows_what_the_rows_say():
    results = StudyResults(ROWS)
    panels = build_figure3(ROWS, classes=10, samples=CLIPS).axes
    for axes, order, dashes in zip(panels, ORDERS, ("-", "--"), strict=True):
        expected = {}
        for one in REGULARIZERS:
            name = REGULARIZER_NAMES[one]
            expected[name] = Curve(one, "transfer_entropy", order)
            expected[f"{name}, random"] = Curve(one, "random", NO_ORDER)
        check_lines(axes, results, expected, dashes)


def band(axes, color):
    """The lowest and the highest of what is shaded in a colour, at 50 %."""
    (shaded,) = [
        one for one in axes.collections if to_hex(one.get_facecolor()[0]).lower() == color.lower()
    ]
    at = [y for x, y in shaded.get_paths()[0].vertices if x == 50]
    return min(at), max(at)


def test_bands_are_intervals_over_seeds_and_all_random_draws():
    def accuracy(s, r, c, o, f):
        return 0.5 + 0.02 * s

    rows = measured(accuracy)
    rows = [
        replace(one, accuracy=one.accuracy + 0.3 * one.draw) if one.criterion == "random" else one
        for one in rows
    ]
    axes = build_figure2(rows, classes=10, samples=CLIPS).axes[0]
    assert band(axes, COLORS["random"]) == pytest.approx((50, 84))
    reach = 4.302653 * 2 / 3**0.5
    assert band(axes, COLORS["l1"]) == pytest.approx((52 - reach, 52 + reach))


def test_a_criterion_of_ones_own_has_a_colour_and_its_functions_name():
    rows = [
        replace(one, criterion=f"mine:best_{one.criterion}") if one.criterion != "random" else one
        for one in ROWS
    ]
    lines = lines_of(build_figure2(rows, classes=10, samples=CLIPS).axes[0])
    assert set(lines) == {"best transfer entropy", "best entropy", "best l1", "random orders"}
    assert len({line.get_color() for line in lines.values()}) == 4


def test_recoveries_are_shown_by_criterion_beside_small_networks():
    rows = measured(noisy, recoveries=RECOVERIES)
    rows += [
        row(s, "none", FROM_SCRATCH, NO_ORDER, f, 0.9 - f / 10)
        for s in range(3)
        for f in (0.0, 0.5)
    ]
    results = StudyResults(rows)
    panels = build_recoveries(rows, classes=10, samples=CLIPS).axes
    assert [axes.get_title() for axes in panels if axes.get_visible()] == [
        NAMES[one] for one in CRITERIA
    ]
    for axes, criterion in zip(panels, CRITERIA, strict=True):
        lines = lines_of(axes)
        name = "reconstruction, " + ("random" if criterion == "random" else "lowest first")
        order = NO_ORDER if criterion == "random" else "ascending"
        curve = Curve("none", criterion, order, "reconstruction")
        means = [100 * results.spread(curve, f).mean for f in FRACTIONS]
        np.testing.assert_allclose(lines[name].get_ydata(), means)
        np.testing.assert_allclose(lines["trained small from scratch"].get_ydata(), [90, 85])


def test_the_figure_of_sizes_shows_parameters_and_milliseconds():
    panels = build_size(ROWS, classes=10).axes
    curve = Curve("none", "transfer_entropy", "descending")
    for axes, most in zip(panels, (0.064, 0.64), strict=True):
        line = lines_of(axes)["transfer entropy (descending)"]
        assert max(line.get_xdata()) == pytest.approx(most)
        mean = StudyResults(ROWS).spread(curve, 0.0).mean
        assert line.get_ydata()[-1] == pytest.approx(100 * mean)


def test_the_figure_of_gates_shows_them_beside_units():
    panels = build_figure4(ROWS, GATE_ROWS, classes=10, samples=CLIPS).axes
    assert [axes.get_title().split(",")[0] for axes in panels] == ["units", "gates"] * 2
    for place, axes in enumerate(panels):
        results = StudyResults((ROWS, GATE_ROWS)[place % 2])
        for criterion in ("transfer_entropy", "entropy", "l1"):
            curve = Curve("none", criterion, ORDERS[place // 2])
            means = [100 * results.spread(curve, f).mean for f in FRACTIONS]
            np.testing.assert_allclose(lines_of(axes)[NAMES[criterion]].get_ydata(), means)
    only = [[row for row in rows if row.regularizer == "l2"] for rows in (ROWS, GATE_ROWS)]
    assert "(L2)" in build_figure4(*only, classes=10, samples=CLIPS).get_suptitle()


def test_figures_of_few_rows_are_drawn_and_the_same_bytes(tmp_path):
    rows = [one for one in measured(noisy, seeds=[1]) if one.criterion == "l1"]
    for part in (rows, [one for one in rows if one.regularizer == "l2"][:1]):
        first = figures({"unit": part}, tmp_path / "a", classes=3, samples=9)
        second = figures({"unit": part}, tmp_path / "b", classes=3, samples=9)
        assert first.keys() == second.keys() == {"figure2", "figure3", "size"}
        for name, path in first.items():
            assert path.read_bytes() == second[name].read_bytes()


def test_a_figure_without_transfer_entropy_says_so():
    rows = [row for row in ROWS if row.criterion == "entropy"]
    (text,) = build_figure3(rows, classes=10, samples=CLIPS).axes[0].texts[:1]
    assert text.get_text() == "transfer entropy was not measured"
