"""The command line of the experiment."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tefast._support.console import INTERRUPTED, MISTAKE, complain
from tefast._support.files import WriteError
from tefast.experiment import datasets
from tefast.experiment.config import (
    DEVICES,
    GRANULARITIES,
    PRECISIONS,
    PRESETS,
    RECOVERIES,
    REGULARIZERS,
    SPLITS,
    Config,
    check,
    for_dataset,
)
from tefast.experiment.processes import speaks


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; return 0, 2 for what the user must mend, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    again = "the same command without --fresh" if options.fresh else "the same command"
    try:
        _run(options, given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\ninterrupted; {again} goes on from here", file=sys.stderr)
        return INTERRUPTED
    except WriteError as error:
        return _complain(f"{error}; once it can be written, {again} goes on from here")
    except ImportError as error:
        return _complain(f'{error}; install the experiment with: pip install "tefast[experiment]"')
    except MemoryError as error:
        return _complain(f"out of memory: {error}")
    except RuntimeError as error:
        if "allocate" not in str(error):  # torch's way to say that memory ran out
            raise
        return _complain(f"out of memory: {error}")
    except (ValueError, FloatingPointError, OSError) as error:
        return _complain(error)
    return 0


def _run(options: argparse.Namespace, given: list[str]) -> None:
    config = configure(options)
    from tefast.experiment import run  # torch and the rest, once the arguments are right

    run.run(
        config,
        options.out,
        fresh=options.fresh,
        must_resume=options.resume,
        feature_cache=options.feature_cache,
        command=["python", "-m", "tefast.experiment", *given],
    )


def configure(options: argparse.Namespace) -> Config:
    """The preset with what was given on the command line in its place."""
    preset = PRESETS[options.preset]
    config = preset if options.dataset is None else for_dataset(preset, options.dataset)
    given = {
        name: value
        for name, value in vars(options).items()
        if value is not None and name in Config.__dataclass_fields__
    }
    if options.size is not None:
        given["height"], given["width"] = options.size
    if options.num_seeds is not None:
        given["seeds"] = tuple(range(options.num_seeds))
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    return check(replace(config, **given))


def parser() -> argparse.ArgumentParser:
    """The options; those left out take the preset's value."""
    top = argparse.ArgumentParser(
        prog="python -m tefast.experiment",
        description="Train LSTMs on video features or other sequences, remove units by transfer "
        "entropy and other criteria, and report what accuracy is left. Stopped anywhere, the same "
        "command goes on. An option that is left out takes the value of the preset, or one that "
        "suits the data set where the preset has none of its own.",
    )
    top.add_argument("--preset", choices=PRESETS, default="default",
                     help="default: rendered clips, minutes; smoke: seconds; paper: UCF101 at the "
                     "paper's sizes, hours (default: %(default)s)")  # fmt: skip
    top.add_argument("--out", type=Path, default=Path("runs/experiment"), metavar="DIR",
                     help="folder for results (default: %(default)s)")  # fmt: skip
    again = top.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true",
                       help="go on with the run in --out, and fail if there is none (without "
                       "either option: go on if there is one)")  # fmt: skip
    again.add_argument("--fresh", action="store_true",
                       help="delete the run in --out and start anew")  # fmt: skip
    _add_data(top.add_argument_group("data"))
    _add_model(top.add_argument_group("model and training"))
    _add_sweep(top.add_argument_group("sweep"))
    return top


def _add_data(group: Any) -> None:
    _add(group, "--dataset", type=_dataset, metavar="NAME",
         help=f"one of {', '.join(datasets.names())}")  # fmt: skip
    _add(group, "--data-root", metavar="DIR", help="the folder the video clips are in")
    _add(group, "--data", metavar="FILE",
         help="for --dataset arrays: npz, safetensors or HDF5 with x (N, T, D), labels (N,) and "
         "optional groups, split and lengths (N,)")  # fmt: skip
    _add(group, "--split", choices=SPLITS, help="of the data into training and test")
    group.add_argument("--allow-unreadable", action="store_true", default=None,
                       help="go on where more than 1%% of the clips cannot be read")  # fmt: skip
    group.add_argument("--allow-leak", action="store_true", default=None,
                       help="go on where official lists have clips of one video in both "
                       "parts")  # fmt: skip
    _add(group, "--backbone", metavar="NAME",
         help="the network that reads the frames: resnet18, or a model of torchvision or timm "
         "where these are installed")  # fmt: skip
    _add(group, "--weights", help="of the backbone: imagenet, random, or a file")
    _add(
        group,
        "--precision",
        choices=PRECISIONS,
        help="what the backbone computes in, and on CUDA the training",
    )
    _add(group, "--device", choices=DEVICES,
         help="what networks run on; auto: CUDA where there is")  # fmt: skip
    _add(group, "--workers", type=int, metavar="N",
         help="processes that read clips; 0: as many as there are cores")  # fmt: skip
    _add(group, "--frames", type=int, help="frames sampled from a clip")
    _add(group, "--size", type=_size, metavar="HxW", help="of a frame, such as 240x320")
    _add(group, "--groups", type=int, help="groups of a rendered class")
    _add(group, "--clips-per-group", type=int, help="clips of a rendered group")
    group.add_argument("--feature-cache", type=Path, metavar="DIR",
                       help="keep features here, to share them between runs (default: a folder "
                       "in --out)")  # fmt: skip


def _add_model(group: Any) -> None:
    _add(group, "--hidden", type=int, help="units of the LSTM")
    _add(group, "--fc", type=int, help="width between the fully connected layers")
    _add(group, "--epochs", type=int, help="passes over the training data")
    _add(group, "--batch-size", type=int, help="sequences of a training step")
    _add(group, "--lr", type=float, help="learning rate of Adam")
    _add(group, "--loss", choices=("last", "all"),
         help="learn the class at the last step, or at every step")  # fmt: skip
    for name, penalty in {"l1": "L1 penalty", "l2": "L2 penalty", "group": "group penalty"}.items():
        _add(group, f"--{name}-weight", type=_factor, help=f"factor of the {penalty}, or auto")


def _add_sweep(group: Any) -> None:
    seeds = group.add_mutually_exclusive_group()
    _add(seeds, "--seeds", type=int, nargs="+", help="a model for each of these seeds")
    seeds.add_argument("--num-seeds", type=_count, metavar="N",
                       help="a model for each of the seeds 0 to N - 1 (default: those of "
                       "--seeds)")  # fmt: skip
    _add(group, "--regularizers", nargs="+", choices=REGULARIZERS, help="a model for each")
    _add(group, "--criteria", nargs="+", metavar="NAME",
         help="what orders the units: names of tefast.nn.criteria, or module:function")  # fmt: skip
    _add(group, "--random-orders", type=int, help="random orders to compare with")
    _add(group, "--recoveries", nargs="+", choices=RECOVERIES,
         help="what is done after units are removed, each a curve of its own")  # fmt: skip
    _add(group, "--from-scratch", action=argparse.BooleanOptionalAction,
         help="also train networks of the smaller sizes from the beginning")  # fmt: skip
    _add(group, "--tuned", type=float, nargs="+",
         help="removed fractions at which networks are trained again")  # fmt: skip
    _add(group, "--tuning-epochs", type=int, help="epochs of fine-tuning")
    _add(group, "--readings", action=argparse.BooleanOptionalAction,
         help="also compare the ways to read the paper's definition of the score")  # fmt: skip
    _add(group, "--removed", type=float, nargs="+", help="fractions to remove")
    _add(group, "--granularity", choices=GRANULARITIES,
         help="remove whole units, or single gates as well, with units beside them in "
         "figure4.png")  # fmt: skip
    _add(group, "--bins", type=int, help="for transfer entropy and entropy")


def _add(group: Any, flag: str, *, help: str, **options: Any) -> None:
    """Add an option that presets have a value for, and say which."""
    name = flag.removeprefix("--").replace("-", "_")
    own = {preset: _shown(config, name) for preset, config in PRESETS.items()}
    default = own.pop("default")
    others = [f"{preset}: {value}" for preset, value in own.items() if value != default]
    group.add_argument(flag, help=f"{help} (default: {'; '.join([default, *others])})", **options)


def _shown(config: Config, name: str) -> str:
    """A preset's value as it is given on the command line."""
    if name == "size":
        return f"{config.height}x{config.width}"
    value = getattr(config, name)
    if value is None:
        return "none"
    return " ".join(f"{each:g}" if isinstance(each, float) else str(each)
                    for each in (value if isinstance(value, tuple) else (value,)))  # fmt: skip


def _factor(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or auto, got {text!r}") from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _dataset(text: str) -> str:
    if text in datasets.names():
        return text
    known = f"expected one of {', '.join(datasets.names())}, got {text!r}"
    if Path(text).suffix or Path(text).is_file():
        known += f"; did you mean --dataset arrays --data {shlex.quote(text)}?"
    raise argparse.ArgumentTypeError(known)


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HxW such as 240x320, got {text!r}") from None
    return height, width


def _complain(error: Any) -> int:
    if not speaks():
        return MISTAKE
    return complain("tefast.experiment", error)
