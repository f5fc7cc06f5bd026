"""Transfer entropy as its definition reads: loops over plain Python numbers, no NumPy, no tefast.

Whatever else computes these numbers is held against this file, so it shares nothing with them and
prefers the obvious to the fast.
"""

import math
from collections import Counter


def uniform_edges(low, high, bins):
    """Inner edges of equal-width bins over [low, high]."""
    edges = []
    for i in range(1, bins):
        edge = min(max(low * (1.0 - i / bins) + high * (i / bins), low), high)
        edges.append(max([edge, *edges[-1:]]))
    return edges


def code(value, edges):
    """How many edges lie at or below the value; None for NaN."""
    if math.isnan(value):
        return None
    found = 0
    for edge in edges:
        if edge <= value:
            found += 1
    return found


def transitions(h, y, lengths=None):
    """Count (next, past, source) over sequences of codes; None marks what is missing.

    h and y are lists of sequences of codes of one unit and of the source.
    """
    counts = Counter()
    for n in range(len(h)):
        steps = len(h[n]) if lengths is None else lengths[n]
        for t in range(steps - 1):
            cell = (h[n][t + 1], h[n][t], y[n][t])
            if None not in cell:
                counts[cell] += 1
    return counts


def transfer_entropy(counts, base=2):
    """Sum over cells of p(x', x, y) log(p(x' | x, y) / p(x' | x)); counts may be any weights."""
    total = sum(counts.values())
    result = 0.0
    for (following, past, source), n in counts.items():
        if n == 0:
            continue
        with_source = [m for (_, x, s), m in counts.items() if x == past and s == source]
        same_step = [m for (f, x, _), m in counts.items() if f == following and x == past]
        same_past = [m for (_, x, _), m in counts.items() if x == past]
        given_both = n / sum(with_source)
        given_past = sum(same_step) / sum(same_past)
        result += n / total * math.log(given_both / given_past)
    return result / math.log(base)


def entropy(codes, base=2):
    """Entropy of a list of codes; None marks what is missing."""
    seen = Counter(value for value in codes if value is not None)
    total = sum(seen.values())
    return -sum(n / total * math.log(n / total) for n in seen.values()) / math.log(base)
