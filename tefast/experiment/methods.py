"""The paragraph on methods: every choice of the study, also those that the paper leaves open."""

from __future__ import annotations

from typing import Any

from tefast.experiment.comparisons import SEQUENCE_AWARE
from tefast.experiment.config import REGULARIZER_NAMES, shown
from tefast.experiment.datasets import named
from tefast.experiment.measuring import BINS
from tefast.experiment.penalties import GRIDS, HELD_SHARE
from tefast.experiment.plan import TUNED_DRAWS
from tefast.experiment.sweep import TUNING_RATE
from tefast.nn._layers.grams import RIDGE


def methods(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What was done, as pairs of a topic and its sentences.

    Parameters
    ----------
    summary : dict
        As `tefast.experiment.summary.build_summary` makes it.
    """
    config = summary["config"]
    found = [
        ("Data", _data(summary)),
        ("Network", _network(config)),
        ("Training", _training(config)),
        ("Penalties", _penalties(summary)),
        ("Score", _score(config)),
        ("Orders", _orders(config)),
        ("Removal", _removal(config)),
        ("Small networks", _small(config)),
        ("Measurements", _measurements(config)),
        ("Statistics", _statistics(summary)),
    ]
    return [(topic, text) for topic, text in found if text]


def _data(summary: dict[str, Any]) -> str:
    config, dataset = summary["config"], summary["dataset"]
    known = named(config["dataset"])
    sizes = sorted({(part["train"], part["test"]) for part in dataset["splits"]})
    counts = " or ".join(f"{train} for training and {test} for the test" for train, test in sizes)
    return (
        f"{dataset['usable']} {known.samples} of {len(dataset['classes'])} classes, in the split "
        f"'{config['split']}': {counts}. A random split holds out a fifth and is drawn anew for "
        f"each seed. Features: {known.features(summary['backbone'])}. They are scaled by the mean "
        "and deviation of the training samples."
    )


def _network(config: dict[str, Any]) -> str:
    if config.get("model", "SequenceClassifier") != "SequenceClassifier":
        return f"{config['model']}, whose recurrent layer '{config['rnn']}' loses units."
    return (
        f"One LSTM layer of {config['hidden']} units, then two fully connected layers with a ReLU "
        f"and {config['fc']} units between them. It gives logits at every step."
    )


def _training(config: dict[str, Any]) -> str:
    steps = "the last step" if config["loss"] == "last" else "every step"
    return (
        f"Adam, {config['epochs']} epochs, batches of {config['batch_size']}, a peak learning rate "
        f"of {config['lr']:g} that rises over the first tenth of the steps and falls as a cosine, "
        f"gradients clipped to a norm of 1; cross-entropy at {steps}. All models of a seed start "
        "from the same weights and see the samples in the same order."
    )


def _penalties(summary: dict[str, Any]) -> str:
    config = summary["config"]
    parts = []
    for regularizer in config["regularizers"]:
        if regularizer == "none":
            continue
        name, weight = REGULARIZER_NAMES[regularizer], config[f"{regularizer}_weight"]
        if weight == "auto":
            chosen = [
                f"{one['weight']:g} (seed {one['seed']})"
                for one in summary["chosen_weights"]
                if one["regularizer"] == regularizer
            ]
            grid = ", ".join(f"{one:g}" for one in GRIDS[regularizer])
            parts.append(f"{name}: one of {grid}, chosen {', '.join(chosen)}")
        else:
            parts.append(f"{name}: {weight:g}, fixed")
    if not parts:
        return ""
    how = ""
    if summary["chosen_weights"]:
        how = (
            f" A factor is chosen by the accuracy on {HELD_SHARE:.0%} of the training samples, "
            "held out by class, and whole groups where the split keeps these together; at a tie "
            "by the cross-entropy. Test samples play no part."
        )
    return (
        "A term of the loss, not decoupled decay, over all parameters (L1, L2), or over the norms "
        f"of all weights of a unit (group penalty). Factors: {'; '.join(parts)}.{how}"
    )


def _score(config: dict[str, Any]) -> str:
    return (
        "Transfer entropy from y to the unit's output, plug-in estimates from histograms over all "
        "training samples; a transition never crosses from one sample into the next. y is the "
        "softmax probability of the true class at the same step, by the network's own output "
        f"layers. {config['bins']} bins of equal width, from -1 to 1 for units and from 0 to 1 for "
        "y; one step of history, no correction of the bias."
    )


def _orders(config: dict[str, Any]) -> str:
    names = [shown(one) for one in config["criteria"] if one != "random"]
    aware = [shown(one) for one in config["criteria"] if one in SEQUENCE_AWARE]
    text = f"Criteria: {', '.join(names)}, each highest first (descending) and lowest first."
    if aware:
        looks = "looks" if len(aware) == 1 else "look"
        text += f" Of these {' and '.join(aware)} {looks} at how one step follows from another."
    if "random" in config["criteria"]:
        text += f" Beside them {config['random_orders']} random orders for each seed; a seed's "
        text += "value is their mean."
    return text


def _removal(config: dict[str, Any]) -> str:
    text = (
        "Units leave the network with all their weights; what read them reads nothing in their "
        "place. Without recovery nothing is trained afterwards, as in the paper."
    )
    if "reconstruction" in config["recoveries"]:
        text += (
            " Reconstruction: the remaining units stand in for the removed ones by ridge "
            "regression on the training samples, with a ridge of "
            f"{RIDGE:g} of the mean second moment; nothing is trained."
        )
    if "fine_tuning" in config["recoveries"]:
        epochs = config["tuning_epochs"]
        text += (
            f" Fine-tuning: {epochs} epoch{'s' if epochs > 1 else ''} of the training above, with "
            f"{TUNING_RATE:g} of its peak learning rate, at "
            f"{', '.join(f'{one:.0%}' for one in config['tuned'])} removed; of the random orders "
            f"the first {min(TUNED_DRAWS, config['random_orders'])}."
        )
    return text


def _small(config: dict[str, Any]) -> str:
    if not config["from_scratch"]:
        return ""
    sizes = ", ".join(f"{one:.0%}" for one in config["tuned"])
    return (
        f"Networks without {sizes} of the units, from the seed's first weights of that size on, "
        "trained as the whole ones are."
    )


def _measurements(config: dict[str, Any]) -> str:
    return (
        "Accuracy at the last valid step of each test sample. Expected calibration error over "
        f"{BINS} bins of confidence. Time is that of one forward pass over all test samples, "
        "divided by their number."
    )


def _statistics(summary: dict[str, Any]) -> str:
    seeds = len(summary["config"]["seeds"])
    if seeds == 1:
        return "One seed, so that nothing is tested."
    return (
        f"{seeds} seeds, which are compared pair by pair: Student's t test, two-sided, and 95 % "
        "intervals. A standard error counts as no less than that of one test sample in every seed. "
        "Holm's correction covers the comparisons of one column of a table, or of one sentence. "
        "Seeds share their samples, so that an interval is about training and splits, not about "
        "other data. An accuracy is above chance where a one-sided binomial test of one seed's "
        "test samples says so."
    )
