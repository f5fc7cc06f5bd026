"""Recurrent layers as their equations read: loops over plain Python numbers, no tefast.

Every sum runs from left to right, where a term that is exactly 0 changes nothing: a layer without
some units must then equal the one in which they are 0, to the last bit.
"""

import math
import re

ROLES = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)")
SUFFIX = re.compile(r"l(\d+)(_reverse)?")


def role_and_part(name):
    """('weight_ih', (1, 1)) of 'weight_ih_l1_reverse' or 'layers.l1_reverse.weight_ih_l0'."""
    found = SUFFIX.search(name)
    part = (int(found[1]), int(bool(found[2]))) if found else (0, 0)  # cells have no suffix
    return ROLES.search(name)[0], part


def weights(rnn):
    """The weights of every (layer, direction) as nested lists."""
    parts = {}
    for name, parameter in rnn.named_parameters():
        role, part = role_and_part(name)
        parts.setdefault(part, {})[role] = parameter.detach().tolist()
    return parts


def run(rnn, x, start=None, constants=None, seen=None, told=None):
    """Outputs (T, features) and final (h, c) of every part, for one sequence x (T, D).

    `start` holds (h, c) of every part; by default all is 0. `constants` holds, for units by their
    number, what stands in for some of their gates, by the gate's number. The gates (T, U, G) are
    appended to `seen`. ``told(place, vector)`` gives what is read in the place of a vector: of the
    outputs of a part, (layer, direction), of those of a layer, a number, or of the units of a part
    before its projection, ("units", part).
    """
    told = told or (lambda place, vector: vector)
    parts, end = weights(rnn), {}
    kind = getattr(rnn, "mode", type(rnn).__name__.removesuffix("Cell"))
    if kind == "RNN":
        kind = f"RNN_{rnn.nonlinearity.upper()}"
    for layer in range(1 + max(layer for layer, _ in parts)):
        both = []
        for part in [part for part in parts if part[0] == layer]:
            way = -1 if part[1] else 1
            h, c = start[part] if start else zeros(parts[part])
            outputs = []
            for step in x[::way]:
                read = told(part, h)
                h, c = one_step(
                    kind, parts[part], step, h, c, constants or {}, seen, read,
                    lambda units, part=part: told(("units", part), units),
                )  # fmt: skip
                outputs.append(h)
            both.append(outputs[::way])
            end[part] = h, c
        x = [[value for way in ways for value in way] for ways in zip(*both, strict=True)]
        if (layer + 1, 0) in parts:
            x = [told(layer, step) for step in x]
    return x, end


def zeros(named):
    """The initial (h, c) of a part."""
    outputs = len(named["weight_hh"][0])
    return [0.0] * outputs, [0.0] * (
        len(named["weight_hr"][0]) if "weight_hr" in named else outputs
    )


def one_step(kind, named, step, h, c, constants, seen, read=None, projected=None):
    """(h, c) after one step; `read` is what the weights read of h, by default h itself."""
    read = h if read is None else read
    rows, units = len(named["weight_hh"]), len(c)
    nothing = [0.0] * rows
    next_h, next_c, values = [], [], []
    for unit in range(units):
        gates = range(unit, rows, units)
        a = [dot(named["weight_ih"][r], step, named.get("bias_ih", nothing)[r]) for r in gates]
        b = [dot(named["weight_hh"][r], read, named.get("bias_hh", nothing)[r]) for r in gates]
        if kind == "LSTM":
            values.append(lstm_gates(a, b, constants.get(unit, {})))
            i, f, g, o = values[-1]
            next_c.append(f * c[unit] + i * g)
            next_h.append(o * math.tanh(next_c[-1]))
        elif kind == "GRU":
            values.append(gru_gates(a, b, constants.get(unit, {})))
            _, z, n = values[-1]
            next_h.append((1.0 - z) * n + z * h[unit])
        else:
            total = a[0] + b[0]
            next_h.append(math.tanh(total) if kind == "RNN_TANH" else max(total, 0.0))
    if seen is not None:
        seen.append(values)
    if "weight_hr" in named:
        units_read = projected(next_h) if projected else next_h
        next_h = [dot(row, units_read, 0.0) for row in named["weight_hr"]]
    return next_h, next_c if kind == "LSTM" else c


def lstm_gates(a, b, constants):
    """i, f, g, o of a unit, given what inputs and outputs add to each, where not constants."""
    i, f, g, o = (p + q for p, q in zip(a, b, strict=True))
    computed = (sigmoid(i), sigmoid(f), math.tanh(g), sigmoid(o))
    return [constants.get(number, value) for number, value in enumerate(computed)]


def gru_gates(a, b, constants):
    """r, z, n of a unit, in the same way."""
    r = constants.get(0, sigmoid(a[0] + b[0]))
    z = constants.get(1, sigmoid(a[1] + b[1]))
    return [r, z, constants.get(2, math.tanh(a[2] + r * b[2]))]


def dot(row, vector, total):
    """total + row . vector, from left to right."""
    for weight, value in zip(row, vector, strict=True):
        total += weight * value
    return total


def sigmoid(value):
    """1 / (1 + exp(-value))."""
    return 1.0 / (1.0 + math.exp(-value))
