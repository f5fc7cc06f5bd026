"""Transfer entropy as its definition reads: loops over plain Python numbers, no NumPy, no tefast.

Whatever else computes these numbers is held against this file, so it shares nothing with them and
prefers the obvious to the fast.
"""

import math
from collections import Counter
from itertools import combinations, pairwise


def uniform_edges(low, high, bins):
    """Inner edges of equal-width bins over [low, high]."""
    edges = []
    for i in range(1, bins):
        edge = min(max(low * (1.0 - i / bins) + high * (i / bins), low), high)
        edges.append(max([edge, *edges[-1:]]))
    return edges


def least_squares_of_fills(values, bins):
    """The least sum of squared fills that cuts between distinct values allow, by trying all cuts.

    As many bins are filled as there are distinct values, up to `bins`.
    """
    distinct = sorted(set(values))
    least = math.inf
    for cuts in combinations(range(1, len(distinct)), min(bins, len(distinct)) - 1):
        ends = [0, *cuts, len(distinct)]
        groups = [distinct[a:b] for a, b in pairwise(ends)]
        least = min(least, sum(sum(v in group for v in values) ** 2 for group in groups))
    return least


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


def moves(
    h,
    y,
    lengths=None,
    target_history=1,
    source_history=1,
    delay=1,
    target_step=1,
    source_step=1,
    conditions=(),
):
    """Every transition with histories as ((sequence, step), (next, source, given)).

    given is the past of h, followed by each of the conditions one step before the next. The
    source's last step lies `delay` before the next. Entries of a history lie its step apart.
    Whatever touches None is left out.
    """
    found = []
    for n in range(len(h)):
        steps = len(h[n]) if lengths is None else lengths[n]
        for t in range(steps):
            past = [t - 1 - i * target_step for i in range(target_history)]
            before = [t - delay - i * source_step for i in range(source_history)]
            if min(past + before) < 0:
                continue
            source = tuple(y[n][i] for i in before)
            given = tuple(h[n][i] for i in past) + tuple(z[n][t - 1] for z in conditions)
            if None not in (h[n][t], *source, *given):
                found.append(((n, t), (h[n][t], source, given)))
    return found


def exchanged(moves, places, order):
    """The same moves with the source's states exchanged among those of the same past.

    In the order of `order`, numbers of `places`, each move is given the next of the states that
    moves with its past have, the first of `places` first. A place need not have a move.
    """
    known, left, found = dict(moves), {}, []
    for place in places:
        if place in known:
            _, source, given = known[place]
            left.setdefault(given, []).append(source)
    for number in order:
        if places[number] in known:
            following, _, given = known[places[number]]
            found.append((following, left[given].pop(0), given))
    return found


def own_moves(h, lengths=None, history=1, step=1):
    """Every transition of a unit alone as (next, past, nothing)."""
    found = moves(h, h, lengths, target_history=history, target_step=step)
    return [(next_, past, ()) for _, (next_, _, past) in found]


def joined(*series):
    """Several series as one of tuples; None where one of them is missing."""
    return [
        [None if None in step else step for step in zip(*rows, strict=True)]
        for rows in zip(*series, strict=True)
    ]


def pairs(h, y, lengths=None, delay=0):
    """Every value of h beside what y was `delay` steps before, as (h, y, nothing)."""
    found = []
    for n in range(len(h)):
        steps = len(h[n]) if lengths is None else lengths[n]
        for t in range(delay, steps):
            if h[n][t] is not None and y[n][t - delay] is not None:
                found.append((h[n][t], y[n][t - delay], ()))
    return found


def local_information(rows, base=2):
    """log(p(x | y, z) / p(x | z)) of each of the rows (x, y, z)."""
    result = []
    for x, y, z in rows:
        with_y = [other[0] for other in rows if other[1:] == (y, z)]
        without = [other[0] for other in rows if other[2] == z]
        chance, before = with_y.count(x) / len(with_y), without.count(x) / len(without)
        result.append(math.log(chance / before) / math.log(base))
    return result


def information(rows, base=2, bias=None):
    """I(X; Y | Z) of rows (x, y, z): the mean of its local values, or of corrected entropies."""
    if bias is None:
        return sum(local_information(rows, base)) / len(rows)
    joint, of_x, of_y, of_z = (
        corrected_entropy([tuple(row[i] for i in axes) for row in rows], bias)
        for axes in ((0, 1, 2), (0, 2), (1, 2), (2,))
    )
    # Where nothing is given Z is no variable, and there is no entropy to correct.
    if all(row[2] == () for row in rows):
        of_z = 0.0
    return (of_x + of_y - joint - of_z) / math.log(base)


def open_information(rows, base=2, bias=None):
    """H(X | Y) of rows (x, y, nothing)."""
    if bias is not None:
        joint = corrected_entropy([(x, y) for x, y, _ in rows], bias)
        return (joint - corrected_entropy([y for _, y, _ in rows], bias)) / math.log(base)
    result = 0.0
    for x, y, _ in rows:
        beside = [other[0] for other in rows if other[1] == y]
        result -= math.log(beside.count(x) / len(beside)) / math.log(base)
    return result / len(rows)


def normalized(rows):
    """I(X; Y | Z) / H(X | Z) of rows (x, y, z), 0 where nothing is open."""
    still_open = open_information([(x, z, ()) for x, _, z in rows])
    return information(rows) / still_open if still_open > 0 else 0.0


def corrected_entropy(values, bias):
    """Entropy of a list of values in nats, by Miller and Madow or by Grassberger."""
    seen = Counter(values)
    total = len(values)
    if bias == "miller_madow":
        plain = -sum(n / total * math.log(n / total) for n in seen.values())
        return plain + (len(seen) - 1) / (2 * total)
    return math.log(total) - sum(n * grassberger(n) for n in seen.values()) / total


def grassberger(n):
    """G(n) by its recurrence: G(2m + 1) = G(2m), G(2m + 2) = G(2m) + 2 / (2m + 1)."""
    gamma = 0.57721566490153286
    if n == 1:
        return -gamma - math.log(2)
    value, reached = 2 - gamma - math.log(2), 2
    while reached + 2 <= n:
        value += 2 / (reached + 1)
        reached += 2
    return value
