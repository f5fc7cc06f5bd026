"""The command line: scores and networks of recordings in files, without any Python."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

from tefast._cli.arguments import parse
from tefast._cli.inputs import Files, listing
from tefast._cli.network import network
from tefast._cli.scoring import score
from tefast._support import console

PROGRAM = "tefast"
COMMANDS = {"score": score, "network": network}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 2 for what the user must mend, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = argparse.Namespace()
    try:
        options = parse(given)
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = console.warn_in_one_line(PROGRAM)
            files = Files(stack, options.header, options.layout)
            (_list if options.list else COMMANDS[options.command])(options, files)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\ninterrupted; {_left(options)}", file=sys.stderr)
        return console.INTERRUPTED
    except BrokenPipeError:  # whoever reads standard output, such as head, has had enough
        console.release_output()
        return 0
    except MemoryError as error:
        return console.complain(PROGRAM, f"out of memory: {error}")
    except (ImportError, ValueError, TypeError, OSError) as error:
        return console.complain(PROGRAM, error)
    return 0


def _list(options: argparse.Namespace, files: Files) -> None:
    if options.file is None:
        raise ValueError("expected the FILE whose arrays are to be listed")
    print(listing(files.arrays(options.file)))


def _left(options: argparse.Namespace) -> str:
    """What an interrupted command leaves behind, and how to go on."""
    checkpoint = getattr(options, "checkpoint", None)
    if checkpoint is not None:
        return f"what is done is in {checkpoint}, and the same command goes on there"
    said = "nothing was written"
    if hasattr(options, "checkpoint"):
        said += "; with --checkpoint DIR the same command would go on where it was stopped"
    return said
