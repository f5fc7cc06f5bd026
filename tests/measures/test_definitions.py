"""Every measure by its one definition: at once, in batches, by chi-square; rules of binning."""

from dataclasses import dataclass

import numpy as np
import pytest

import tefast
from tefast import measures
from tefast.binning import Binning, Rule

BESIDE = {
    "transfer_entropy": tefast.TransferEntropy,
    "reverse_transfer_entropy": tefast.ReverseTransferEntropy,
    "normalized_transfer_entropy": tefast.NormalizedTransferEntropy,
    "conditional_transfer_entropy": tefast.ConditionalTransferEntropy,
    "mutual_information": tefast.MutualInformation,
}
ALONE = {
    "active_information": tefast.ActiveInformation,
    "entropy_rate": tefast.EntropyRate,
    "entropy": tefast.Entropy,
}
OPTIONS = [{}, {"target_history": 2}, {"source_history": 2, "delay": 3}, {"bias": "miller_madow"}]


def sample():
    rng = np.random.default_rng(3)
    h, y, z = rng.random((9, 40, 5)), rng.random((9, 40)), rng.random((9, 40))
    h[:, 1:, 0] = (h[:, 1:, 0] + y[:, :-1]) / 2
    return h, y, z, rng.integers(5, 41, 9)


def accepted(name, options):
    """The options that a measure has."""
    if name == "mutual_information":
        return {key: value for key, value in options.items() if key in ("delay", "bias")}
    if name == "normalized_transfer_entropy":
        return {key: value for key, value in options.items() if key != "bias"}
    if name == "entropy":
        return {}
    if name in ALONE:
        given = {"history": options.get("target_history", 1), "bias": options.get("bias")}
        return {key: value for key, value in given.items() if value}
    return options


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", [*BESIDE, *ALONE])
def test_batches_give_the_bits_of_all_data_at_once(name, options):
    h, y, z, lengths = sample()
    given = [h] if name in ALONE else [h, y, z] if name.startswith("cond") else [h, y]
    options = accepted(name, options)
    ranges = {f"{role}_range": (0, 1) for role, _ in zip("hyz", given, strict=False)}
    whole = getattr(tefast, name)(*given, bins=4, lengths=lengths, **ranges, **options)
    kind = (BESIDE | ALONE)[name]
    parts = [kind(5, 4, **ranges, **options) for _ in range(2)]
    for i, some in enumerate((slice(0, 2), slice(2, 9))):
        parts[i].update(*(each[some] for each in given), lengths[some])
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(parts[0].compute(), whole)
    again = kind(5, 4, **ranges, **options)
    again.load_state_dict(parts[0].state_dict())
    np.testing.assert_array_equal(again.compute(), whole)


def test_conditions_must_be_as_many_as_were_told():
    h, y, z, _ = sample()
    te = tefast.ConditionalTransferEntropy(
        5, 4, conditions=2, h_range=(0, 1), y_range=(0, 1), z_range=(0, 1)
    )
    with pytest.raises(ValueError, match=r"z .*must hold conditions=2 series, got 1"):
        te.update(h, y, z)
    te.update(h, y, np.stack([z, y], axis=-1))
    assert te.counts.shape == (5, 4, 4, 4, 16)


def test_settings_that_differ_do_not_merge():
    one, other = (tefast.ActiveInformation(2, 4, history=k, h_range=(0, 1)) for k in (1, 2))
    with pytest.raises(ValueError, match="target_history is 1 here and 2 there"):
        one.merge(other)


@pytest.mark.parametrize("name", ["transfer_entropy", "mutual_information"])
def test_chi_square_from_what_was_counted(name):
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (40, 200))
    h = rng.integers(0, 2, (40, 200, 3))
    h[:, 1:, 1] = np.where(rng.random((40, 199)) < 0.2, y[:, :-1], h[:, 1:, 1])
    counted = BESIDE[name](3, 2, **({"delay": 1} if name == "mutual_information" else {}))
    counted.update(h, y)
    found = counted.significance(alpha=0.01)
    assert found.p_value[1] < 1e-9
    assert found.p_value[[0, 2]].min() > 0.001
    assert found.alpha == 0.01
    if name == "transfer_entropy":
        known = tefast.significance(h, y, 2, method="chi2")
        for field in ("te", "p_value", "q_value", "null_mean", "standard_error"):
            np.testing.assert_array_equal(getattr(found, field), getattr(known, field))
    else:
        from scipy.stats import chi2_contingency

        table = counted.counts[1]
        g, *_ = chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert found.te[1] * 2 * table.sum() * np.log(2) == pytest.approx(g, rel=1e-9)


def test_what_has_nothing_to_be_told_by_has_no_test():
    rate = tefast.EntropyRate(1, 2)
    with pytest.raises(TypeError, match="entropy_rate has nothing that chance could give"):
        rate.significance()


def test_each_measure_has_one_definition():
    found = [m for m in vars(measures).values() if isinstance(m, measures.Measure)]
    found.remove(measures.RATE_BESIDE_SOURCE)
    assert {measure.name: measure for measure in found} == measures.NAMED
    assert len(found) == len(measures.NAMED)
    for name in {*BESIDE, *ALONE} - {"normalized_transfer_entropy"}:
        assert measures.find(name) is (BESIDE | ALONE)[name].measure


def test_codes_of_values():
    h = np.array([[0.0, 0.49, 0.5, 1.0, 7.0, np.nan]]).T
    codes = tefast.encode(h, bins=2, h_range=(0, 1), nan_policy="omit")
    assert codes.shape == h.shape
    assert codes.ravel().tolist() == [0, 0, 1, 1, 1, -1]
    words = np.array(["b", "a", "c", "a"])
    assert tefast.encode(words, binning="symbols").tolist() == [1, 0, 2, 0]
    ragged = tefast.encode(np.zeros((2, 3, 1)), h_range=(-1, 1), bins=4, lengths=[1, 3])
    assert ragged[..., 0].tolist() == [[2, -1, -1], [2, 2, 2]]


@dataclass(frozen=True)
class Signs(Rule):
    """Negative, or not: a rule of one's own, whatever the data are."""

    def check(self, bins):
        if bins != 2:
            raise ValueError(f"Signs takes bins=2, got {bins}")
        return self

    def known(self, bins, limits):
        return Binning(bins, np.zeros((1, 1)))


@dataclass(frozen=True)
class Middle(Rule):
    """Bins beside the middle of each unit's range."""

    streams = False

    def learn(self, bins, data):
        return Binning(2, (data.low + data.high)[:, np.newaxis] / 2)


def test_a_rule_of_ones_own():
    rng = np.random.default_rng(1)
    h, y = rng.standard_normal((5, 60, 3)), rng.standard_normal((5, 60))
    signs = tefast.transfer_entropy(h, y, 2, binning=Signs())
    known = tefast.transfer_entropy((h >= 0).astype(int), (y >= 0).astype(int), 2)
    np.testing.assert_array_equal(signs, known)
    te = tefast.TransferEntropy(3, 2, binning=Signs())
    te.update(h, y)
    np.testing.assert_array_equal(te.compute(), known)
    middles = tefast.learn_binning(h, 2, binning=Middle()).edges
    np.testing.assert_array_equal(middles[:, 0], (h.min((0, 1)) + h.max((0, 1))) / 2)
    with pytest.raises(ValueError, match="Signs takes bins=2, got 3"):
        tefast.transfer_entropy(h, y, 3, binning=Signs())
    with pytest.raises(ValueError, match="binning=a Middle needs all data at once"):
        tefast.TransferEntropy(3, 2, binning=Middle())
    with pytest.raises(
        ValueError, match="h_range goes with binning='uniform', got binning=a Signs"
    ):
        tefast.transfer_entropy(h, y, 2, binning=Signs(), h_range=(0, 1))


@dataclass(frozen=True)
class Wrong(Rule):
    """A rule whose bins do not fit."""

    bins: int
    edges: np.ndarray | None

    def known(self, bins, limits):
        return Binning(self.bins, self.edges)


@pytest.mark.parametrize(
    ("bins", "edges", "message"),
    [
        (3, np.zeros((1, 2)), r"expected 2 bins and float64 edges of shape \(1, 1\).*got 3 bins"),
        (2, np.zeros((1, 3)), r"shape \(1, 1\) or \(3, 1\), got 2 bins .* of shape \(1, 3\)"),
        (2, np.zeros((2, 1)), r"edges (of shape \(2, 1\)|for 2 units)"),
        (2, np.zeros((1, 1), np.float32), "float32 edges"),
        (2, np.array([[np.nan]]), "inner edges must be finite and rise"),
        (2, None, "floats take inner edges, got none"),
    ],
)
def test_bins_that_do_not_fit_are_refused(bins, edges, message):
    h, y = np.random.default_rng(0).random((2, 5, 9, 3))
    for how in (Wrong(bins, edges), Binning(bins, edges)):
        if isinstance(how, Binning) and bins == 3:
            continue  # three bins of one's own are three bins
        with pytest.raises(ValueError, match=message):
            tefast.transfer_entropy(h, y[..., 0], 2, binning={"h": how})
        with pytest.raises(ValueError, match=message):
            tefast.TransferEntropy(3, 2, binning={"h": how}, y_range=(0, 1)).update(h, y[..., 0])
