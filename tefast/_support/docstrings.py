"""Docstrings that share descriptions of parameters, each of which is written in one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

_PLACE = re.compile(r"^( *)\{([\w:, ]+)\}$", re.MULTILINE)


def documenting(descriptions: Mapping[str, str]) -> Callable[[T], T]:
    """Make a decorator that puts descriptions of parameters into a docstring.

    A line of the docstring such as ``{bins, base}`` is replaced by the descriptions of these names,
    one below the other and as far indented. The object itself stays as it is, and so do its
    signature and its type. Without docstrings (``python -OO``) nothing is done.

    Parameters
    ----------
    descriptions : mapping of str to str
        Entries of a NumPy docstring, or whole sections, by the names that stand for them. A name
        has a colon where a parameter means something else in some functions, such as ``h:alone``.

    Returns
    -------
    callable
        The decorator, of a function or a class. It raises a KeyError for an unknown name.
    """

    def decorate(documented: T) -> T:
        if documented.__doc__ is not None:
            documented.__doc__ = _PLACE.sub(described, documented.__doc__)
        return documented

    def described(place: re.Match[str]) -> str:
        entries = [descriptions[name.strip()].strip("\n") for name in place[2].split(",")]
        return place[1] + "\n".join(entries).replace("\n", f"\n{place[1]}")

    return decorate
