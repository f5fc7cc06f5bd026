"""Nothing is timed that does not agree with the CPU backend: counts exactly, scores to 1e-12."""

import torch

import tefast
from gpu import ours

TOLERANCE = 1e-12


class DisagreementError(AssertionError):
    """A result is not the CPU backend's."""


def check(case, host, inputs):
    """Counts, and scores by every way there is: the scores (bits) and the largest difference.

    host, inputs: the same on the CPU and on the device.
    """
    options = case.work.options
    expected = tefast.transfer_entropy(host.h, host.y, backend="cpu", **options)
    found = {"the public call": ours.call(inputs, options)}
    if inputs.h.is_cuda and case.work.ranges_given:
        found["the operator"] = ours.bits(ours.operator(inputs))
    differences = [scores_agree(scores, expected, name) for name, scores in found.items()]
    counts_agree(host, inputs, counting_options(case, host))
    return expected, max(differences)


def scores_agree(scores, expected, name, tolerance=TOLERANCE):
    """The largest difference; an error if it is too large or anything is NaN."""
    difference = (scores.double().cpu() - expected).abs().max().item()
    if not difference <= tolerance:
        raise DisagreementError(f"{name} differs from the CPU backend by {difference:.3g} bits")
    return difference


def counts_agree(host, inputs, options):
    """Bit for bit."""
    tables = []
    for part in (host, inputs):
        estimator = ours.streaming(part.h.shape[2], part.h.device, options)
        estimator.update(part.h, part.y)
        tables.append(ours.counts_of(estimator))
    if not torch.equal(*tables):
        wrong = int((tables[0] != tables[1]).sum())
        raise DisagreementError(f"{wrong} of {tables[0].numel()} counts are not the CPU backend's")


def counting_options(case, host):
    """For streaming, which must be told the ranges."""
    options = dict(case.work.options)
    if not case.work.ranges_given:
        options["h_range"] = tuple(
            end.double().numpy() for end in (host.h.amin((0, 1)), host.h.amax((0, 1)))
        )
    return options
