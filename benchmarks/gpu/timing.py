"""Times as medians with quartiles, by a clock of the device or of the host."""

import statistics
import time

import torch

ROUNDS = 50
FEWEST = 5
WARM_UP = 3


class DeviceClock:
    """Events in the device's queue: what the device took, and what it waited for the host."""

    def __init__(self, device):
        self.device = device

    def mark(self):
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def milliseconds(self, first, last):
        last.synchronize()
        return first.elapsed_time(last)


class HostClock:
    """Wall time from an idle device to an idle device."""

    def __init__(self, device):
        self.device = device

    def mark(self):
        wait(self.device)
        return time.perf_counter()

    def milliseconds(self, first, last):
        return 1e3 * (last - first)


def wait(device):
    """Until all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clock_of(device):
    return DeviceClock(device) if device.type == "cuda" else HostClock(device)


def timed(call, copies, clock, *, seconds=1.0):
    """Milliseconds of `call(copy)`, on the copies in turn.

    50 rounds, or fewer where those would take longer than `seconds`, but at least 5.
    """
    for i in range(WARM_UP - 1):
        call(copies[i % len(copies)])
    (once,) = _rounds(call, copies[WARM_UP - 1 :] + copies, clock, 1)
    count = max(min(ROUNDS, int(1e3 * seconds / max(once, 1e-6))), FEWEST)
    return summary(_rounds(call, copies, clock, count))


def _rounds(call, copies, clock, count):
    # Times are read at the end, so that between rounds nothing waits but the clock itself.
    marks = []
    for i in range(count):
        first = clock.mark()
        call(copies[i % len(copies)])
        marks.append((first, clock.mark()))
    return [clock.milliseconds(*pair) for pair in marks]


def summary(times):
    """What is kept of the times of all rounds."""
    quartiles = (times * 2)[:2]
    if len(times) > 1:
        quartiles = statistics.quantiles(times, n=4, method="inclusive")[::2]
    return {
        "median": round(statistics.median(times), 5),
        "quartiles": [round(quartile, 5) for quartile in quartiles],
        "rounds": len(times),
    }
