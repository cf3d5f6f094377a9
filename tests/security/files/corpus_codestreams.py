"""Codestreams whose headers lie: RLE, JPEG, JPEG-LS and JPEG 2000."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np

from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP, RLE, encode_rle
from tests.security.files.corpus import DAMAGE, OK, Case
from tests.security.files.corpus_files import encapsulated

_BROKEN = DAMAGE | {"not_grayscale", "unsupported_pixel_format"}
# A change that a decoder may not notice, or that leaves a picture.
_PERHAPS = _BROKEN | {OK}


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    yield from _rle()
    yield from _jpeg()
    yield from _jpeg_2000()
    yield from _flips(np.random.default_rng(seed))
    yield from _claims()


def _case(name: str, syntax: str, frame: bytes, codes: frozenset[str] = _BROKEN) -> Case:
    build = partial(encapsulated, RAMP, syntax, [frame], BitsStored=12, HighBit=11)
    return Case("malformed", name, build, codes)


def _rle() -> Iterator[Case]:
    """PS3.5 annex G: 16 long words, then a segment for each byte of a cell."""
    frame = encode_rle(RAMP)
    n_found, first, second = struct.unpack_from("<3L", frame)
    assert (n_found, first) == (2, 64)
    headers: dict[str, tuple[int, ...]] = {
        "no segment": (0, 64, second),
        "one segment": (1, 64),
        "three segments": (3, 64, second, second + 10),
        "15 segments": (15, *range(64, 64 + 15 * 8, 8)),
        "16 segments": (16, *range(64, 64 + 15 * 8, 8)),
        "4 billion segments": (2**32 - 1, 64, second),
        "offsets zero": (2, 0, 0),
        "offsets inside of the header": (2, 12, 30),
        "offsets the same": (2, 64, 64),
        "offsets backwards": (2, second, 64),
        "offset at the end": (2, 64, len(frame)),
        "offset beyond the end": (2, 64, len(frame) + 1000),
        "offset of 4 GB": (2, 64, 2**32 - 1),
        "first offset too far": (2, 65, second),
    }
    for name, header in headers.items():
        raw = struct.pack(f"<{len(header)}L", *header)[:64].ljust(64, b"\0")
        codes = _PERHAPS if name == "first offset too far" else _BROKEN
        yield _case(f"RLE: {name}", RLE, raw + frame[64:], codes)
    body = struct.pack("<3L", 2, 64, 66).ljust(64, b"\0")
    bodies = {
        "a literal beyond the end": b"\x7f\1" * 2,
        "a run without its byte": b"\0\1" + b"\x81",
        "no-operations alone": b"\x80" * 900,
        "runs of zeros too few": b"\x81\0" * 2,
        "one byte for each segment": b"\1\1\1\1",
    }
    for name, content in bodies.items():
        yield _case(f"RLE: {name}", RLE, body + content)
    runs = b"\x81\0" * 400
    much = struct.pack("<3L", 2, 64, 64 + len(runs)).ljust(64, b"\0") + runs * 2
    yield _case("RLE: more pixels than declared", RLE, much, _PERHAPS)
    yield _case("RLE: zero bytes after", RLE, frame + b"\0" * 500, frozenset({OK}))


def _jpeg() -> Iterator[Case]:
    """Frame headers of JPEG (SOF3) and JPEG-LS (SOF55): length, precision, rows, columns, parts."""
    for name, marker in (("JPEG lossless SV1", 0xC3), ("JPEG-LS lossless", 0xF7)):
        syntax, frame = LOSSLESS[name]
        at = frame.index(bytes((0xFF, marker)))

        def changed(offset: int, value: bytes, frame: bytes = frame, at: int = at) -> bytes:
            return frame[: at + offset] + value + frame[at + offset + len(value) :]

        for precision in (0, 1, 7, 17, 32, 255):
            lie = changed(4, bytes((precision,)))
            yield _case(f"{name}: precision {precision}", syntax, lie, _PERHAPS)
        for rows, columns in ((0, 24), (16, 0), (15, 24), (17, 24), (24, 16), (65535, 65535)):
            lie = changed(5, struct.pack(">HH", rows, columns))
            yield _case(f"{name}: {rows} x {columns}", syntax, lie)
        for parts in (0, 2, 3, 4, 255):
            yield _case(f"{name}: {parts} components", syntax, changed(9, bytes((parts,))))
        for length in (0, 2, 7, 12, 65535):
            lie = changed(2, struct.pack(">H", length))
            yield _case(f"{name}: header of {length} bytes", syntax, lie, _PERHAPS)
        for other in (0xC0, 0xC1, 0xC2, 0xC5, 0xC9, 0xCB, 0xCF, 0xDA, 0xD9, 0x00):
            if other != marker:
                lie = changed(1, bytes((other,)))
                yield _case(f"{name}: marker {other:02X}", syntax, lie, _PERHAPS)
        extra = {
            "two headers": frame[:at] + frame[at : at + 13] + frame[at:],
            "no header": frame[:at] + frame[at + 2 + 11 :],
            "no end": frame[:-2].rstrip(b"\xd9\xff"),
            "start alone": b"\xff\xd8\xff\xd9",
            "no start": frame[2:],
            "fill bytes": frame[:2] + b"\xff" * 500 + frame[2:],
            "comment of 64 kB": frame[:2] + b"\xff\xfe\xff\xff" + b"Q" * 65533 + frame[2:],
            "restart markers": frame[: at + 20] + b"\xff\xd0" * 50 + frame[at + 20 :],
            "twice in one fragment": frame + frame,
            "a thumbnail before": frame[:2] + b"\xff\xe1\0\x08\xff\xd8\xff\xd9\0\0" + frame[2:],
        }
        for what, lie in extra.items():
            yield _case(f"{name}: {what}", syntax, lie, _PERHAPS)


def _jpeg_2000() -> Iterator[Case]:
    """The SIZ segment (ISO/IEC 15444-1 A.5.1)."""
    for name in ("JPEG 2000 lossless", "HTJ2K lossless"):
        syntax, frame = LOSSLESS[name]
        at = frame.index(b"\xff\x51")

        def changed(offset: int, value: bytes, frame: bytes = frame, at: int = at) -> bytes:
            return frame[: at + offset] + value + frame[at + offset + len(value) :]

        lies = {
            "width 0": (6, 0),
            "width 4 billion": (6, 2**32 - 1),
            "height 0": (10, 0),
            "height of 25": (10, 25),
            "origin after the image": (14, 2**31),
            "tiles of width 0": (22, 0),
            "tiles of width 1": (22, 1),
            "tiles of 4 billion": (22, 2**32 - 1),
            "tile origin after the image": (30, 2**31),
        }
        for what, (offset, number) in lies.items():
            codes = _PERHAPS if what.startswith("tile") else _BROKEN
            yield _case(
                f"{name}: {what}", syntax, changed(offset, struct.pack(">L", number)), codes
            )
        for parts in (0, 2, 3, 16384, 65535):
            yield _case(
                f"{name}: {parts} components", syntax, changed(38, struct.pack(">H", parts))
            )
        for depth in (0, 7, 16, 37, 38, 127, 0x8B, 0xFF):
            yield _case(
                f"{name}: depth byte {depth}", syntax, changed(40, bytes((depth,))), _PERHAPS
            )
        for step in (0, 2, 255):
            yield _case(f"{name}: subsampled by {step}", syntax, changed(41, bytes((step, step))))
        cod = frame.index(b"\xff\x52")
        for offset, what, values in (
            (9, "levels", (0, 6, 33, 255)),
            (10, "block width", (0, 9, 255)),
            (13, "filter", (0, 1, 2, 255)),
            (6, "layers", (0, 255)),
        ):
            for value in values:
                lie = frame[: cod + offset] + bytes((value,)) + frame[cod + offset + 1 :]
                yield _case(f"{name}: {what} {value}", syntax, lie, _PERHAPS)
        tile = frame.index(b"\xff\x90")
        for number, what in ((0, "0"), (12, "12"), (2**31, "2 GB")):
            lie = frame[: tile + 6] + struct.pack(">L", number) + frame[tile + 10 :]
            yield _case(f"{name}: tile part of {what}", syntax, lie, _PERHAPS)
        wrapped = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 65 + frame
        yield _case(f"{name}: in a JP2 of zeros", syntax, wrapped, _PERHAPS)
        yield _case(f"{name}: 5000 bytes before", syntax, b"\0" * 5000 + frame)


def _flips(rng: np.random.Generator) -> Iterator[Case]:
    """Single bits and blocks changed inside of the entropy-coded data."""
    for name, (syntax, frame) in LOSSLESS.items():
        for number in range(4):
            changed = bytearray(frame)
            for at in rng.integers(len(frame) // 3, len(frame) - 4, number + 1):
                changed[at] ^= 1 << int(rng.integers(8))
            yield _case(f"{name}: flip {number}", syntax, bytes(changed), _PERHAPS)
        zeroed = frame[: len(frame) // 2] + b"\0" * 32 + frame[len(frame) // 2 + 32 :]
        yield _case(f"{name}: zeroed block", syntax, zeroed, _PERHAPS)


def _claims() -> Iterator[Case]:
    """Small frames that claim much, with a geometry that agrees."""
    for name, marker in (
        ("JPEG lossless SV1", b"\xff\xc3"),
        ("JPEG lossless", b"\xff\xc3"),
        ("JPEG-LS lossless", b"\xff\xf7"),
        ("JPEG 2000 lossless", b"\xff\x51"),
        ("HTJ2K lossless", b"\xff\x51"),
    ):
        syntax, frame = LOSSLESS[name]
        for side in (4096, 65535):
            build = partial(_claiming, syntax, frame, marker, side)
            codes = frozenset({"limit_exceeded"}) if side == 65535 else _BROKEN
            yield Case(
                "malformed", f"{name} claims {side} x {side}", build, codes, is_expensive=True
            )
    small = struct.pack("<3L", 2, 64, 66).ljust(64, b"\0") + b"\x81\0\x81\0"
    build = partial(encapsulated, RAMP, RLE, [small], Rows=4096, Columns=4096)
    yield Case("malformed", "RLE claims 4096 x 4096", build, DAMAGE, is_expensive=True)


def _claiming(syntax: str, frame: bytes, marker: bytes, side: int) -> bytes:
    changed = bytearray(frame)
    at = changed.index(marker)
    if marker == b"\xff\x51":  # image and tile sizes
        changed[at + 6 : at + 14] = changed[at + 22 : at + 30] = struct.pack(">LL", side, side)
    else:
        changed[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return encapsulated(RAMP, syntax, [bytes(changed)], Rows=side, Columns=side)
