"""Accuracy without units when those that stay stand in for them, on three data sets.

    python benchmarks/reconstruction.py --run runs/default --vowels FOLDER

`--run` is the folder of a finished `make experiment`, whose models are taken as they are. The
digits are those of scikit-learn, row by row. `--vowels` is a folder with JapaneseVowels_TRAIN.ts
and JapaneseVowels_TEST.ts (UCI's data; the package aeon has both files, as tefast.experiment reads
them). What is not given is left out.

For every model, order and fraction the test accuracy is measured after plain removal, after removal
with moments, and after plain removal and training for as long as the moments took. The results go
to benchmarks/results/reconstruction.json and into the tables of docs/reconstruction.md.
"""

import argparse
import json
import re
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import tefast.nn as tnn

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "reconstruction.json"
PAGE = HERE.parent / "docs" / "reconstruction.md"
FRACTIONS = (0.5, 0.8, 0.9)
ORDERS = {
    "transfer entropy, descending": ("transfer_entropy", True),
    "transfer entropy, ascending": ("transfer_entropy", False),
    "L1 norm, ascending": ("l1", False),
    "redundancy": ("redundancy", False),
    "random": ("random", False),
}
WAYS = ("removed", "trained", "moments")
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
UNITS = 512


class Data:
    """Sequences (N, T, D), labels (N,), and valid steps (N,) or None; for training and a test."""

    def __init__(self, name: str, train: tuple, test: tuple) -> None:
        self.name, self.train, self.test = name, train, test

    def batches(self, size: int = 64) -> list[tuple]:
        """Return the training data in batches, with lengths where there are any."""
        parts = [part.split(size) for part in self.train if part is not None]
        return list(zip(*parts, strict=True))

    def accuracy(self, model: nn.Module) -> float:
        """Return the percentage of test sequences whose last step is classified right."""
        x, labels, lengths = self.test
        with torch.no_grad():
            found = torch.cat([model(part) for part in x.split(256)])
        return 100 * float((last(found, lengths).argmax(1) == labels).float().mean())


def last(logits: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the logits of every sequence's last valid step."""
    if lengths is None:
        return logits[:, -1]
    return logits[torch.arange(len(logits)), lengths - 1]


def digits(seed: int) -> Data:
    """Rows of 8 by 8 images as steps; a fifth is the test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.tensor(found.images / 8 - 1, dtype=torch.float32)
    labels = torch.tensor(found.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    return Data("digits", (x[train], labels[train], None), (x[test], labels[test], None))


def vowels(folder: Path) -> Data:
    """Return UCI's own split, each channel with mean 0 and deviation 1 on the training part."""
    from tefast.experiment.datasets.vowels import read_ts

    (x, words), (other, other_words) = (
        read_ts(folder / f"JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST")
    )
    labels, other_labels = (torch.tensor([int(word) - 1 for word in each])
                            for each in (words, other_words))  # fmt: skip
    every = np.concatenate(x)
    mean, deviation = every.mean(0), every.std(0)
    parts = [padded([(one - mean) / deviation for one in some]) for some in (x, other)]
    return Data(
        "vowels",
        (parts[0][0], labels, parts[0][1]),
        (parts[1][0], other_labels, parts[1][1]),
    )


def padded(x: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return sequences in one tensor (N, T, D), and their lengths."""
    sequences = [torch.from_numpy(np.ascontiguousarray(one)) for one in x]
    lengths = torch.tensor([len(one) for one in x])
    return nn.utils.rnn.pad_sequence(sequences, batch_first=True), lengths


def train(model: nn.Module, data: Data, seed: int, *, epochs: int = 1000, seconds: float = 1e9):
    """Train a model by Adam, for so many epochs or seconds, whichever is less."""
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, labels, lengths = data.train
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=generator).split(64):
            if time.perf_counter() - started > seconds:
                return
            found = last(model(x[index]), None if lengths is None else lengths[index])
            optimizer.zero_grad()
            nn.functional.cross_entropy(found, labels[index]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


def trained(data: Data, seed: int) -> nn.Module:
    """Return a model of this data."""
    torch.manual_seed(seed)
    classes = int(data.train[1].max()) + 1
    model = tnn.SequenceClassifier(data.train[0].shape[2], classes, UNITS, 128)
    train(model, data, seed, epochs=30)
    return model.eval()


def rendered(folder: Path, seed: int) -> tuple[Data, nn.Module]:
    """Return the clips and a model of a finished study."""
    from tefast.experiment.config import Config
    from tefast.experiment.datasets import find_clips, named
    from tefast.experiment.splits import split
    from tefast.experiment.training import prepare
    from tefast.experiment.workspace import Workspace

    space, config = Workspace(folder), Config()
    clips = find_clips(config.dataset, space.data)
    part = split(clips, config.split, seed, space.data)
    reader = named(config.dataset).reader(config)
    features = reader.read(clips, cache_dir=space.features, progress=lambda done, total: None)
    labels, values = torch.tensor([one.label for one in clips.clips]), features.values
    found = prepare(torch.from_numpy(values), labels, part.train, part.test, space.scaling(seed))
    data = Data(
        "rendered",
        (found.train_x, found.train_labels, None),
        (found.test_x, found.test_labels, None),
    )
    return data, tnn.load(space.model("none", seed)).eval()


def measure(data: Data, model: nn.Module, seed: int) -> list[dict]:
    """Return the accuracies of one model."""
    batches = data.batches()
    names = list(dict.fromkeys(name for name, _ in ORDERS.values()))
    scores = {name: tnn.score(model, batches, name, seed=seed)[0, 0] for name in names}
    started = time.perf_counter()
    moments = tnn.moments(model, batches)
    seconds = time.perf_counter() - started
    rows = [row(data, seed, "", 0.0, "whole", data.accuracy(model), seconds)]
    for order, (name, descending) in ORDERS.items():
        for fraction in FRACTIONS:
            units = tnn.select_units(scores[name], fraction, descending=descending)
            plain = tnn.prune(model, units)
            rows.append(row(data, seed, order, fraction, "removed", data.accuracy(plain), 0.0))
            started = time.perf_counter()
            ours = tnn.prune(model, units, moments=moments)
            took = seconds + time.perf_counter() - started
            rows.append(row(data, seed, order, fraction, "moments", data.accuracy(ours), took))
            train(plain.train(), data, seed, seconds=took)
            accuracy = data.accuracy(plain.eval())
            rows.append(row(data, seed, order, fraction, "trained", accuracy, took))
    return rows + ridges(data, model, seed, scores["random"], moments)


def ridges(data: Data, model: nn.Module, seed: int, scores: Tensor, moments) -> list[dict]:
    """Return what other ridges and a constant give, in a random order."""
    few = tnn.moments(model, data.batches(16)[:2])
    rows = []
    for name, found in (("all", moments), ("32 sequences", few)):
        for constant in (False, True):
            for ridge in RIDGES:
                found.ridge, found.intercept = ridge, constant
                units = tnn.select_units(scores, 0.8, descending=False)
                accuracy = data.accuracy(tnn.prune(model, units, moments=found))
                way = f"{name}, {'constant' if constant else 'none'}, {ridge:g}"
                rows.append(row(data, seed, "random", 0.8, way, accuracy, 0.0))
    return rows


def row(data: Data, seed: int, order: str, fraction: float, way: str, accuracy, seconds) -> dict:
    return {
        "data": data.name, "seed": seed, "order": order, "fraction": fraction, "way": way,
        "accuracy": round(accuracy, 3), "seconds": round(seconds, 3),
    }  # fmt: skip


def spread(values: list[float]) -> str:
    """Return a mean and a standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"


def tables(rows: list[dict]) -> dict[str, str]:
    """Return the tables of the page, by name."""
    cells = defaultdict(list)
    for one in rows:
        key = one["data"], one["order"], one["fraction"], one["way"]
        cells[key].append(one["accuracy"])
    names = list(dict.fromkeys(one["data"] for one in rows))
    head = ["data", "order", "removed", "as it is", "trained as long", "with moments"]
    lines = []
    for data in names:
        for order in ORDERS:
            for fraction in FRACTIONS:
                found = [spread(cells[data, order, fraction, way]) for way in WAYS]
                lines.append([data, order, f"{fraction:.0%}", *found])
    whole = [[data, spread(cells[data, "", 0.0, "whole"]), str(len(cells[data, "", 0.0, "whole"]))]
             for data in names]  # fmt: skip
    other = [
        [data, kind, constant, *[spread(cells[data, "random", 0.8, f"{kind}, {key}, {ridge:g}"])
                                 for ridge in RIDGES]]
        for data in names
        for kind in ("all", "32 sequences")
        for constant, key in (("no", "none"), ("yes", "constant"))
    ]  # fmt: skip
    return {
        "whole": table(["data", "accuracy of the whole model", "models"], whole),
        "accuracy": table(head, lines),
        "ridge": table(["data", "moments of", "constant", *[f"{r:g}" for r in RIDGES]], other),
    }


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(one)} |" for one in [head, rule, *lines])


def write_page(rows: list[dict]) -> None:
    """Put the tables into the page, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    for name, found in tables(rows).items():
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda marks, found=found: f"{marks[1]}\n{found}\n\n{marks[2]}",
            text,
            flags=re.S,
        )
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of a finished study on rendered clips")
    parser.add_argument("--vowels", type=Path, help="folder of the two files of JapaneseVowels")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    if options.page:
        write_page(json.loads(RESULTS.read_text(encoding="utf-8"))["rows"])
        return
    rows: list[dict] = []
    for seed in range(options.seeds):
        some = [(digits(seed), None)]
        if options.vowels is not None:
            some.append((vowels(options.vowels), None))
        if options.run is not None and seed < 3:
            some.append(rendered(options.run, seed))
        for data, model in some:
            found = measure(data, model or trained(data, seed), seed)
            rows += found
            print(f"{data.name}, seed {seed}: whole {found[0]['accuracy']}", flush=True)
            kept = {"torch": torch.__version__, "rows": rows}
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    write_page(rows)


if __name__ == "__main__":
    main()
