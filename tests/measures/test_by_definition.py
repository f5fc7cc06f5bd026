"""Any measure by its definition: at once, in batches, from files, held against chance."""

import copy
import math
import pickle
from dataclasses import replace

import naive
import numpy as np
import pytest

import tefast
from tefast import measures
from tefast.measures import Axis, Measure

RANGES = {"h_range": (0, 1), "y_range": (0, 1), "z_range": (0, 1)}
OWN_NAMES = {"history": "target_history", "step": "target_step"}
EMBEDDINGS = [
    {},
    {"target_history": 2, "target_step": 2},
    {"source_history": 2, "delay": 3},
    {"delay": 2, "bias": "grassberger"},
]


def sample(seed=3):
    rng = np.random.default_rng(seed)
    h, y, z = rng.random((7, 30, 4)), rng.random((7, 30)), rng.random((7, 30))
    h[:, 1:, 0] = (h[:, 1:, 0] + y[:, :-1]) / 2
    h[:, :, 1] = (h[:, :, 1] + y) / 2
    return {"h": h, "y": y, "z": z}, rng.integers(4, 31, 7)


def taken(measure, given):
    return [given[role] for role in "hyz" if role in measure.roles]


def limits(measure):
    return {f"{role}_range": RANGES[f"{role}_range"] for role in measure.roles}


def present(embedding):
    return (0,)


def before(embedding):
    return (1,)


def past(embedding):
    return embedding.past


def delayed(embedding):
    return (embedding.delay,)


AT_ONCE = Measure(
    "at_once",
    {"was": Axis("h", past), "is": Axis("h", present), "source": Axis("y", delayed)},
    ("is",),
    ("source",),
    ("was",),
    default_delay=0,
)
"""What the source tells of a unit at the same step, beyond the unit's past."""
RENAMED = Measure(
    "renamed",
    {"was": Axis("h", before), "is": Axis("h", present), "by": Axis("y", before)},
    ("is",),
    ("by",),
    ("was",),
)
"""Transfer entropy over single steps, with other names for its axes."""
BY_CONDITIONS = Measure(
    "by_conditions",
    {"is": Axis("h", present), "two": Axis("h", lambda embedding: (1, 3)), "z": Axis("z", before)},
    ("is",),
    ("z",),
    ("two",),
)
"""Of a unit and conditions alone, with a past that lies apart."""
OPEN = Measure("open", {"is": Axis("h", present), "y": Axis("y", present)}, ("is",), (), ("y",))
"""What is left open of a unit that the source does not tell."""


def rows(measure, embedding, codes, lengths):
    """(x, y, given) of every window of one unit, by loops over plain numbers."""
    found = []
    for n, steps in enumerate(lengths):
        for t in range(steps):
            back = {name: axis.back(embedding) for name, axis in measure.axes.items()}
            if any(t - step < 0 for steps in back.values() for step in steps):
                continue
            state = {
                name: tuple(codes[axis.role][n][t - step] for step in back[name])
                for name, axis in measure.axes.items()
            }
            of = (measure.x, measure.y, measure.given)
            found.append(tuple(tuple(state[name] for name in names) for names in of))
    return found


def twin(measure, embedding, given, lengths, bias=None, base=2):
    """The measure of every unit, by `naive`."""
    found = []
    for u in range(given["h"].shape[2]):
        codes = {**given, "h": given["h"][..., u]}
        windows = rows(measure, embedding, {role: x.tolist() for role, x in codes.items()}, lengths)
        if measure.y:
            found.append(naive.information(windows, base, bias))
        else:
            pairs = [(x, z, ()) for x, _, z in windows]
            found.append(naive.open_information(pairs, base, bias))
    return found


@pytest.mark.parametrize("options", EMBEDDINGS, ids=str)
@pytest.mark.parametrize("name", [name for name in measures.NAMED if hasattr(tefast, name)])
def test_a_name_gives_the_bits_of_its_function(name, options):
    given, lengths = sample()
    measure = measures.NAMED[name]
    options = {key: x for key, x in options.items() if key in (*measure.embedded, "bias")}
    if name == "entropy":
        options = {}
    mask = np.random.default_rng(0).random((7, 30)) < 0.9
    shared = {"bins": 4, "lengths": lengths, "mask": mask, **limits(measure)}
    found = tefast.evaluate(name, *taken(measure, given), **shared, **options)
    known = getattr(tefast, name)
    renamed = {v: k for k, v in OWN_NAMES.items()} if measure.roles == ("h",) else {}
    own = {renamed.get(key, key): x for key, x in options.items()}
    np.testing.assert_array_equal(found, known(*taken(measure, given), **shared, **own))
    again = tefast.evaluate(measure, *taken(measure, given), **shared, **options)
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("options", [{}, {"bias": "miller_madow"}, {"base": math.e}], ids=str)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("measure", [AT_ONCE, RENAMED, BY_CONDITIONS, OPEN], ids=lambda m: m.name)
def test_a_definition_of_ones_own_against_plain_loops(measure, backend, options):
    rng = np.random.default_rng(1)
    given = {"h": rng.integers(0, 3, (4, 12, 2)), "y": rng.integers(0, 3, (4, 12))}
    given["z"] = rng.integers(0, 3, (4, 12))
    given["h"][:, 1:, 0] = (given["y"][:, 1:] + given["h"][:, :-1, 0]) % 3
    lengths = np.array([12, 9, 12, 3])
    history = {"target_history": 2} if measure is AT_ONCE else {}
    embedding = measure.embedding(**history)
    expected = twin(measure, embedding, given, lengths.tolist(), **options)
    options = {**options, "bins": 3, "backend": backend, **history}
    layout = {"layout": "NTU"}
    found = tefast.evaluate(measure, **some(measure, given), lengths=lengths, **options, **layout)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    parts = [tefast.Streaming(measure, 2, **options) for _ in range(2)]
    for part, which in zip(parts, (slice(0, 1), slice(1, 4)), strict=True):
        batch = {role: x[which] for role, x in some(measure, given).items()}
        part.update(**batch, lengths=lengths[which])
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(parts[0].compute(), found)
    whole = tefast.Streaming(measure, 2, **options)
    whole.update_from(**some(measure, given), lengths=lengths, rows=1)
    np.testing.assert_array_equal(whole.counts, parts[0].counts)
    whole.load_state_dict(parts[0].state_dict())
    np.testing.assert_array_equal(whole.compute(), found)


def some(measure, given):
    return {role: given[role] for role in measure.roles}


@pytest.mark.parametrize("name", measures.NAMED)
def test_batches_of_a_name_give_the_bits_of_all_at_once(name):
    given, lengths = sample()
    measure = measures.NAMED[name]
    options = {"target_history": 2} if "target_history" in measure.embedded else {}
    expected = tefast.evaluate(
        name, **some(measure, given), bins=3, lengths=lengths, **limits(measure), **options
    )
    found = tefast.Streaming(name, 4, 3, **limits(measure), **options)
    for n in range(7):
        found.update(*(x[n : n + 1] for x in taken(measure, given)), lengths=lengths[n : n + 1])
    np.testing.assert_array_equal(found.compute(), expected)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert again.measure is measure
        np.testing.assert_array_equal(again.compute(), expected)


def test_a_definition_travels():
    again = pickle.loads(pickle.dumps(AT_ONCE))
    assert again == AT_ONCE
    assert pickle.loads(pickle.dumps(measures.RATE_BESIDE_SOURCE)) == measures.RATE_BESIDE_SOURCE


def test_a_name_of_ones_own(monkeypatch):
    monkeypatch.setitem(measures.NAMED, "at_once", AT_ONCE)
    h, y = np.random.default_rng(0).integers(0, 2, (2, 5, 40))
    known = tefast.evaluate(AT_ONCE, h, y, bins=2)
    assert tefast.evaluate("at_once", h, y, bins=2) == known
    assert pickle.loads(pickle.dumps(AT_ONCE)) is AT_ONCE


def test_several_sources_and_conditions_in_batches():
    rng = np.random.default_rng(2)
    h, y, z = rng.random((5, 20, 3)), rng.random((5, 20, 2)), rng.random((5, 20, 2))
    expected = tefast.evaluate(
        "conditional_transfer_entropy", h, y, z, bins=2, joint=True, **RANGES
    )
    kind = tefast.ConditionalTransferEntropy(3, 2, sources=2, conditions=2, **RANGES)
    found = tefast.Streaming(
        "conditional_transfer_entropy", 3, 2, sources=2, conditions=2, **RANGES
    )
    for te in (kind, found):
        te.update_from(h, y, z, rows=2)
        np.testing.assert_array_equal(te.compute(), expected)
    with pytest.raises(ValueError, match="conditions is 1 here and 2 there"):
        tefast.Streaming("conditional_transfer_entropy", 3, 2, sources=2, **RANGES).merge(found)


def test_two_definitions_of_one_name_do_not_add_up():
    one = tefast.Streaming(RENAMED, 1, 2)
    other = tefast.Streaming(replace(AT_ONCE, name="renamed"), 1, 2)
    with pytest.raises(ValueError, match=r"measure is 'renamed = I\(is; by \| was\)"):
        one.merge(other)


EVERY_METHOD = ["trials", "circular", "shuffle", "conditional", "chi2"]


@pytest.mark.parametrize("history", [1, 2])
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_twin_of_transfer_entropy_is_tested_alike(method, history):
    if method == "chi2":
        pytest.importorskip("scipy")
    rng = np.random.default_rng(5)
    h, y = rng.integers(0, 2, (12, 60, 3)), rng.integers(0, 2, (12, 60))
    h[:, 1:, 1] = np.where(rng.random((12, 59)) < 0.3, y[:, :-1], h[:, 1:, 1])
    same = replace(measures.TRANSFER_ENTROPY, name="twin")
    options = {"bins": 2, "method": method, "surrogates": 70, "target_history": history}
    known = tefast.significance(h, y, **options)
    found = tefast.significance(h, y, measure=same, **options)
    for field in ("te", "p_value", "q_value", "null_mean", "null_std", "standard_error"):
        np.testing.assert_allclose(getattr(found, field), getattr(known, field), atol=1e-12)


@pytest.mark.parametrize("delay", [0, 1, 2])
@pytest.mark.parametrize("measure", [measures.MUTUAL_INFORMATION, AT_ONCE], ids=lambda m: m.name)
def test_every_turn_of_a_source_by_plain_loops(measure, delay):
    rng = np.random.default_rng(delay)
    h, y = rng.integers(0, 2, (1, 12, 2)), rng.integers(0, 2, (1, 12))
    embedding = measure.embedding(delay=delay)
    nulls = np.array(
        [twin(measure, embedding, {"h": h, "y": np.roll(y, k, axis=1)}, [12]) for k in range(12)]
    )
    found = tefast.significance(
        h, y, 2, measure=measure, delay=delay, method="circular", surrogates=99
    )
    assert found.surrogates == 11
    np.testing.assert_allclose(found.te, nulls[0], atol=1e-12)
    np.testing.assert_allclose(found.p_value, (nulls >= nulls[0] - 1e-9).mean(axis=0))
    np.testing.assert_allclose(found.null_mean, nulls[1:].mean(axis=0), atol=1e-12)


def test_states_of_the_same_step_are_exchanged_by_plain_loops():
    rng = np.random.default_rng(7)
    h, y = rng.integers(0, 3, (2, 15, 1)), rng.integers(0, 2, (2, 15))
    h[..., 0] = np.where(rng.random((2, 15)) < 0.5, y, h[..., 0])
    found = tefast.significance(
        h, y, 3, measure=AT_ONCE, method="conditional", surrogates=20, seed=4
    )
    places = [(n, t) for n in range(2) for t in range(15)]
    windows = rows(
        AT_ONCE, AT_ONCE.embedding(), {"h": h[..., 0].tolist(), "y": y.tolist()}, [15] * 2
    )
    moves = list(zip([place for place in places if place[1] >= 1], windows, strict=True))
    # A surrogate's order is one of all steps with a state of the source.
    nulls = [
        naive.information(
            naive.exchanged(moves, places, np.random.default_rng([4, i]).permutation(30).tolist())
        )
        for i in range(20)
    ]
    np.testing.assert_allclose(found.te, [naive.information(windows)], atol=1e-12)
    np.testing.assert_allclose(found.null_mean, [np.mean(nulls)], atol=1e-12)


def test_chi_square_of_a_definition():
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 200))
    h = rng.integers(0, 2, (40, 200, 3))
    h[:, :, 1] = np.where(rng.random((40, 200)) < 0.2, y, h[:, :, 1])
    found = tefast.significance(h, y, 2, measure=AT_ONCE, method="chi2")
    counted = tefast.Streaming(AT_ONCE, 3, 2)
    counted.update(h, y)
    np.testing.assert_array_equal(counted.significance().p_value, found.p_value)
    assert found.p_value[1] < 1e-9
    assert found.p_value[[0, 2]].min() > 0.001


H, Y = np.zeros((3, 9, 2), int), np.zeros((3, 9), int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tefast.evaluate("te", H, Y), ValueError, "unknown measure 'te'; known are 'tran"),
        (lambda: tefast.evaluate(3, H, Y), TypeError, "measure must be a name or a .*got int"),
        (
            lambda: tefast.evaluate("transfer_entropy", H),
            TypeError,
            "transfer_entropy is a measure of h and y, got h",
        ),
        (
            lambda: tefast.evaluate("entropy", H, Y),
            TypeError,
            "entropy is a measure of h, got h and y",
        ),
        (
            lambda: tefast.evaluate("entropy", H, delay=1),
            ValueError,
            "entropy does not depend on delay, got delay=1",
        ),
        (
            lambda: tefast.evaluate("mutual_information", H, Y, target_history=2),
            ValueError,
            "mutual_information does not depend on target_history",
        ),
        (
            lambda: tefast.evaluate("transfer_entropy", H, Y, delay=-1),
            ValueError,
            "delay must be an integer, 0 or more, got -1",
        ),
        (
            lambda: tefast.evaluate("entropy", H, y_range=(0, 1)),
            TypeError,
            "entropy has no y, got y_range",
        ),
        (lambda: tefast.evaluate("entropy", H, joint=True), TypeError, "entropy has no y that"),
        (
            lambda: tefast.evaluate(AT_ONCE, H, Y, target_history=20),
            ValueError,
            "a window of at_once with target_history=20, delay=0, target_step=1 takes at least 21",
        ),
        (lambda: tefast.Streaming("entropy", 2, sources=2), TypeError, "has no y, got sources=2"),
        (
            lambda: tefast.Streaming("entropy", 2).update(H, Y),
            TypeError,
            "entropy is a measure of h, got h and y",
        ),
        (
            lambda: tefast.significance(H, Y, measure="reverse_transfer_entropy"),
            ValueError,
            r"significance tests I\(X; Y \| Z\) .*got reverse_transfer_entropy = I\(next; source",
        ),
        (
            lambda: tefast.significance(H, Y, measure="entropy"),
            ValueError,
            r"got entropy = H\(value\): value=h\[t\]",
        ),
        (
            lambda: Measure("none", {"y": Axis("y", present)}, ("y",)),
            ValueError,
            "none: axes of the units, with the role 'h', come first",
        ),
        (
            lambda: Measure("late", {"y": Axis("y", present), "h": Axis("h", present)}, ("h",)),
            ValueError,
            "late: axes of the units, with the role 'h', come first",
        ),
        (
            lambda: Measure("role", {"h": Axis("u", present)}, ("h",)),
            ValueError,
            "role: the role of an axis is 'h', 'y' or 'z', got",
        ),
        (
            lambda: Measure("twice", {"h": Axis("h", present)}, ("h",), ("h",)),
            ValueError,
            "twice: x, y and given name axes",
        ),
        (
            lambda: Measure("other", {"h": Axis("h", present)}, ("next",)),
            ValueError,
            "other: x, y and given name axes",
        ),
        (
            lambda: replace(AT_ONCE, default_delay=-1),
            ValueError,
            "at_once: default_delay must be an integer, 0 or more, got -1",
        ),
        (
            lambda: tefast.evaluate(
                Measure("ahead", {"h": Axis("h", lambda embedding: (-1,))}, ("h",)), H
            ),
            ValueError,
            r"back must give one or more steps, none negative, got \(-1,\)",
        ),
        (
            lambda: tefast.evaluate(
                Measure("half", {"h": Axis("h", lambda embedding: (0.5,))}, ("h",)), H
            ),
            TypeError,
            "back must give integers",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
