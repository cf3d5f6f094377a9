"""Read values generously: what cannot be understood counts as missing."""

from __future__ import annotations

import math
import re
import struct

# PS3.5 6.2, and what some writers put in place of a number.
_DECIMAL = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE
)

# One data set: tag -> the bytes of its value, or the items of a sequence.
Item = dict[int, "bytes | list[Item]"]


def raw(item: Item, tag: int) -> bytes | None:
    """Return the bytes of a value, None where missing, empty or a sequence."""
    value = item.get(tag)
    return value if isinstance(value, bytes) and value else None


def items(item: Item, tag: int) -> list[Item]:
    """Return the items of a sequence; none where missing."""
    value = item.get(tag)
    return value if isinstance(value, list) else []


def text(item: Item, tag: int) -> str | None:
    """Return a text without padding, None where missing or empty.

    The declared character set is often wrong and nothing here depends on it: what is not UTF-8 is
    read as Latin-1, which never fails and keeps different texts different.
    """
    value = raw(item, tag)
    if value is None:
        return None
    try:
        decoded = value.decode("utf-8")
    except UnicodeDecodeError:
        decoded = value.decode("latin-1")
    return decoded.strip(" \0\t\r\n") or None


def code(item: Item, tag: int) -> str | None:
    """Return a coded value (CS) in upper case, the first one of several."""
    value = text(item, tag)
    return value.split("\\")[0].strip().upper() or None if value else None


def codes(item: Item, tag: int, most: int = 8) -> tuple[str, ...]:
    """Return the values of a coded value (CS) in upper case, `most` at most; none where missing."""
    value = text(item, tag)
    parts = value.upper().split("\\", most)[:most] if value else []
    return tuple(part.strip() for part in parts if part.strip())


def decimals(item: Item, tag: int, most: int = 3) -> list[float] | None:
    """Return the numbers of a decimal string, `most` at most, None where any is unreadable.

    NaN and infinities pass; who uses the numbers decides what they mean.
    """
    value = text(item, tag)
    numbers = [_number(part) for part in value.split("\\", most)[:most]] if value else []
    found = [number for number in numbers if number is not None]
    return found if found and len(found) == len(numbers) else None


def decimal(item: Item, tag: int) -> float | None:
    """Return the first number of a decimal string."""
    value = text(item, tag)
    return _number(value.split("\\", 1)[0]) if value else None


def _number(written: str) -> float | None:
    """Read one number; Python's own reader takes 1_0 and the digits of other scripts, too."""
    written = written.strip(" ")
    return float(written) if _DECIMAL.fullmatch(written) else None


def double(item: Item, tag: int, big_endian: bool) -> float | None:
    """Return a binary double (FD), None where missing, of another length or not finite."""
    value = raw(item, tag)
    number = floating(item, tag, big_endian) if value and len(value) == 8 else None
    return number if number is not None and math.isfinite(number) else None


def floating(item: Item, tag: int, big_endian: bool) -> float | None:
    """Return a binary number (FL, FD), None where missing or of another length."""
    value = raw(item, tag) or b""
    form = {4: "f", 8: "d"}.get(len(value))
    if form is None:
        return None
    number: float = struct.unpack((">" if big_endian else "<") + form, value)[0]
    return number


def integer(item: Item, tag: int, big_endian: bool, *, signed: bool = False) -> int | None:
    """Return a binary integer (US, SS, UL, SL), the first one of several shorts."""
    value = raw(item, tag)
    if value is None or len(value) < 2:
        return None
    width = 4 if len(value) == 4 else 2
    return int.from_bytes(value[:width], "big" if big_endian else "little", signed=signed)
