"""How a table of text is laid out: separator, header and decimal point, told by its start."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

LINES, FEW, CHARACTERS = 100, 5, 200_000
"""So many lines are looked at: fewer where they are long, but some."""
COMMENTS = ("#", "%")
SEPARATORS = ("\t", ";", ",", "|", None)  # None: spaces, any number of them
MISSING = ("", "na", "nan", "null", "n/a", "none")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Layout:
    """What a reader must be told.

    Attributes
    ----------
    encoding : str
    separator : str or None
        None: spaces.
    decimal : str
    comment : str or None
    header : bool
        Whether the first line holds names.
    labels : bool
        Whether a first column without a name labels the rows.
    shorter : bool
        Whether that is so since the first line has one field less than the others.
    trailing : bool
        Whether lines end in a separator with nothing after it, which is no column.
    first : tuple of str
        The fields of the first line.
    numbers : float
        The share of fields that are numbers, not counting the first line.
    """

    encoding: str
    separator: str | None
    decimal: str
    comment: str | None
    header: bool
    labels: bool
    shorter: bool
    trailing: bool
    first: tuple[str, ...]
    numbers: float


def looks_like_text(start: bytes) -> bool:
    """Whether the start of a file is text of any encoding that tables come in."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    odd = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in start)
    return bool(start) and not odd


def guess(start: bytes, header: bool | None = None) -> Layout:
    """The layout of a table from its first bytes.

    Parameters
    ----------
    start : bytes
        A whole table, or so much of it that some lines are whole.
    header : bool, optional
        Whether the first line holds names; by default that is told by what stands in it.

    Raises
    ------
    ValueError
        If there is no line.
    """
    encoding = _encoding(start)
    lines = start.decode(encoding, errors="ignore").splitlines()
    if len(lines) > 2 and len(start) > 1000:
        lines = lines[:-1]  # which may be cut off
    lines = [line for line in lines if line.strip()]
    comment = next((line[0] for line in map(str.lstrip, lines) if line[0] in COMMENTS), None)
    if comment is not None:
        lines = [line.partition(comment)[0] for line in lines if line.lstrip()[0] != comment]
        lines = [line for line in lines if line.strip()]
    if not lines:
        raise ValueError("it holds no line of a table")
    found = (_as_separated(_some(lines), each) for each in SEPARATORS)
    separator, decimal, rows, _ = max(found, key=lambda each: each[3])
    first, rest = rows[0], rows[1:]
    trailing = bool(rest) and all(len(row) > 1 and row[-1] == "" for row in rest)
    if trailing:
        rest = [row[:-1] for row in rest]
        first = first[:-1] if first[-1] == "" else first
    shorter = bool(rest) and all(len(row) == len(first) + 1 for row in rest)
    if header is None:
        header = shorter or is_header(first, rest, decimal)
    if header and rest and len(first) > max(map(len, rest)):
        raise ValueError(
            f"the first line names {len(first)} columns ({', '.join(first)}), and the others have "
            f"{max(map(len, rest))}"
        )
    fields = [field for row in rest for field in row]
    return Layout(
        encoding=encoding,
        separator=separator,
        decimal=decimal,
        comment=comment,
        header=header,
        labels=header and (shorter or first[0] == ""),
        shorter=shorter,
        trailing=trailing,
        first=tuple(first),
        numbers=sum(_is_number(field, decimal) for field in fields) / max(len(fields), 1),
    )


def _some(lines: list[str]) -> list[str]:
    most = CHARACTERS // max(len(line) for line in lines[:FEW])
    return lines[: min(max(FEW, most), LINES)]


def _encoding(start: bytes) -> str:
    for mark, name in BOMS.items():
        if start.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _as_separated(
    lines: list[str], separator: str | None
) -> tuple[str | None, str, list[list[str]], tuple[float, ...]]:
    """The fields of lines by some separator, and how well they go with it."""
    if separator is None:
        rows = [line.split() for line in lines]
    else:
        try:
            fields = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
        except csv.Error:  # of very long fields, since this is not the separator
            fields = [line.split(separator) for line in lines]
        rows = [[field.strip() for field in row] for row in fields]
    body = rows[1:] or rows
    width = len(body[0])
    alike = sum(len(row) == len(body[0]) for row in body) / len(body)
    shares = {}
    # "1,2" alone is two numbers rather than one with a decimal comma.
    for decimal in (".", ",") if separator != "," and width > 1 else (".",):
        numbers = [_is_number(field, decimal) for row in body for field in row]
        shares[decimal] = sum(numbers) / max(len(numbers), 1)
    decimal = max(shares, key=lambda each: shares[each])
    return separator, decimal, rows, (round(shares[decimal], 2), round(alike, 2), width)


def is_header(first: Sequence[str], rest: Sequence[Sequence[str]], decimal: str = ".") -> bool:
    """Whether the first line of fields holds names rather than values.

    It does where a text stands above nothing but numbers, or where all of it is text. A first
    field that is empty before 0, 1, 2 is how pandas writes columns without names.
    """
    if not first[0] and len(first) > 1:
        counted = [str(i) for i in range(len(first) - 1)]
        if list(first[1:]) == counted:
            return True
    text = [i for i, field in enumerate(first) if field and not _is_value(field, decimal)]
    if not text:
        return False
    above = [i for i in text if rest and all(_is_value(row[i], decimal) for row in rest
                                             if i < len(row))]  # fmt: skip
    return bool(above) or len(text) == sum(1 for field in first if field)


def _is_value(field: str, decimal: str) -> bool:
    return field.lower() in MISSING or _is_number(field, decimal)


def _is_number(field: str, decimal: str) -> bool:
    if decimal == ",":
        if "." in field:
            return False
        field = field.replace(",", ".")
    return bool(re.fullmatch(r"[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf)", field,
                             re.IGNORECASE))  # fmt: skip
