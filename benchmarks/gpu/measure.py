"""One case, timed by every way there is; each result is checked before or beside its time."""

from importlib import import_module

import torch

from gpu import check, ours
from gpu.cases import rotation
from gpu.timing import HostClock, clock_of, timed

# What each is called and where it is: in modules of their own, for the packages that they need.
RIVALS = {
    "torch bincount": ("gpu.with_torch", "bincount"),
    "torch scatter_add": ("gpu.with_torch", "scatter_add"),
    "CuPy, shared memory": ("gpu.with_cupy", "shared"),
    "CuPy, direct": ("gpu.with_cupy", "direct"),
    "Triton": ("gpu.with_triton", "transfer_entropy"),
}
ANYWHERE = ("torch bincount", "torch scatter_add")  # not on a GPU alone
RIVALS_AGREE_TO = 1e-9
OURS = ("call", "operator", "graph")
BATCH = 64  # sequences of a streaming update


def measure(case, device):
    """Everything about one case whose data lie on the device."""
    host = case.inputs()
    copies = rotation(host, case.bytes, device)
    expected, difference = check.check(case, host, copies[0])
    clock, options = clock_of(device), case.work.options
    times = {
        "copy": copy(copies, clock),
        "call": timed(lambda inputs: ours.call(inputs, options), copies, clock),
    }
    skipped = {}
    if case.work.ranges_given:  # else edges are found within the call, and rivals know of none
        if device.type == "cuda":
            times["operator"] = timed(ours.operator, copies, clock)
            times["graph"] = graphs(copies, clock, expected)
        others, skipped = rivals(copies, clock, expected)
        times |= others
    return {
        **about(case), "copies": len(copies), "difference": difference,
        "milliseconds": times, "skipped": skipped, "derived": derived(case.bytes, times),
    }  # fmt: skip


def copy(copies, clock):
    """The target, from the device to the device."""
    pairs = [(torch.empty_like(inputs.h), inputs.h) for inputs in copies]
    return timed(lambda pair: pair[0].copy_(pair[1]), pairs, clock)


def graphs(copies, clock, expected):
    """Replays of the operator, captured once for each copy."""
    captured = ours.captured(copies)
    captured[0][1].fill_(torch.nan)
    check.scores_agree(ours.bits(ours.replay(captured[0])), expected, "the operator's graph")
    return timed(ours.replay, captured, clock)


def rivals(copies, clock, expected):
    """Times by name, and why what is not among them is not."""
    times, skipped = {}, {}
    for name, (module, function) in RIVALS.items():
        if not copies[0].h.is_cuda and name not in ANYWHERE:
            skipped[name] = "it runs on a GPU alone"
            continue
        try:
            transfer_entropy = getattr(import_module(module), function)
            scores = transfer_entropy(copies[0])
            check.scores_agree(scores, expected, name, RIVALS_AGREE_TO)
            times[name] = timed(transfer_entropy, copies, clock)
        except Exception as error:  # whatever keeps a rival from running, tefast is measured
            skipped[name] = first_line(error)
    return times, skipped


def derived(size, times):
    """Rates in GB/s, and how long rivals take beside the public call. size: bytes of the target."""
    rate = {name: size / row["median"] / 1e6 for name, row in times.items()}
    copied = 2 * rate["copy"]  # read and written
    own = [name for name in OURS if name in times]
    return {
        "copy_gb_per_s": round(copied, 2),
        "h_gb_per_s": {name: round(rate[name], 2) for name in own},
        "of_copy": round(rate["operator" if "operator" in own else "call"] / copied, 4),
        "ratio": {
            name: round(times[name]["median"] / times["call"]["median"], 3)
            for name in RIVALS
            if name in times
        },
    }


def from_host(case, device):
    """Data in the host's memory: counted there, or copied over and counted on the device."""
    host, options = case.inputs(), case.work.options
    kinds = {"pageable": host}
    if device.type == "cuda":
        kinds["pinned"] = host.each(torch.Tensor.pin_memory)

    def call(inputs):
        return ours.call(inputs, options)

    def over_and_call(inputs):
        return call(inputs.to(device))

    clock, expected = HostClock(device), call(host)
    times = {"CPU backend": timed(call, [host], clock)}
    for kind, inputs in kinds.items():
        check.scores_agree(over_and_call(inputs), expected, f"the call after a {kind} copy")
        times[f"{kind}: copy"] = timed(lambda each: each.to(device), [inputs], clock)
        times[f"{kind}: copy and call"] = timed(over_and_call, [inputs], clock)
    rates = {
        f"{kind}_gb_per_s": round(case.bytes / times[f"{kind}: copy"]["median"] / 1e6, 2)
        for kind in kinds
    }
    return {**about(case), "milliseconds": times, "derived": rates}


def streaming(case, device):
    """Batches that lie on the device, counted into an estimator there, beside one on the CPU."""
    host = case.inputs()
    on_device = host.to(device)
    options = check.counting_options(case, host)
    check.counts_agree(host.first(2 * BATCH), on_device.first(2 * BATCH), options)
    times = {}
    for name, inputs in (("CPU backend", host), ("device", on_device)):
        estimator = ours.streaming(case.work.shape[2], inputs.h.device, options)
        batches = list(zip(inputs.h.split(BATCH), inputs.y.split(BATCH), strict=True))
        clock = HostClock(inputs.h.device)
        update = timed(lambda batch, to=estimator: to.update(*batch), batches, clock)
        compute = timed(lambda of: of.compute(), [estimator], clock)
        times |= {f"{name}: update": update, f"{name}: compute": compute}
    return {**about(case), "sequences_a_batch": BATCH, "milliseconds": times}


def about(case):
    """What of a case its results repeat."""
    return {
        "workload": case.work.name, "shape": list(case.work.shape), "bins": case.work.bins,
        "dtype": case.dtype, "bytes": case.bytes,
    }  # fmt: skip


def first_line(error):
    """An exception in a line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
