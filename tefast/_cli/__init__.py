"""The command line: scores of recordings in files, without any Python."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

from tefast._cli.arguments import parse
from tefast._cli.inputs import Files, listing
from tefast._cli.scoring import score
from tefast._support import console

PROGRAM = "tefast"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 2 for what the user must mend, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parse(given)
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = console.warn_in_one_line(PROGRAM)
            (_list if options.list else score)(
                options, Files(stack, options.header, options.layout)
            )
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
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
