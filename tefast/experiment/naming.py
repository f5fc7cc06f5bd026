"""Names of files as reports, tables and keys can hold them."""

from __future__ import annotations

import os


def printable(name: str | os.PathLike[str]) -> str:
    r"""A file's name with bytes that are not UTF-8 written as ``\xNN``; others stay as they are.

    Python has such bytes as lone surrogates, which no text file, page or terminal takes.
    """
    content = os.fspath(name).encode("utf-8", "surrogateescape")
    return content.decode("utf-8", "backslashreplace")
