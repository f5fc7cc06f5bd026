"""How small three networks that others trained get while they do the same: docs/real-models.md.

    make real-models                           # their weights, once
    python benchmarks/real_models.py           # results/real-models.json, the tables
    python benchmarks/real_models.py --page    # the page's tables anew

By every criterion, how well networks agree with the whole one that lack an eighth, a quarter and a
half of their units; and, by bisection, how many units can go while they agree to 99 %. Moments are
taken of one part of the input, and agreement is measured on another.
"""

import io
import json
import re
import statistics
import sys
import time
import warnings
from pathlib import Path

import made_voices
import numpy as np
import real_networks
import torch
from real_networks import START, filled, spelled, until_end
from report import RESULTS, ROOT, hardware
from torch import nn

import tefast.nn as tnn
from tefast.nn import Arguments

AGREEMENT = 0.99
FRACTIONS = (0.125, 0.25, 0.5)
CRITERIA = ("l1", "activation_magnitude", "redundancy", "random")
SEEDS = (0, 1, 2)
ROUNDS = 41
PAGE = ROOT / "docs" / "real-models.md"
BEGIN = "<!-- table {}: python benchmarks/real_models.py --page -->\n"
END = "<!-- end -->\n"


class Case:
    """A network, its input in two parts, and how it is scored, pruned and compared."""

    rnn: str
    others: tuple[str, ...] = ()  # layers that lose the same units
    what: str

    def __init__(self, model):
        self.model = model

    def run(self, model, batch):
        return model(batch[0])

    def options(self):
        """What `moments` and `prune` have in common."""
        return {"examples": self.examples, "tied": self.others or None}

    def moments(self):
        return tnn.moments(self.model, self.learn, rnn=self.rnn, forward=self.run, **self.options())

    def scores(self, criterion, seed=0):
        each = [
            tnn.score(self.model, self.learn, criterion, rnn=name, forward=self.run, seed=seed)
            for name in (self.rnn, *self.others)
        ]
        return tnn.tied_scores(*each) if self.others else each[0]

    def prune(self, units, moments=None):
        return tnn.prune(self.model, units, rnn=self.rnn, moments=moments, **self.options())


class Speakers(Case):
    """Cosine of the embeddings of the whole and the pruned network, of voices not seen before."""

    title, rnn, what = "Resemblyzer's voice encoder", "lstm", "cosine of the embeddings"

    def __init__(self, voices=48):
        super().__init__(real_networks.speaker_encoder())
        self.learn = [(self.spoken(range(n, n + 16)), None) for n in range(0, voices, 16)]
        self.test = self.spoken(range(1000, 1000 + voices))
        self.expected = self.model(self.test)
        self.examples = [self.test[:2, :12]]

    def spoken(self, seeds):
        each = [made_voices.Speaker(seed).speaks(1.6, seed, pauses=0.03)[0] for seed in seeds]
        return torch.from_numpy(made_voices.mels(np.stack(each)))

    def agreement(self, model):
        return float((model(self.test) * self.expected).sum(1).mean())

    def chance(self):
        """Of the vectors of two different voices."""
        return float((self.expected * self.expected.roll(1, 0)).sum(1).mean())

    def timed(self, model):
        return model(self.test[:1])


class Voice(Case):
    """Share of chunks of 32 ms of which both networks say the same: voice, or none."""

    title, rnn, what = "silero-vad at 16 kHz", "cell", "same decisions"

    def __init__(self, recordings=24, seconds=5):
        super().__init__(real_networks.voice_activity())
        self.seconds = seconds
        self.learn = [(self.heard(range(n, n + 12)), None) for n in range(0, recordings, 12)]
        self.test = self.heard(range(1000, 1000 + recordings))
        self.expected = self.model.listen(self.test)
        chunks, state = self.test[:2, :576], (torch.zeros(2, 128), torch.zeros(2, 128))
        several = Arguments.of("listen", self.test[:2, :1536])
        self.examples = [Arguments(chunks), Arguments(chunks, state), several]

    def heard(self, seeds):
        """Of three recordings two are voices, more or less loud before a noise, and one is none."""
        each = []
        for seed in seeds:
            sound = made_voices.noises(self.seconds, seed // 3)
            if seed % 3:
                sound = sound * (0.05 if seed % 2 else 0.5)
                sound += made_voices.Speaker(seed).speaks(self.seconds, seed, pauses=0.25)[0]
            each.append(sound)
        return torch.from_numpy(np.stack(each))

    def run(self, model, batch):
        return model.listen(batch[0])

    def options(self):
        return {"examples": self.examples, "returned": "states"}

    def agreement(self, model):
        return float(((model.listen(self.test) > 0.5) == (self.expected > 0.5)).float().mean())

    def chance(self):
        """Of saying always what the whole network says most often."""
        voices = float((self.expected > 0.5).float().mean())
        return max(voices, 1 - voices)

    def timed(self, model):
        return model.listen(self.test[:1, :16000])


class Words(Case):
    """Share of words for which both networks say exactly the same phonemes."""

    title, rnn, others = "g2p-en's encoder and decoder", "encoder", ("decoder",)
    what = "same pronunciations"

    def __init__(self, most=None):
        super().__init__(real_networks.pronunciation())
        words = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
        self.test = spelled(words)
        self.expected = until_end(self.model.say(*self.test))
        others = sorted(python_words() - set(words))[:most]
        self.learn = [(self.both(others[n : n + 500]), None) for n in range(0, len(others), 500)]
        few = [tensor[:3] for tensor in self.learn[0][0]]
        self.examples = [Arguments(*few), Arguments.of("say", *few[:2], 3)]

    def both(self, words):
        """Letters, and the phonemes that the whole network says of them, behind a mark."""
        letters, lengths = spelled(words)
        said = until_end(self.model.say(letters, lengths))
        return letters, lengths, *filled([[START, *row] for row in said])

    def run(self, model, batch):
        return model(*batch[0])

    def agreement(self, model):
        said = until_end(model.say(*self.test))
        return sum(a == b for a, b in zip(said, self.expected, strict=True)) / len(said)

    def chance(self):
        """Of saying of each word what is said of the next."""
        after = [*self.expected[1:], self.expected[0]]
        return sum(a == b for a, b in zip(after, self.expected, strict=True)) / len(after)

    def timed(self, model):
        return model.say(self.test[0][:1], self.test[1][:1])


CASES = {"speakers": Speakers, "voice": Voice, "words": Words}


def python_words():
    """Words of the help that comes with Python."""
    from pydoc_data.topics import topics

    return set(re.findall(r"\b[a-z]{3,12}\b", " ".join(topics.values())))


def smallest(case, scores, moments):
    """How many units of each layer can go, by bisection, and the network without them."""
    removed, too_many, model = 0, min(len(one) for one in scores.values()), case.model
    while too_many - removed > 1:
        middle = (removed + too_many) // 2
        pruned = case.prune(tnn.select(scores, amount=middle), moments)
        if case.agreement(pruned) >= AGREEMENT:
            removed, model = middle, pruned
        else:
            too_many = middle
    return removed, model


def parameters(model):
    return sum(one.numel() for one in model.parameters())


def stored(model):
    """Bytes of the weights in a file, of integers too."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getbuffer().nbytes


def in_bytes(model):
    """The network with weights of 8 bits in its recurrent and linear layers."""
    kinds = {nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch moves this function to another package
        return torch.ao.quantization.quantize_dynamic(model, kinds)


def faster(case, model):
    """Time of a call over that of the whole network beside it: quartiles of the rounds."""
    ratios = []
    for turn in range(ROUNDS):
        times = []
        for one in (model, case.model) if turn % 2 else (case.model, model):
            start = time.perf_counter()
            case.timed(one)
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1] if turn % 2 else times[1] / times[0])
    return [round(one, 3) for one in statistics.quantiles(ratios, n=4)]


def searched(case):
    """A row for each criterion, with and without moments; the smallest network that agrees."""
    taken = case.moments()
    rows, best = [], (0, case.model, None, None)
    for criterion in CRITERIA:
        for moments in (None, taken):
            runs = []
            for seed in SEEDS if criterion == "random" else (0,):
                scores = case.scores(criterion, seed)
                removed, model = smallest(case, scores, moments)
                if removed > best[0]:
                    best = removed, model, criterion, moments is not None
                some = [tnn.select(scores, amount=fraction) for fraction in FRACTIONS]
                agreements = [case.agreement(case.prune(units, moments)) for units in some]
                runs.append(
                    {"removed": removed, "parameters": parameters(model), "agreements": agreements}
                )
            rows.append({"criterion": criterion, "moments": moments is not None, "runs": runs})
            print(type(case).__name__, rows[-1], flush=True)
    return rows, best


def measured(case):
    """What the page says of a network."""
    rows, (removed, model, criterion, moments) = searched(case)
    networks = {"whole": case.model, "smallest": model}
    integers = {name: in_bytes(one) for name, one in networks.items()}
    return {
        "units": case.model.get_submodule(case.rnn).hidden_size,
        "chance": case.chance(),
        "rows": rows,
        "smallest": {"criterion": criterion, "moments": moments, "removed": removed},
        "time": faster(case, model),
        "sizes": {
            name: {
                "parameters": parameters(one),
                "bytes": stored(one),
                "agreement": case.agreement(one),
                "integer_bytes": stored(integers[name]),
                "integer_agreement": case.agreement(integers[name]),
            }
            for name, one in networks.items()
        },
    }


def measure():
    torch.set_num_threads(1)
    with torch.no_grad():
        return {
            "hardware": hardware(),
            "torch": torch.__version__,
            "cases": {name: measured(make()) for name, make in CASES.items()},
        }


def spread(values, digits):
    """A figure, or the mean and standard deviation of several."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def by_criterion(results):
    """Markdown: agreement against the fraction removed, and how many units may go."""
    fractions = " | ".join(f"{100 * one:.3g} % removed" for one in FRACTIONS)
    lines = [
        f"| network | criterion | moments | {fractions} | units that may go |",
        "| --- | --- | --- " + "| ---: " * (len(FRACTIONS) + 1) + "|",
    ]
    for name, case in results["cases"].items():
        for row in case["rows"]:
            each = zip(*(run["agreements"] for run in row["runs"]), strict=True)
            cells = [spread([100 * one for one in some], 1) for some in each]
            removed = spread([run["removed"] for run in row["runs"]], 0)
            moments = "yes" if row["moments"] else "no"
            lines.append(
                f"| {CASES[name].title} | `{row['criterion']}` | {moments} "
                f"| {' | '.join(cells)} | {removed} of {case['units']} |"
            )
    return "\n".join(lines) + "\n"


def by_network(results):
    """Markdown: the smallest network that agrees beside the whole one."""
    columns = (
        "network", "units of a layer", "parameters", "file, kB", "agreement, %", "chance, %",
        "file of integers, kB", "agreement of integers, %", "time",
    )  # fmt: skip
    rows = [columns, ("---", *["---:"] * (len(columns) - 1))]
    for name, case in results["cases"].items():
        smaller = case["units"] - case["smallest"]["removed"]
        first, middle, last = case["time"]
        took = f"{middle:.2f} ({first:.2f} to {last:.2f})"
        shown = [("whole", case["units"], "1"), ("smallest", smaller, took)]
        for which, units, ratio in shown if case["smallest"]["removed"] else shown[:1]:
            one = case["sizes"][which]
            rows.append(
                (
                    f"{CASES[name].title}, {which}",
                    str(units),
                    f"{one['parameters']:,}",
                    f"{one['bytes'] / 1e3:.0f}",
                    f"{100 * one['agreement']:.1f}",
                    f"{100 * case['chance']:.1f}",
                    f"{one['integer_bytes'] / 1e3:.0f}",
                    f"{100 * one['integer_agreement']:.1f}",
                    ratio,
                )
            )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


TABLES = {"criteria": by_criterion, "networks": by_network}


def page(text, results):
    """The page with its tables made anew."""
    for name, table in TABLES.items():
        begin = BEGIN.format(name)
        text = re.sub(
            f"{re.escape(begin)}.*?{re.escape(END)}",
            lambda _, b=begin, t=table: f"{b}\n{t(results)}\n{END}", text, flags=re.DOTALL,
        )  # fmt: skip
    return text


def main(arguments):
    path = RESULTS / "real-models.json"
    if arguments != ["--page"]:
        if reason := real_networks.missing():
            sys.exit(reason)
        path.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
