"""Do the significance tests err as often as they say, and what is left of the bias?

    python benchmarks/calibration.py         # results/calibration.json, and from it
    python benchmarks/calibration.py --page  # the tables and the figure of docs/calibration.md

Data are drawn whose transfer entropy is known, mostly to be 0, and every method decides at 5 %. The
page says what came out. A run is one source beside one target. Surrogates of a source are drawn
once for all of its targets, and some runs share it: a group is one fresh source and its targets.
Given the source its runs are independent, so only a rate that depends on the source can make their
number vary more from group to group than a binomial one: `dispersion` is how many times as much it
does.
"""

import json
import multiprocessing
import os
import sys
import time
import warnings
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from report import RESULTS, ROOT, hardware
from scipy.signal import lfilter
from scipy.stats import binomtest, chi2, norm

import tefast

LEVEL = 0.05
SURROGATES = 199  # the 5 % are then reached exactly: 10 of 200
BITS = "bits in place of nats"
SHIFTED = ("trials", "circular", "shuffle", "conditional")
METHODS = (*SHIFTED, "chi2")
ALONE_METHODS = ("circular", "shuffle", "conditional", "chi2")
"""Those for one sequence, which no other can be exchanged with."""
STAY = 0.8
"""The chance that a chain keeps its symbol without drawing one."""
MEMORY = 0.9
"""Correlation of one step and the next of an autoregressive series."""
SLOW, NOISE = 0.97, 0.3
"""The same of a slow signal, and the standard deviation of the noise that it is seen through; its
own is 1."""
FLIP, KEEP = 0.15, 0.7
"""Chances that an agreeing source does not agree, and that its target keeps its symbol."""
PATH = RESULTS / "calibration.json"
SEED = 2**31
"""The first word of the data's seeds; those of surrogates begin with the group, which is less."""


@dataclass(frozen=True)
class Case:
    """Data, and what is asked of them.

    `methods` are all that are tried; `documented` those that ought to keep the level by what
    `tefast.significance` says of them. `coupling` is a parameter of the kind of data, if any.
    """

    data: str
    bins: int
    sequences: int = 200
    steps: int = 25
    history: int = 1  # of target and source
    methods: tuple[str, ...] = METHODS
    documented: tuple[str, ...] = METHODS
    groups: int = 400
    units: int = 10
    coupling: float = 0.0

    @property
    def transitions(self):
        return self.sequences * (self.steps - self.history)

    @property
    def cells(self):
        return self.bins ** (2 * self.history + 1)

    @property
    def freedom(self):
        """Degrees of freedom of the chi-square law where every cell can be occupied."""
        return self.bins**self.history * (self.bins**self.history - 1) * (self.bins - 1)

    def draw(self, group):
        """A fresh source (N, T) and its targets (N, T, units)."""
        kind = zlib.crc32(f"{self.data} {self.bins} {self.history}".encode())
        rng = np.random.default_rng([SEED, kind, self.transitions, group])
        shape = (self.sequences, self.steps)
        return KINDS[self.data](rng, self.bins, shape, self.units, self.coupling)


def uniform(rng, bins, shape):
    return rng.integers(0, bins, shape, dtype=np.uint8)


def kept(rng, drawn, stay):
    """Each step the symbol of `drawn` (N, T, ...), or with the chance `stay` the step before's."""
    fresh = rng.random(drawn.shape, dtype=np.float32) >= stay
    fresh[:, 0] = True
    step = np.arange(drawn.shape[1]).reshape(-1, *[1] * (drawn.ndim - 2))
    return np.take_along_axis(drawn, np.maximum.accumulate(np.where(fresh, step, 0), axis=1), 1)


def chain(rng, bins, shape):
    """First-order Markov chains."""
    return kept(rng, uniform(rng, bins, shape), STAY)


def stationary(rng, shape, memory):
    """Gaussian series of first order, each of variance 1."""
    noise = rng.standard_normal(shape)
    noise[:, 0] /= np.sqrt(1 - memory**2)
    return lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=1)


def in_bins_of_equal_chance(series, bins, deviation=1.0):
    edges = deviation * norm.ppf(np.arange(1, bins) / bins)
    return np.searchsorted(edges, series).astype(np.uint8)


def autoregressive(rng, bins, shape):
    """Stationary Gaussian series of first order in bins of equal chance; what is left in a bin of
    the step before does not tell all that the steps before it do."""
    return in_bins_of_equal_chance(stationary(rng, shape, MEMORY), bins)


def slow(rng, bins, shape):
    """The same, slower and seen through noise."""
    series = stationary(rng, shape, SLOW) + NOISE * rng.standard_normal(shape)
    return in_bins_of_equal_chance(series, bins, np.hypot(1, NOISE))


def apart(target, source):
    """A kind of data of which the source says nothing about the target."""
    return lambda rng, bins, shape, units, _: (
        source(rng, bins, shape), target(rng, bins, (*shape, units))
    )  # fmt: skip


def delayed(y, drawn):
    """The source's step before for every target, and what was drawn at the first step."""
    drawn[:, 1:] = y[:, :-1, np.newaxis]
    return drawn


def channel(rng, bins, shape, units, coupling):
    """The target is the source's step before with a chance of `coupling`, else anything."""
    y, h = uniform(rng, bins, shape), uniform(rng, bins, (*shape, units))
    copied = rng.random(h.shape, dtype=np.float32) < coupling
    return y, np.where(copied, delayed(y, h.copy()), h)


def lazy_copy(rng, bins, shape, units, _):
    """The source's step before, or with a chance of a half the target's own."""
    y = uniform(rng, bins, shape)
    return y, kept(rng, delayed(y, uniform(rng, bins, (*shape, units))), 0.5)


def noisy_copy(rng, bins, shape, units, _):
    """The source's step before, flipped with a chance of a tenth."""
    y = uniform(rng, bins, shape)
    copied = delayed(y, uniform(rng, bins, (*shape, units)))
    return y, copied ^ (rng.random(copied.shape, dtype=np.float32) < 0.1)


def agreeing(rng, bins, shape, units, coupling):
    """A source that mostly agrees with the target's present; with a chance of `coupling` the
    target's next step is the source's, else mostly its own. There is a source for each target."""
    h, y = np.empty((2, *shape), np.uint8)
    h[:, 0] = rng.integers(0, bins, shape[0])
    for t in range(shape[1]):
        drawn, following = rng.integers(0, bins, (2, shape[0]))
        flipped, kept, copied = rng.random((3, shape[0])) < [[FLIP], [KEEP], [coupling]]
        y[:, t] = np.where(flipped, drawn, h[:, t])
        if t + 1 < shape[1]:
            h[:, t + 1] = np.where(copied, y[:, t], np.where(kept, h[:, t], following))
    return y, h[..., np.newaxis]


KINDS = {
    "independent": apart(uniform, uniform),
    "Markov chains": apart(chain, chain),
    "autoregressive source": apart(uniform, autoregressive),
    "autoregressive target": apart(autoregressive, uniform),
    "autoregressive source and target": apart(autoregressive, autoregressive),
    "slow source and target": apart(slow, slow),
    "agreeing source": agreeing,
    "channel": channel,
    "lazy copy": lazy_copy,
    "noisy copy": noisy_copy,
}

ALONE = {"methods": ("chi2",), "documented": ("chi2",), "groups": 4000, "units": 1}
KEEPING = ("trials", "circular")  # the source's memory
INDEPENDENT = [
    Case("independent", 2),
    Case("independent", 4),
    Case("independent", 16, methods=SHIFTED, documented=SHIFTED),
    Case("independent", 16, sequences=5400, **ALONE),
    Case("independent", 16, sequences=834, **{**ALONE, "documented": ()}),
    Case("independent", 2, sequences=50, steps=22, history=2, groups=200),
]
WITH_MEMORY = [
    Case("Markov chains", 2, documented=(*KEEPING, "conditional", "chi2")),
    Case("autoregressive source", 2, documented=(*KEEPING, "shuffle", "conditional")),
    Case("autoregressive target", 2),
    Case("autoregressive source and target", 2, documented=KEEPING),
    *(
        Case("autoregressive source and target", 2, sequences=sequences, steps=steps,
             methods=METHODS if sequences > 1 else ALONE_METHODS,
             documented=KEEPING if sequences > 1 else ("circular",))
        for sequences, steps in ((1, 4801), (1, 100), (5, 21))
    ),
    Case("slow source and target", 4, sequences=1, steps=20_001, groups=40, units=60,
         methods=ALONE_METHODS, documented=("circular",)),
]  # fmt: skip
COUPLINGS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
WEAK = [
    Case("channel", bins, groups=100, units=20, coupling=coupling)
    for bins in (2, 4)
    for coupling in COUPLINGS
]
AGREEING = [
    Case("agreeing source", bins, sequences=sequences, steps=26, coupling=coupling, units=1,
         documented=() if coupling else ("conditional",), groups=1000 if coupling else 2000)
    for bins, sequences, couplings in ((4, 12, (0, 0.1, 0.2, 0.3, 0.4)), (6, 24, (0, 0.2, 0.4)))
    for coupling in couplings
]  # fmt: skip
SIZES = {100: 400, 300: 400, 1000: 400, 3000: 50, 10_000: 50, 30_000: 50, 100_000: 50}
"""Groups of every number of transitions."""
KNOWN = [
    ("independent", 2, 0.0),
    ("independent", 4, 0.0),
    ("independent", 16, 0.0),
    ("noisy copy", 2, 0.531004406411),
    ("lazy copy", 4, 0.798794940695),
]
ESTIMATED = [
    (Case(data, bins, sequences=1, steps=size + 1, groups=groups, units=20), bits)
    for data, bins, bits in KNOWN
    for size, groups in SIZES.items()
]


def tested(*data, **options):
    """`tefast.significance` without its warnings, which are of what is studied here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return tefast.significance(*data, surrogates=options.pop("surrogates", SURROGATES),
                                   threads=1, **options)  # fmt: skip


def p_values(case, method, group):
    """p of every unit of a group, as {method: (units,)}."""
    y, h = case.draw(group)
    history = {"target_history": case.history, "source_history": case.history}
    found = tested(h, y, case.bins, method=method, seed=group, **history)
    if method != "chi2":
        return {method: found.p_value}
    return {method: found.p_value, BITS: bits_in_place_of_nats(case, found.te)}


def bits_in_place_of_nats(case, te):
    """p by the law for nats, given bits: what JIDT's discrete calculator does analytically."""
    return chi2.sf(2 * case.transitions * te, case.freedom)


def rates(case, method):
    """Rows: how often each decision falls against chance."""
    groups = [p_values(case, method, group) for group in range(case.groups)]
    rows = []
    for name in groups[0]:
        rejected = np.array([np.count_nonzero(p[name] <= LEVEL) for p in groups])
        rows.append(described(case) | {"method": name} | rate_of(rejected, case.units))
        rows[-1]["documented"] = name in case.documented
    return rows


def rate_of(rejected, units):
    """Rate with its exact binomial interval of 95 %, from the rejected ones of every group."""
    runs, total = len(rejected) * units, int(rejected.sum())
    interval = binomtest(total, runs).proportion_ci(0.95, "exact")
    rate = total / runs
    binomial = units * rate * (1 - rate)
    return {
        "runs": runs,
        "rejected": total,
        "rate": rate,
        "low": float(interval.low),
        "high": float(interval.high),
        "contains_level": bool(interval.low <= LEVEL <= interval.high),
        "dispersion": float(rejected.var(ddof=1) / binomial) if binomial else None,
    }


def described(case):
    """What a row says of its data."""
    kept_fields = ("data", "bins", "history", "sequences", "steps", "coupling", "groups", "units")
    fields = {name: asdict(case)[name] for name in kept_fields}
    each = case.transitions / case.cells
    return fields | {"transitions": case.transitions, "transitions_per_cell": round(each, 1)}


def ties(case):
    """How many sources in another order give exactly what the source gives, of how many."""
    history = {"target_history": case.history, "source_history": case.history}
    rng = np.random.default_rng(SEED)
    tied = []
    for group in range(40):
        y, h = case.draw(group)
        te, *nulls = (
            tefast.transfer_entropy(h, source, case.bins, threads=1, **history)
            for source in (y, *(reordered(y, rng) for _ in range(50)))
        )
        tied.append(np.abs(np.array(nulls) - te) < 1e-12)
    return described(case) | {"ties": int(np.sum(tied)), "compared": int(np.size(tied))}


def reordered(y, rng):
    """The source's steps in another order, but for the last of each sequence, which is not used."""
    return np.hstack([rng.permuted(y[:, :-1], axis=None), y[:, -1:]])


def estimates(case, bits):
    """A row: the mean of each estimate in bits, and its standard error over groups."""
    means = {name: [] for name in ("plug-in", "miller_madow", "grassberger", "effective_te")}
    for group in range(case.groups):
        y, h = case.draw(group)
        for bias in ("miller_madow", "grassberger"):
            te = tefast.transfer_entropy(h, y, case.bins, bias=bias, threads=1)
            means[bias].append(te.mean())
        found = tested(h, y, case.bins, method="shuffle", surrogates=49, seed=group)
        means["plug-in"].append(found.te.mean())
        means["effective_te"].append(found.effective_te.mean())
    row = described(case) | {"bits": bits}
    row["formula"] = case.freedom / (2 * case.transitions) / np.log(2)
    row["mean"] = {name: float(np.mean(each)) for name, each in means.items()}
    row["standard_error"] = {
        name: float(np.std(each, ddof=1) / np.sqrt(case.groups)) for name, each in means.items()
    }
    return row


def true_bits(bins, coupling):
    """Transfer entropy of `channel`."""
    p = np.full(bins, (1 - coupling) / bins)
    p[0] += coupling
    return float(np.log2(bins) + (p * np.log2(p)).sum())


def agreeing_bits(bins, coupling):
    """Transfer entropy of `agreeing`: all symbols of its target are equally frequent."""
    same = np.eye(bins)
    y_given_h = (1 - FLIP) * same + FLIP / bins
    own = KEEP * same + (1 - KEEP) / bins
    # p[h, y, next], of which p(h) is 1 / bins
    p = (coupling * same[np.newaxis] + (1 - coupling) * own[:, np.newaxis]) * y_given_h[..., None]
    without = p.sum(axis=1, keepdims=True)
    ratio = p / (without * p.sum(axis=2, keepdims=True))
    return max(0.0, float((p * np.log2(np.where(p > 0, ratio, 1.0))).sum() / bins))


def measure(pool):
    """The whole study; every job is one case and method."""
    tested = [(part, case, method)
              for part, cases in (("independent", INDEPENDENT), ("memory", WITH_MEMORY),
                                  ("power", WEAK), ("agreeing", AGREEING))
              for case in cases for method in case.methods]  # fmt: skip
    jobs = [pool.submit(rates, case, method) for _, case, method in tested]
    of_bias = [pool.submit(estimates, case, bits) for case, bits in reversed(ESTIMATED)]
    tied = [pool.submit(ties, case) for case in INDEPENDENT if "shuffle" in case.methods]
    results = {"independent": [], "memory": [], "power": [], "agreeing": []}
    for (part, case, method), job in zip(tested, jobs, strict=True):
        results[part] += job.result()
        rate = job.result()[0]["rate"]
        print(f"{case.data} {case.bins} {case.coupling:g} {method}: {rate:.4f}", flush=True)
    for row in results["power"]:
        row["bits"] = true_bits(row["bins"], row["coupling"])
    for row in results["agreeing"]:
        row["bits"] = agreeing_bits(row["bins"], row["coupling"])
    results["bias"] = [job.result() for job in reversed(of_bias)]
    results["ties"] = [job.result() for job in tied]
    return results


def committed():
    """The results that the page shows."""
    return json.loads(PATH.read_text(encoding="utf-8"))


def main(arguments):
    import calibration_page as page
    import calibration_pairs

    if arguments != ["--page"]:
        start, threads = time.monotonic(), len(os.sched_getaffinity(0))
        with ProcessPoolExecutor(threads, multiprocessing.get_context("spawn")) as pool:
            found = {"hardware": hardware(), "level": LEVEL, "surrogates": SURROGATES}
            found |= measure(pool) | calibration_pairs.measure(pool)
        print(f"{time.monotonic() - start:.0f} s")
        PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = committed()
    path = ROOT / "docs" / "calibration.md"
    path.write_text(page.filled(path.read_text(encoding="utf-8"), results), encoding="utf-8")
    page.draw(results, ROOT / "docs" / "calibration.png")


if __name__ == "__main__":
    main(sys.argv[1:])
