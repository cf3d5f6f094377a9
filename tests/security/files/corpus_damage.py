"""Files that were cut, overwritten or changed at random."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from tests.preprocessing.decoding.codestreams import JPEG, LOSSLESS, RAMP
from tests.security.files.corpus import DAMAGE, OK, REFUSALS, Case
from tests.security.files.corpus_files import (
    DEFLATED,
    Pixels,
    encapsulated,
    mr_elements,
    native,
    part10,
)
from tests.security.files.corpus_valid import NATIVE, picture

_CUT = DAMAGE | {"not_dicom", "unsupported_transfer_syntax"}
_ANYTHING = frozenset({OK}) | REFUSALS
_N_RANDOM = 14


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    pixels = picture(seed).astype(np.uint16)
    yield from _cuts(pixels)
    yield from _compressed_cuts()
    yield from _overwritten(pixels, np.random.default_rng(seed))
    yield from _mutations(pixels, np.random.default_rng(seed + 1))


def _cuts(pixels: Pixels) -> Iterator[Case]:
    """Files that end at, or inside of, a structure."""
    for name, syntax in NATIVE.items():
        data = native(pixels, syntax)
        start = len(data) - pixels.nbytes if syntax != DEFLATED else 400
        early = (1, 64, 127, 128, 129, 131, 132, 133, 136, 140, 144, 200, 300)
        inside = range(start // 2, start, max(start // 40, 1))
        late = (start - 12, start - 8, start - 4, start - 1, start, start + 1)
        for length in sorted({each % len(data) for each in (*early, *inside, *late)}):
            cut = partial(_cut, data, length)
            yield Case("malformed", f"{name} cut after {length} bytes", cut, _CUT)
        # The end of a deflated stream may hold no pixel any more.
        last = partial(_cut, data, len(data) - 2)
        codes = _CUT | {OK} if syntax == DEFLATED else _CUT
        yield Case("malformed", f"{name} cut by two bytes", last, codes)
        for share in (0.25, 0.5, 0.75, 0.99):
            cut = partial(_cut, data, int(len(data) * share))
            yield Case("malformed", f"{name} cut after {share:.0%}", cut, _CUT)
    elements = mr_elements(pixels)
    position = len(part10(b""))
    whole = native(pixels)
    for each in elements.values():
        for name, part in {"tag": 2, "VR": 5, "length": 7}.items():
            cut = partial(_cut, whole, position + part)
            yield Case("malformed", f"cut in the {name} of {each.tag:08X}", cut, _CUT)
        position += len(each.encode())


def _cut(data: bytes, length: int) -> bytes:
    return data[:length]


def _compressed_cuts() -> Iterator[Case]:
    for name, (syntax, frame) in LOSSLESS.items():
        data = encapsulated(RAMP, syntax, [frame])
        start = data.index(frame[:16])
        for cut in (-20, -16, -12, -8, -4, 1, 8, 20, len(frame) // 2, len(frame) - 2):
            shorter = partial(_cut, data, start + cut)
            yield Case("malformed", f"{name} file cut at {cut}", shorter, _CUT)
        for length in (2, 4, 10, 16, 40, len(frame) // 3, len(frame) // 2, len(frame) - 8):
            build = partial(encapsulated, RAMP, syntax, [frame[:length]])
            yield Case("malformed", f"{name} frame cut after {length}", build, DAMAGE)


def _overwritten(pixels: Pixels, rng: np.random.Generator) -> Iterator[Case]:
    """Blocks of a file that a failing disk replaced."""
    data = native(pixels)
    header = len(data) - pixels.nbytes
    for name, byte in {"zeros": b"\0", "ones": b"\xff", "newlines": b"\r\n"}.items():
        for at in (132, 160, 220, 400, 600):
            size = min(128, header - at)
            block = (byte * size)[:size]
            build = partial(bytes, data[:at] + block + data[at + size :])
            yield Case("malformed", f"{name} at {at}", build, REFUSALS)
    noise = rng.bytes(3000)
    for length in (0, 1, 7, 8, 50, 3000):
        build = partial(bytes, data[:132] + noise[:length])
        yield Case("malformed", f"{length} random bytes after the prefix", build, REFUSALS)
    for start in (
        b"\x08\0\x05\0CS",
        b"\x02\0\x10\0UI\0\0",
        b"\x08\0\0\0\x04\0\0\0",
        b"\0\x08\0\5CS",
    ):
        build = partial(bytes.join, b"", (start, noise))
        yield Case("malformed", f"random bytes after {start.hex()}", build, REFUSALS)


def _mutations(pixels: Pixels, rng: np.random.Generator) -> Iterator[Case]:
    """Some bytes changed, put in or taken out: a slice or any known error."""
    files = {name: native(pixels[:16, :24], syntax) for name, syntax in NATIVE.items()}
    files |= {
        name: encapsulated(RAMP, syntax, [frame])
        for name, (syntax, frame) in LOSSLESS.items()
        if syntax != JPEG + "202"
    }
    for number in range(_N_RANDOM):
        for name, file in list(files.items())[number % 2 :: 2]:
            data = file
            for _ in range(int(rng.integers(1, 5))):
                at, removed = int(rng.integers(len(data))), int(rng.integers(4))
                data = data[:at] + rng.bytes(int(rng.integers(4))) + data[at + removed :]
            yield Case("malformed", f"mutation {number} of {name}", partial(bytes, data), _ANYTHING)
