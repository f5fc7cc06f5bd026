"""The command line: scores of recordings in files, without any Python."""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tefast
from tefast import recordings
from tefast.files import whole_file
from tefast.pieces import PIECE_BYTES, Arrays
from tefast.recordings import Recording, Recordings
from tefast.surrogates import METHODS, Significance

INTERRUPTED = 130
COLUMNS = (
    "te",
    "p_value",
    "q_value",
    "null_mean",
    "null_std",
    "effective_te",
    "standard_error",
)

Floats = npt.NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 2 for what the user must mend, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args([_not_an_option(each) for each in given])
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always")
            warnings.showwarning = _warn  # type: ignore[assignment]
            (_list if options.list else _score)(options, _Files(options.file, stack))
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads standard output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError as error:
        return _complain(f"out of memory: {error}")
    except (ImportError, ValueError, TypeError, OSError) as error:
        return _complain(error)
    return 0


def parser() -> argparse.ArgumentParser:
    """All options, with the names and defaults of `tefast.significance`."""
    top = argparse.ArgumentParser(
        prog="python -m tefast",
        description="Transfer entropy from one source to every unit of a target, from files.",
    )
    top.add_argument("--version", action="version", version=f"tefast {tefast.__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score",
        help="score every unit of a recording",
        description="Score every unit of the target by what the source tells about its next value, "
        "and test each score. Writes a table (CSV) and a plot; existing files are not overwritten "
        "without --force.",
    )
    _add_inputs(score.add_argument_group("input"))
    _add_outputs(score.add_argument_group("output"))
    _add_estimate(score.add_argument_group("estimate"))
    _add_test(score.add_argument_group("significance"))
    return top


def _add_inputs(group: Any) -> None:
    group.add_argument("file", type=Path, nargs="?", metavar="FILE",
                       help=f"a file of arrays: {', '.join(recordings.KINDS)}")  # fmt: skip
    group.add_argument("--list", action="store_true",
                       help="show the arrays of FILE with shapes and types, and stop")  # fmt: skip
    group.add_argument("--target", metavar="NAME",
                       help="the target: an array of FILE, (sequences, steps, units) or (steps, "
                       "units), or a .npy file; not needed where FILE has one array")  # fmt: skip
    group.add_argument("--source", metavar="NAME",
                       help="the source: an array (sequences, steps) or (steps), or a "
                       ".npy file")  # fmt: skip
    group.add_argument("--source-file", type=Path, metavar="FILE",
                       help="another file, which the source is in")  # fmt: skip
    group.add_argument("--lengths", metavar="NAME",
                       help="valid steps of each sequence: an array (sequences), or a "
                       ".npy file")  # fmt: skip
    group.add_argument("--bin-integers", action="store_true",
                       help="bin integers, such as the samples of a converter, instead of taking "
                       "them as symbols 0, 1, ...")  # fmt: skip
    group.add_argument("--nan-policy", choices=("raise", "omit"), default="raise",
                       help="omit: leave out every transition that touches a NaN "
                       "(default: %(default)s)")  # fmt: skip


def _add_outputs(group: Any) -> None:
    group.add_argument("--out", type=Path, metavar="CSV",
                       help="the table, a row a unit (without it: standard output)")  # fmt: skip
    group.add_argument("--plot", type=Path, metavar="PNG",
                       help="a plot of the sorted scores; .png, .pdf or .svg")  # fmt: skip
    group.add_argument("--force", action="store_true",
                       help="overwrite files that are there")  # fmt: skip
    group.add_argument("--quiet", action="store_true",
                       help="no progress and no summary on standard error")  # fmt: skip


def _add_estimate(group: Any) -> None:
    group.add_argument(
        "--bins", type=int, default=16, help="of values, or how many symbols (default: %(default)s)"
    )
    group.add_argument("--binning", choices=("uniform", "quantile"), default="uniform",
                       help="(default: %(default)s)")  # fmt: skip
    group.add_argument("--edges", type=float, nargs="+", metavar="EDGE",
                       help="inner edges of the bins, in place of --binning")  # fmt: skip
    group.add_argument("--target-range", "--h-range", dest="h_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"), help="of uniform bins; by default the "
                       "data's own, unit by unit")  # fmt: skip
    group.add_argument("--source-range", "--y-range", dest="y_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"), help="the same of the source")  # fmt: skip
    group.add_argument("--target-history", type=int, default=1, metavar="STEPS",
                       help="of the unit's own past (default: %(default)s)")  # fmt: skip
    group.add_argument("--source-history", type=int, default=1, metavar="STEPS",
                       help="of the source (default: %(default)s)")  # fmt: skip
    group.add_argument("--delay", type=int, default=1, metavar="STEPS",
                       help="from the source to the unit's next value "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--target-step", type=int, default=1, metavar="STEPS",
                       help="from one entry of the target's history to the next "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--source-step", type=int, default=1, metavar="STEPS",
                       help="the same of the source's history (default: %(default)s)")  # fmt: skip
    group.add_argument("--joint", action="store_true",
                       help="take the source as several at once: an array (sequences, steps, "
                       "sources) or (steps, sources)")  # fmt: skip
    group.add_argument("--bias", choices=("miller_madow", "grassberger"),
                       help="correct the bias of the estimate; with --significance none, since "
                       "surrogates have the same bias")  # fmt: skip
    group.add_argument("--base", type=_base, default=2.0, help="of logarithms: 2 for bits, e for "
                       "nats (default: 2)")  # fmt: skip
    group.add_argument("--backend", choices=("auto", "cpu", "cuda", "reference"), default="auto",
                       help="(default: %(default)s)")  # fmt: skip
    group.add_argument("--threads", type=int, help="by default as many as OpenMP uses")


def _add_test(group: Any) -> None:
    group.add_argument("--significance", choices=(*METHODS, "none"), default="shuffle",
                       help="shuffle: permute the source's steps; trials: permute the sources of "
                       "the sequences; circular: turn the source in each sequence, which keeps its "
                       "memory; chi2: no surrogates, for much data "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--surrogates", type=int, default=200, metavar="COUNT",
                       help="the least p-value is 1 / (COUNT + 1) "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument(
        "--seed", type=int, default=0, help="of the surrogates (default: %(default)s)"
    )
    group.add_argument("--alpha", type=float, default=0.05, metavar="Q",
                       help="units with a q-value up to this count as significant in plot and "
                       "summary (default: %(default)s)")  # fmt: skip


def _base(text: str) -> float:
    try:
        return math.e if text == "e" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or e, got {text!r}") from None


def _not_an_option(argument: str) -> str:
    """Numbers such as -1e-3 with a space before, so that they are not taken for options."""
    if not argument.startswith("-"):
        return argument
    try:
        float(argument)
    except ValueError:
        return argument
    return f" {argument}"


class _Files:
    """Files that are opened as arrays of theirs are asked for.

    Parameters
    ----------
    main : Path or None
        Where arrays are looked for first.
    stack : ExitStack
        Closes them.
    """

    def __init__(self, main: Path | None, stack: ExitStack) -> None:
        self.main, self._stack = main, stack
        self._open: dict[Path, Recordings] = {}

    @property
    def paths(self) -> list[Path]:
        """Of all that were opened."""
        return list(self._open)

    def arrays(self, path: Path) -> Recordings:
        """All arrays of a file."""
        if path not in self._open:
            self._open[path] = self._stack.enter_context(recordings.opened(path))
        return self._open[path]

    def find(self, name: str | None, option: str, path: Path | None) -> Recording:
        """An array by its name in a file, or a .npy file by its path."""
        alone = name is not None and Path(name).suffix.lower() == ".npy"
        if name is not None and alone and (path is None or name not in self.arrays(path)):
            path, name = Path(name), None
        if path is None:
            raise ValueError(f"expected {option} NAME in a FILE, or {option} ARRAY.npy")
        return recordings.find(self.arrays(path), name, path, option)


def _list(options: argparse.Namespace, files: _Files) -> None:
    if options.file is None:
        raise ValueError("expected the FILE whose arrays are to be listed")
    for name, each in files.arrays(options.file).items():
        print(f"{name}  {each.shape}  {each.dtype}")


def _score(options: argparse.Namespace, files: _Files) -> None:
    _check_options(options)
    h = files.find(options.target, "--target", options.file)
    y = files.find(options.source, "--source", options.source_file or options.file)
    lengths = None
    if options.lengths is not None:
        lengths = files.find(options.lengths, "--lengths", options.file).whole()
    _check_outputs(options, files.paths)
    if options.bin_integers:
        h, y = h.as_floats(), y.as_floats()
    Arrays(h, y, lengths, None, 0, options.joint)  # raises for shapes before anything is read
    te, found = _estimate(options, h, y, lengths)
    _write(options, te, found, f"{y.name} to {len(te)} units of {h.name}")


def _check_options(options: argparse.Namespace) -> None:
    if options.source is None and options.source_file is None:
        raise ValueError("expected --source NAME, or --source-file FILE with one array")
    if options.bias is not None and options.significance != "none":
        raise ValueError(
            f"--bias goes with --significance none, got {options.significance}, whose null_mean "
            "is the bias and effective_te what is left without it"
        )
    if not 0 < options.alpha < 1:
        raise ValueError(f"--alpha must lie between 0 and 1, got {options.alpha}")
    if options.edges is not None and options.binning != "uniform":
        raise ValueError(
            f"--edges takes the place of --binning {options.binning}; give one of them"
        )


def _check_outputs(options: argparse.Namespace, inputs: list[Path]) -> None:
    """Raise, before any work, if a file could not or should not be written."""
    outputs = [path for path in (options.out, options.plot) if path is not None]
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ValueError(f"--out and --plot are both {options.out}")
    for path in outputs:
        if path.resolve() in [each.resolve() for each in inputs]:
            raise ValueError(f"{path} is an input; write to another file")
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected a file")
        if path.exists() and not options.force:
            raise ValueError(f"{path} is there already; --force overwrites it")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ValueError(f"{path} cannot be written: {folder} is not a folder to write to")
    if options.plot is not None:
        _plot().check_format(options.plot)


def _plot() -> Any:
    try:
        from tefast import plot
    except ModuleNotFoundError as error:
        raise ImportError('--plot needs matplotlib: pip install "tefast[files]"') from error
    return plot


def _estimate(
    options: argparse.Namespace, h: Recording, y: Recording, lengths: Any
) -> tuple[Floats, Significance | None]:
    names = ("bins", "target_history", "source_history", "delay", "target_step", "source_step",
             "joint", "h_range", "y_range", "nan_policy", "base", "backend",
             "threads")  # fmt: skip
    given = {name: getattr(options, name) for name in names}
    given["binning"] = options.binning if options.edges is None else options.edges
    given["lengths"] = lengths
    if options.significance != "none":
        with _Told("surrogates", options.quiet) as told:
            found = tefast.significance(
                h.whole(),
                y.whole(),
                method=options.significance,
                surrogates=options.surrogates,
                seed=options.seed,
                progress=told,
                **given,
            )
        return found.te, found
    if _is_too_large(options, h, y.shape[-1] if options.joint else 1):
        with _Told("pieces", options.quiet) as told:
            te = tefast.stream(h, y, bias=options.bias, progress=told, **given).compute()
        return te, None
    return tefast.transfer_entropy(h.whole(), y.whole(), bias=options.bias, **given), None


def _is_too_large(options: argparse.Namespace, h: Recording, sources: int) -> bool:
    """Whether to keep counts rather than values in memory."""
    if h.mapped or options.binning == "quantile":
        return False
    states = options.bins ** (1 + options.target_history + sources * options.source_history)
    counts = (h.shape[-1] if len(h.shape) > 1 else 1) * states * 8
    values = math.prod(h.shape) * getattr(h.dtype, "itemsize", 8)
    return bool(counts + 2 * PIECE_BYTES < values)


def _write(options: argparse.Namespace, te: Floats, found: Significance | None, title: str) -> None:
    table, unit = _table(te, found), _unit(options.base)
    with ExitStack() as stack:  # both are there at the end, or neither
        if options.out is not None:
            stack.enter_context(whole_file(options.out)).write_text(table, encoding="utf-8")
        if options.plot is not None:
            plot, part = _plot(), stack.enter_context(whole_file(options.plot))
            title = f"Transfer entropy from {title}"
            plot.write(plot.scores(te, found, unit=unit, alpha=options.alpha, title=title), part)
    if options.out is None:
        print(table, end="", flush=True)
    if not options.quiet:
        print(_summary(options, te, found, unit), file=sys.stderr)
        _hint(options, found)


def _table(te: Floats, found: Significance | None) -> str:
    """As CSV, a row a unit; what was not tested for is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("unit", *COLUMNS))
    for u, score in enumerate(te):
        if found is None:
            writer.writerow((u, float(score), *[""] * (len(COLUMNS) - 1)))
        else:
            writer.writerow((u, *[float(getattr(found, name)[u]) for name in COLUMNS]))
    return text.getvalue()


def _summary(options: argparse.Namespace, te: Floats, found: Significance | None, unit: str) -> str:
    highest = int(np.nanargmax(te))
    line = f"{len(te)} units, the highest unit {highest} with {te[highest]:.4g} {unit}"
    if found is not None:
        significant = int((found.q_value <= options.alpha).sum())
        line += f"; {significant} significant (q up to {options.alpha:g}, {found.method})"
    written = [str(path) for path in (options.out, options.plot) if path is not None]
    return line + (f"; wrote {' and '.join(written)}" if written else "")


def _hint(options: argparse.Namespace, found: Significance | None) -> None:
    """Say so where surrogates were too few for any unit to be significant among so many."""
    if found is None or found.method == "chi2" or (found.q_value <= options.alpha).any():
        return
    least = 1 / (options.surrogates + 1)
    best = int((found.p_value <= least * (1 + 1e-9)).sum())
    if best:
        tested = int((~np.isnan(found.p_value)).sum())
        print(
            f"{best} units exceed every surrogate, but with {options.surrogates} surrogates p is "
            f"at least {least:.2g}, too much for a q of {options.alpha:g} among {tested} units: "
            f"try --surrogates {math.ceil(tested / (best * options.alpha))}",
            file=sys.stderr,
        )


def _unit(base: float) -> str:
    return {2.0: "bits", math.e: "nats", 10.0: "dits"}.get(base, f"log {base:g}")


class _Told:
    """Progress on standard error: a bar on a terminal, with tqdm, else a line now and then."""

    def __init__(self, what: str, quiet: bool) -> None:
        self._what, self._quiet = what, quiet
        self._bar: Any = None
        self._tenth = 0

    def __enter__(self) -> _Told:
        if not self._quiet and sys.stderr.isatty():
            with suppress(ModuleNotFoundError):
                from tqdm import tqdm

                self._bar = tqdm(desc=self._what, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.total = total
            self._bar.n = done
            self._bar.refresh()
        elif not self._quiet and 10 * done // total > self._tenth:
            self._tenth = 10 * done // total
            print(f"{self._what}: {done} of {total}", file=sys.stderr)


def _warn(message: Warning | str, category: Any, filename: str, lineno: int, *_: Any) -> None:
    """A warning in one line, without the place in the code that it came from."""
    print(f"tefast: warning: {message}", file=sys.stderr)


def _complain(error: Any) -> int:
    line = " ".join(str(error).split())
    print(f"tefast: error: {line}", file=sys.stderr)
    return 2
