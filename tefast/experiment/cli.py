"""The command line of the experiment."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tefast.experiment.config import (
    CRITERIA,
    DATASETS,
    GRANULARITIES,
    PRESETS,
    REGULARIZERS,
    SPLITS,
    Config,
    check,
)

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment; return 0, 2 for what the user must mend, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    try:
        _run(options, given)
    except KeyboardInterrupt:
        how = "the same command without --fresh" if options.fresh else "the same command"
        print(f"\ninterrupted; {how} goes on from here", file=sys.stderr)
        return INTERRUPTED
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
    config = PRESETS[options.preset]
    given = {
        name: value
        for name, value in vars(options).items()
        if value is not None and name in Config.__dataclass_fields__
    }
    if options.size is not None:
        given["height"], given["width"] = options.size
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
    return check(replace(config, **given))


def parser() -> argparse.ArgumentParser:
    """The options; those left out take the preset's value."""
    top = argparse.ArgumentParser(
        prog="python -m tefast.experiment",
        description="Train LSTMs on video features, remove units by transfer entropy and other "
        "criteria, and report what accuracy is left. Stopped anywhere, the same command goes on.",
    )
    top.add_argument("--preset", choices=PRESETS, default="default",
                     help="default: rendered clips, minutes; smoke: seconds; paper: UCF101 at the "
                     "paper's sizes, hours")  # fmt: skip
    top.add_argument("--out", type=Path, default=Path("runs/experiment"), metavar="DIR",
                     help="folder for results (default: %(default)s)")  # fmt: skip
    again = top.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true",
                       help="go on with the run in --out, and fail if there is none (without "
                       "either option: go on if there is one)")  # fmt: skip
    again.add_argument("--fresh", action="store_true",
                       help="delete the run in --out and start anew")  # fmt: skip
    data = top.add_argument_group("data")
    data.add_argument("--dataset", choices=DATASETS)
    data.add_argument("--data-root", metavar="DIR", help="the folder the clips are in")
    data.add_argument("--split", choices=SPLITS)
    data.add_argument("--weights", help="of the ResNet-18: imagenet, random, or a file")
    data.add_argument("--frames", type=int, help="frames sampled from a clip")
    data.add_argument("--size", type=_size, metavar="HxW", help="of a frame, such as 240x320")
    data.add_argument("--groups", type=int, help="groups of a rendered class")
    data.add_argument("--clips-per-group", type=int, help="clips of a rendered group")
    data.add_argument("--feature-cache", type=Path, metavar="DIR",
                      help="keep features here, to share them between runs")  # fmt: skip
    model = top.add_argument_group("model and training")
    model.add_argument("--hidden", type=int, help="units of the LSTM")
    model.add_argument("--fc", type=int, help="width between the fully connected layers")
    model.add_argument("--epochs", type=int)
    model.add_argument("--batch-size", type=int)
    model.add_argument("--lr", type=float)
    model.add_argument("--loss", choices=("last", "all"))
    model.add_argument("--l1-weight", type=float, help="factor of the L1 penalty")
    model.add_argument("--l2-weight", type=float, help="factor of the L2 penalty")
    sweep = top.add_argument_group("sweep")
    sweep.add_argument("--seeds", type=int, nargs="+")
    sweep.add_argument("--regularizers", nargs="+", choices=REGULARIZERS)
    sweep.add_argument("--criteria", nargs="+", choices=CRITERIA)
    sweep.add_argument("--removed", type=float, nargs="+", help="fractions to remove")
    sweep.add_argument("--granularity", choices=GRANULARITIES,
                       help="remove whole units (default), or single gates as well, with units "
                       "beside them in figure4.png")  # fmt: skip
    sweep.add_argument("--bins", type=int, help="for transfer entropy and entropy")
    return top


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HxW such as 240x320, got {text!r}") from None
    return height, width


def _complain(error: Any) -> int:
    line = " ".join(str(error).split())
    print(f"tefast.experiment: error: {line}", file=sys.stderr)
    return 2
