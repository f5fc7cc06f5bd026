"""Rows and findings: each says what the measurements say."""

import statistics
from dataclasses import replace

import pytest
from made_rows import CLIPS, ROWS, measured, noisy, row

from tefast.experiment.answers import answers
from tefast.experiment.comparisons import accuracy_tables
from tefast.experiment.config import FROM_SCRATCH, NO_ORDER, RECOVERIES
from tefast.experiment.findings import findings, gate_findings, paper_table
from tefast.experiment.results import COLUMNS, Curve, StudyResults, read_rows, write_rows


def test_rows_round_trip(tmp_path):
    rows = [replace(ROWS[0], accuracy=1 / 3, seconds_per_clip=1e-17), *ROWS[1:]]
    write_rows(tmp_path / "r.csv", rows)
    assert read_rows(tmp_path / "r.csv") == rows
    header = (tmp_path / "r.csv").read_text().splitlines()[0]
    assert header == (
        "dataset,split,seed,regularizer,criterion,order,draw,recovery,removed_fraction,removed_units,"
        "accuracy,calibration_error,parameters,seconds_per_clip"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the header dataset,split"),
        ("a,b\n", "expected the header"),
        (",".join(COLUMNS) + "\nrendered,random,0\n", "line 2: expected 14 values, got 3"),
        (
            ",".join(COLUMNS) + "\nr,r,zero,none,l1,ascending,0,none,0,0,1,0,1,1\n",
            "line 2: .*'zero'",
        ),
        (
            ",".join(COLUMNS) + "\nr,r,0,none,l1,sideways,0,none,0,0,1,0,1,1\n",
            "line 2: order must",
        ),
        (
            ",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,none,0,0,nan,0,1,1\n",
            "accuracy .*got nan",
        ),
        (
            ",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,none,0,0,90,0,1,1\n",
            "accuracy .*got 90",
        ),
        (
            ",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,none,0,0,1,0,1,1" * 2,
            "line 3: a second",
        ),
    ],
)
def test_files_of_other_rows_are_refused(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rows(tmp_path / "r.csv")


def test_spread_and_difference():
    results = StudyResults(ROWS)
    curve, other = Curve("l1", "entropy", "ascending"), Curve("l1", "random", NO_ORDER)
    mine = [noisy(s, "l1", "entropy", "ascending", 0.5) for s in range(3)]
    theirs = [noisy(s, "l1", "random", NO_ORDER, 0.25) for s in range(3)]
    spread = results.spread(curve, 0.5)
    assert spread.mean == pytest.approx(statistics.mean(mine))
    assert spread.deviation == pytest.approx(statistics.stdev(mine))
    gap = results.difference((curve, 0.5), (other, 0.25))
    pairs = [a - b for a, b in zip(mine, theirs, strict=True)]
    assert (gap.mean, gap.deviation) == pytest.approx(
        (statistics.mean(pairs), statistics.stdev(pairs))
    )
    assert results.spread(curve, 0.3) is None
    assert results.nearest(curve, 0.4) == 0.5
    assert StudyResults(measured(noisy, seeds=[4])).spread(curve, 0.5).deviation is None


def test_gates_are_compared_with_chance_and_with_units():
    def gates(gap, chance=0.0, noise=0.0):
        def accuracy(s, r, c, o, f):
            mine = gap if c == "transfer_entropy" and o == "descending" else 0.0
            random = chance if c == "random" else 0.0
            return 0.9 if not f else 0.5 + mine + random + noise * (s - 1)

        return StudyResults(measured(accuracy))

    first, second = gate_findings(gates(0.0), gates(0.2), CLIPS)
    assert first.startswith(
        "Removing 50% of the gates by transfer entropy (descending) leaves 70.0"
    )
    assert "more than as many gates in random order (50.0 ± 0.0%; difference +20.0" in first
    assert "more than the same fraction of units by the same criterion (50.0" in first
    assert "(ascending) leaves 50.0" in second
    assert second.count("not shown to differ from") == 2
    first, _ = gate_findings(gates(0.4), gates(0.2, chance=0.3), CLIPS)
    assert first.count("less than") == 2
    first, _ = gate_findings(gates(0.0), gates(0.02, noise=0.1), CLIPS)
    assert "not shown to differ from the same fraction" in first
    assert "more than as many gates" in first  # pairs of a seed differ by the same
    few = StudyResults([row for row in ROWS if row.criterion == "l1"])
    assert gate_findings(few, few, CLIPS) == []


PAPERS = ("transfer_entropy", "descending")


def leading(best=0.0, l1=0.0, l2=0.0, noise=0.0):
    """Transfer entropy, descending, is `best` above the rest, the penalties change by l1, l2."""

    def accuracy(s, r, c, o, f):
        if not f:
            return 0.9
        mine = c == "transfer_entropy" and o == "descending"
        change = {"none": best if mine else 0.0, "l1": l1, "l2": l2, "group": 0.0}[r]
        return 0.8 + change + noise * (s - 1) * (1 if mine else -1)

    return accuracy


def fixed(**options):
    return findings(StudyResults(measured(leading(**options))), CLIPS, 10)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"best": 0.05}, "random order is below transfer entropy (descending): -5.0"),
        ({"best": -0.05}, "L1 norm (ascending) is above transfer entropy (descending): +5.0"),
        (
            {"best": 0.0},
            "entropy (descending) is not told apart from transfer entropy (descending): +0.0",
        ),
        (
            {"best": 0.05, "noise": 0.1},
            "random order is not told apart from transfer entropy (descending): -5.0",
        ),
        ({"l1": -0.1, "l2": 0.1}, "L2 keeps more than L1, as the paper says (L2 less L1: +20.0"),
        ({"l1": 0.1, "l2": -0.1}, "L1 keeps more than L2, against the paper (L2 less L1: -20.0"),
        ({"l1": 0.0, "l2": 0.0}, "the difference between the two is within the spread"),
        ({"best": 0.05}, "leaves 85.0 ± 0.0%, a change of -5.0 points"),
    ],
)
def test_findings_follow_the_measurements(options, words):
    assert any(words in sentence for sentence in fixed(**options)), fixed(**options)


@pytest.mark.parametrize(
    ("best", "noise", "words"),
    [
        (0.05, 0.0, "and it is the best of the compared orders"),
        (-0.05, 0.0, "of 6 other orders 6 are better and none is shown to be worse"),
        (0.0, 0.01, "none of 6 other orders is shown to be better or worse"),
    ],
)
def test_the_papers_claim_is_judged_either_way(best, noise, words):
    assert words in answers(StudyResults(measured(leading(best, noise=noise))), CLIPS, 10)[0]


@pytest.mark.parametrize(("gaps", "verdict"), [((2, 3, 9), "not told apart"), ((4, 5, 6), "above")])
def test_few_seeds_are_judged_by_students_t(gaps, verdict):
    # 4.7 points with a standard error of 2.2: beyond two of them, within t(2 degrees) = 4.3.
    def accuracy(s, r, c, o, f):
        return 0.8 + (gaps[s] / 100 if c == "random" and f else 0.0)

    rows = [
        one
        for one in measured(accuracy)
        if one.criterion == "random" or (one.criterion, one.order) == PAPERS
    ]
    (compared,) = [
        one for one in findings(StudyResults(rows), CLIPS, 10) if one.startswith("At 50%")
    ]
    assert f"random order is {verdict}" in compared


def test_more_comparisons_take_a_larger_difference():
    def accuracy(s, r, c, o, f):
        return 0.8 + ((4, 5, 6)[s] / 100 if c == "random" and f else 0.0)

    sentences = findings(StudyResults(measured(accuracy)), CLIPS, 10)
    (compared,) = [one for one in sentences if "removed, random order" in one]
    assert "not told apart" in compared  # p is 0.013, and six are tested
    assert "p = 0.078, corrected" in compared


@pytest.mark.parametrize(("clips", "verdict"), [(96, "not told apart"), (10000, "below")])
def test_seeds_that_agree_to_a_clip_are_not_taken_for_exact(clips, verdict):
    def accuracy(s, r, c, o, f):
        return 0.8 + (0.01 if c == "transfer_entropy" and o == "descending" and f else 0.0)

    sentences = findings(StudyResults(measured(accuracy)), clips, 10)
    (compared,) = [one for one in sentences if "removed, random order" in one]
    assert f"is {verdict}" in compared
    assert "(-1.0 to -1.0" not in compared or clips > 96


def test_accuracies_at_chance_get_a_word():
    rows = measured(lambda s, r, c, o, f: 0.9 if not f else 0.02)
    sentences = findings(StudyResults(rows), 100, 10)
    assert "Before removal, no regularisation: 90.0 ± 0.0% test accuracy." in sentences
    (change,) = [one for one in sentences if one.startswith("Removing 50%")]
    assert "leaves 2.0 ± 0.0% (below chance, which is 10.0%)" in change
    (table, *_) = accuracy_tables(StudyResults(rows), 100, 10)
    assert [cell["chance"] for cell in table["lines"][0]["cells"]] == [
        None, "below chance", "below chance",
    ]  # fmt: skip


def whole_story():
    """Rows with recoveries and small networks in which every question has a known answer."""

    def accuracy(s, r, c, o, f):
        if not f:
            return 0.9
        aware = 0.1 if (c, f) == ("transfer_entropy", 0.25) else 0.0
        return {"l1": 0.6, "l2": 0.7, "none": 0.5}.get(r, 0.5) + aware + (c == "l1") * 0.05

    rows = measured(accuracy, recoveries=RECOVERIES)
    recovered = [
        replace(one, accuracy=0.85) if one.recovery != "none" and one.removed_fraction else one
        for one in rows
    ]
    small = [row(s, "none", FROM_SCRATCH, NO_ORDER, f, 0.8) for s in range(3) for f in (0.5, 0.6)]
    return StudyResults([*recovered, *small])


def test_the_answer_has_five_sentences():
    half, penalties, recoveries, small, sequences = answers(whole_story(), 10**5, 10)
    assert "does not hold here: 50% removed" in half
    assert "of 6 other orders L1 norm (descending), L1 norm (ascending) are better" in half
    assert "holds here: at 60% removed L1 changes by -30.0 and L2 by -20.0 points" in penalties
    assert "5.0 points without recovery (2 of 6 orders differ from random ones)" in recoveries
    assert "0.0 points with reconstruction (none of 6" in recoveries
    assert "without 50% of the units reaches 80.0 ± 0.0%: more than transfer entropy" in small
    assert "less than transfer entropy (descending) with fine-tuning, -5.0" in small
    assert "has the highest mean at 25% (transfer entropy (descending), shown)." in sequences


def test_what_was_not_measured_is_said():
    only = [one for one in ROWS if one.regularizer == "l1" and one.criterion == "l1"]
    half, penalties, recoveries, small, sequences = answers(StudyResults(only), CLIPS, 10)
    assert "not measured" in half
    assert "not measured" in penalties
    assert "not measured" in recoveries
    assert small == "Small networks from scratch were not trained."
    assert "not compared" in sequences


def test_tables_hold_every_curve_with_its_tests():
    results = whole_story()
    tables = accuracy_tables(results, 10**5, 10)
    titles = [one["title"] for one in tables]
    assert titles[:3] == [
        "no regularisation, no recovery",
        "no regularisation, reconstruction",
        "no regularisation, fine-tuning",
    ]
    lines = {one["label"]: one["cells"] for one in tables[0]["lines"]}
    assert tables[0]["fractions"] == [0.0, 0.5, 0.6]
    assert list(lines)[-1] == "trained small from scratch"
    paper, chance = lines["transfer entropy (descending)"][1], lines["random order"][1]
    assert (paper["to_transfer_entropy"], chance["to_random"]) == (None, None)
    best = lines["L1 norm (ascending)"][1]
    assert best["to_random"]["mean"] == pytest.approx(5)
    assert best["to_random"]["p"] < best["to_random"]["p_holm"] < 0.05
    assert best["calibration_error"] == pytest.approx(5.5)
    assert lines["trained small from scratch"][0] is None


def test_one_seed_tells_nothing_apart():
    rows = measured(lambda s, r, c, o, f: 0.9 if c == "transfer_entropy" else 0.1, seeds=[0])
    sentences = findings(StudyResults(rows), CLIPS, 10)
    compared = [sentence for sentence in sentences if "At 50% removed, " in sentence]
    assert len(compared) == 6
    assert all("not told apart" in sentence and "one seed" in sentence for sentence in compared)


def test_table_beside_the_paper():
    table = paper_table(StudyResults(ROWS), CLIPS)
    papers = [(row["paper_before"], row["paper_after"], row["removed"]) for row in table]
    assert papers == [(89.4, 89.6, 0.5), (98.3, 98.3, 0.5), (90.5, 87.8, 0.6), (89.8, 89.9, 0.6)]
    results = StudyResults(ROWS)
    curve = Curve("l2", "transfer_entropy", "descending")
    last = table[-1]
    assert last["here_after"]["mean"] == 100 * results.spread(curve, 0.6).mean
    assert last["here_removed"] == 0.6
    only = [row for row in ROWS if row.regularizer == "l1"]
    assert paper_table(StudyResults(only), CLIPS)[0]["here_after"] is None


def test_the_papers_other_data_set_is_left_out():
    rows = [replace(row, dataset="ucf101") for row in ROWS]
    named = [row["what"] for row in paper_table(StudyResults(rows), CLIPS)]
    assert named == ["UCF101 (figure 2)", "with L1 (figure 3)", "with L2 (figure 3)"]
