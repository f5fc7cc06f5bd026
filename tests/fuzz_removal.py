"""Models drawn from a seed: `prune` refuses them by name, or gives what the masked model gives.

`python tests/fuzz_removal.py --models 100000` tries that many. Drawn are recurrent layers of
all kinds, what lies between them and their readers, the readers, what becomes of their outputs, and
mistakes: sizes that are read as numbers, random numbers, states that are kept, hooks. A model that
is pruned must be equal to its masked twin in float64 on three batches that `prune` has not seen, of
other sizes and lengths; its logits too, where it returns no more than indices of them. The masked
twin is made here, by hand.
"""

import argparse
import collections
import copy
import dataclasses
import random
import sys
import time
import traceback

import numpy as np
import torch
from drawn_models import CELLS, Drawn, Plain, batch, plan
from torch.nn.utils.rnn import PackedSequence

import tefast.nn as tnn


def selection(drawn, rng):
    """Units that go, and projected outputs; as many of every part, or not."""
    parts = [(layer, way) for layer in range(drawn["layers"]) for way in range(1 + drawn["both"])]
    proj, even = drawn["proj"], rng.random() < 0.7
    gone = rng.randint(0, max(proj - 1, 0)) if rng.random() < 0.5 else 0
    most = drawn["units"] - 1 - max(proj - gone, 0)  # PyTorch wants more units than projections
    count = rng.randint(0, most)

    def choose(size, number):
        return sorted(rng.sample(range(size), number))

    units = {
        part: choose(drawn["units"], count if even else rng.randint(0, most)) for part in parts
    }
    projections = {part: choose(proj, gone) for part in parts} if proj else None
    return (units if drawn["kind"] not in CELLS else units[0, 0]), projections


def masked_twin(model, units, projections):
    """A copy whose units' rows are zero; made without tefast."""
    twin = copy.deepcopy(model)
    chosen = units if isinstance(units, dict) else {(0, 0): units}
    with torch.no_grad():
        for name, tensor in twin.rnn.named_parameters():
            role, _, end = name.partition("_l")
            part = (int(end[0]), int(end.endswith("reverse"))) if end else (0, 0)
            gone = (projections if role == "weight_hr" else chosen)[part]
            width = len(tensor) if role == "weight_hr" else model.plan["units"]
            for gate in range(len(tensor) // width):
                tensor[[gate * width + unit for unit in gone]] = 0
    return twin


def flat(value):
    """Everything in a result, as a list."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, np.ndarray):
        return [torch.from_numpy(value)]
    if isinstance(value, dict):
        return [leaf for key in value for leaf in [key, *flat(value[key])]]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in flat(one)]
    if dataclasses.is_dataclass(value) or isinstance(value, Plain):
        return flat(vars(value))
    return [value]


def run(model, arguments, seed):
    """Results of two calls in a row, and the logits behind them."""
    model = copy.deepcopy(model).eval()
    found = []
    for number in range(2):
        torch.manual_seed(seed + number)
        random.seed(seed + number)
        with torch.no_grad():
            found += flat(model(*copy.deepcopy(arguments)))
        found.append(model.tap)
    return found


def runs(model, arguments):
    """Whether a model runs: its own code may not take so few steps."""
    try:
        run(model, arguments, 0)
    except Exception:
        return False
    return True


def differ(ours, theirs):
    """Say how results differ, or None."""
    if len(ours) != len(theirs):
        return f"{len(ours)} results against {len(theirs)}"
    for one, two in zip(ours, theirs, strict=True):
        if not isinstance(one, torch.Tensor):
            close = isinstance(one, float) and np.isclose(one, two, rtol=1e-8, equal_nan=True)
            if one != two and not close:
                return f"{one!r:.60} against {two!r:.60}"
            continue
        if one.shape != two.shape:
            return f"shape {tuple(one.shape)} against {tuple(two.shape)}"
        if not one.is_floating_point():
            if not torch.equal(one, two):
                return "other integers"
            continue
        if not torch.equal(one.isnan(), two.isnan()):
            return "NaN elsewhere"
        one, two = one.nan_to_num(0.0, 1e300, -1e300), two.nan_to_num(0.0, 1e300, -1e300)
        off = (one - two).abs()
        unlike = off > 0
        if not bool(unlike.any()):
            continue
        entries = two[unlike].abs()
        center = two[unlike].mean()
        spread = (two[unlike] - center).abs().max() if len(entries) > 3 else entries.max()
        if bool((off > 1e-8 * spread + 1e-13 * two.abs() + 1e-15).any()):
            return f"{float(off.max()):.3g} at a spread of {float(spread):.3g}"
    return None


def held(model):
    """What must not change."""
    return (
        {name: t.clone() for name, t in model.state_dict().items()},
        [t._version for t in model.state_dict().values()],
        [p.requires_grad for p in model.parameters()],
        [module.training for module in model.modules()],
        [sorted(vars(module)) for module in model.modules()],
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        (list(model.log), dict(model.seen), model.state, model.last),
        (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002
    )


def same(before, after):
    """Whether nothing has changed."""
    state = before[0].keys() == after[0].keys() and all(
        torch.equal(t, after[0][name]) or bool(t.isnan().any()) for name, t in before[0].items()
    )
    return state and before[1:] == after[1:]


@dataclasses.dataclass
class Outcome:
    """What became of a model: "refused", "pruned", "broken" (it does not run), or a fault."""

    kind: str
    text: str = ""
    plan: dict | None = None

    @property
    def is_fault(self):
        return self.kind not in ("refused", "pruned", "broken")


def trial(seed):
    """Draw a model, prune it, and compare."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    random.seed(seed)
    drawn = plan(rng)
    model = Drawn(drawn).to(getattr(torch, drawn["dtype"])).train(rng.random() < 0.3)
    units, projections = selection(drawn, rng)
    arguments = batch(drawn, generator, drawn["equal"])
    try:
        run(model, arguments, 0)
    except Exception as error:
        return Outcome("broken", f"{type(error).__name__}: {error}", drawn)
    example = None if not drawn["pack"] and rng.random() < 0.3 else arguments
    given, before = copy.deepcopy(arguments), held(model)
    try:
        pruned = tnn.prune(model, units, projections=projections, example=example)
    except (ValueError, TypeError) as error:
        return Outcome("refused" if str(error) else "no message", str(error), drawn)
    except Exception as error:
        return Outcome("raw error", f"{error!r}\n{traceback.format_exc()}", drawn)
    if not same(before, held(model)):
        return Outcome("changed", "the model, or a random state", drawn)
    if differ(flat(arguments), flat(given)):
        return Outcome("changed", "the example", drawn)
    return compare(model, pruned, (units, projections), example, generator, drawn)


def compare(model, pruned, gone, example, generator, drawn):
    """Hold a pruned model to its masked twin."""
    wide = {**drawn, "dtype": "float64"}
    double = copy.deepcopy(model).double()
    if drawn["dtype"] != "float64":
        # The pruned model runs; in double precision it is the same one without its rounding.
        arguments = batch(drawn, generator, False)
        if runs(model, arguments) and not runs(pruned, arguments):
            return Outcome("does not run", "in the precision that it was pruned in", drawn)
        raised = None if example is None else tuple(
            one.to(torch.float64)
            if isinstance(one, torch.Tensor | PackedSequence) and not drawn["tokens"] and i == 0
            else one
            for i, one in enumerate(example)
        )  # fmt: skip
        try:
            pruned = tnn.prune(double, gone[0], projections=gone[1], example=raised)
        except (ValueError, TypeError) as error:
            return Outcome("only in half", str(error), drawn)
    masked = masked_twin(double, *gone)
    for seed, least in enumerate((3, 1, 1)):  # steps of the longest sequence, at least
        arguments = batch(wide, generator, False, least)
        try:
            theirs = run(masked, arguments, seed)
        except Exception:
            continue
        try:
            found = differ(run(pruned, arguments, seed), theirs)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            return Outcome("different", found, drawn)
    return Outcome("pruned", "", drawn)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--reasons", action="store_true", help="count why models are refused")
    options = parser.parse_args()
    torch.set_num_threads(1)
    counts, reasons = collections.Counter(), collections.Counter()
    started = time.monotonic()
    for seed in range(options.start, options.start + options.models):
        outcome = trial(seed)
        counts[outcome.kind] += 1
        if outcome.is_fault:
            print(f"seed {seed}: {outcome.kind}: {outcome.text}\n  {outcome.plan}", flush=True)
        if outcome.kind in ("refused", "broken"):
            reasons[outcome.kind, outcome.text[:110]] += 1
        if (seed - options.start + 1) % 5000 == 0:
            print(f"{seed + 1}: {dict(counts)}, {time.monotonic() - started:.0f} s", flush=True)
    print(f"{dict(counts)} in {time.monotonic() - started:.0f} s")
    if options.reasons:
        for (kind, text), count in reasons.most_common(60):
            print(f"{count:6} {kind}: {text}")
    return int(any(Outcome(kind).is_fault for kind in counts))


if __name__ == "__main__":
    sys.exit(main())
