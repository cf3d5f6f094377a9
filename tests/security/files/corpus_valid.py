"""Valid files: the same pixels in every transfer syntax and sample format, shapes, and frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jpeg_ls
import numpy as np
import numpy.typing as npt
from openjpeg.utils import encode_array as encode_jpeg_2000

from tests.preprocessing.decoding.codestreams import (
    JPEG,
    JPEG_BASELINE,
    JPEG_EXTENDED_12_BIT,
    LOSSLESS,
    RAMP,
    RLE,
    encode_rle,
)
from tests.security.files.corpus import Case
from tests.security.files.corpus_files import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    Pixels,
    element,
    encapsulated,
    encode,
    native,
    sequence,
    with_elements,
)
from training.phantoms.phantom import make_phantom

NATIVE = {"implicit": IMPLICIT, "explicit": EXPLICIT, "big endian": BIG, "deflated": DEFLATED}
TWELVE: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
Format = tuple[Pixels, dict[str, Any]]


def picture(seed: int) -> npt.NDArray[np.uint8]:
    """A phantom of 80 x 96 pixels in 256 values, all of which occur."""
    pixels = make_phantom(seed, 0, size=96).pixels[8:88]
    scaled: npt.NDArray[np.uint8] = (pixels / pixels.max() * 255).astype(np.uint8)
    scaled[0, 0], scaled[0, 1] = 0, 255
    return scaled


def jpeg_ls_of(pixels: Pixels) -> bytes:
    """Encode all bits of the cells; `jpeg_ls.encode_array` takes dark words for bytes."""
    rows, columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    return bytes(
        jpeg_ls.encode_pixel_data(
            pixels.tobytes(), rows=rows, columns=columns, samples_per_pixel=1, bits_stored=bits
        )
    )


def formats(pixels: npt.NDArray[np.uint8]) -> dict[str, Format]:
    """Store the same values in other samples; the score does not know the difference."""
    wide = pixels.astype(np.uint16)
    signed = wide.astype(np.int16)
    made: dict[str, Format] = {"8 bit": (pixels, {}), "16 bit": (wide, {})}
    for bits in range(9, 16):
        made[f"{bits} bits stored"] = wide, {"BitsStored": bits, "HighBit": bits - 1}
    made |= {
        "signed": (signed, {}),
        "signed 12 bit": (signed - 128, TWELVE),
        "signed 8 bit": ((wide - 128).astype(np.int8), {}),
        "32 bit": (pixels.astype(np.uint32), {}),
        "signed 32 bit": (pixels.astype(np.int32) - 70000, {}),
        "with overlay bits": (wide | 0x5000, TWELVE),
        "high bit at the top": (wide << 4, {"BitsStored": 12, "HighBit": 15}),
        "high bit between": (wide << 2, {"BitsStored": 12, "HighBit": 13}),
        "float": (pixels.astype(np.float32), {}),
        "double": (pixels.astype(np.float64), {}),
        "float from 0 to 1": (pixels.astype(np.float32) / 255, {}),
        "MONOCHROME1": (255 - wide, {"PhotometricInterpretation": "MONOCHROME1"}),
        "rescaled": (wide, {"RescaleSlope": "4.7326", "RescaleIntercept": "-300"}),
        "rescaled to small": (wide, {"RescaleSlope": "1.25E-03", "RescaleIntercept": "0.5"}),
        "CT-like": (signed - 1024, {"RescaleSlope": "1", "RescaleIntercept": "1024"}),
        "MONOCHROME1 rescaled": (
            255 - wide,
            {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "2.5"},
        ),
        "falling slope of MONOCHROME1": (
            wide,
            {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "-1"},
        ),
        "doubled": (wide * 257, {}),
    }
    return made


def cases(seed: int) -> Iterator[Case]:
    """List them."""
    yield from _syntaxes()
    yield from _formats(picture(seed))
    yield from _shapes(seed)
    yield from _frames(picture(seed).astype(np.uint16))


def _syntaxes() -> Iterator[Case]:
    """The sixteen transfer syntaxes; all but the lossy ones hold the very same pixels."""
    for name, syntax in NATIVE.items():
        yield Case("valid", f"ramp {name}", partial(native, RAMP, syntax, **TWELVE), same_as="ramp")
    for name, (syntax, frame) in LOSSLESS.items():
        build = partial(encapsulated, RAMP, syntax, [frame], **TWELVE)
        yield Case("valid", f"ramp {name}", build, same_as="ramp")
    lossy = partial(encapsulated, RAMP, JPEG + "51", [JPEG_EXTENDED_12_BIT], **TWELVE)
    yield Case("valid", "ramp JPEG extended", lossy)
    eight = (RAMP >> 4).astype(np.uint8)
    yield Case(
        "valid",
        "ramp JPEG baseline",
        partial(encapsulated, eight, JPEG + "50", [JPEG_BASELINE]),
    )


def _formats(pixels: npt.NDArray[np.uint8]) -> Iterator[Case]:
    for name, (stored, changes) in formats(pixels).items():
        for syntax_name, syntax in NATIVE.items():
            build = partial(native, stored, syntax, **changes)
            yield Case("valid", f"picture {name}, {syntax_name}", build, same_as="picture")
        if stored.dtype.kind in "iu" and stored.dtype.itemsize == 2 and "overlay" not in name:
            yield from _compressed(name, stored, changes)


def _compressed(name: str, stored: Pixels, changes: dict[str, Any]) -> Iterator[Case]:
    """The formats that a codestream can carry."""
    words = stored.view(np.uint16)
    build = partial(encapsulated, stored, RLE, [encode_rle(words)], **changes)
    yield Case("valid", f"picture {name}, RLE", build, same_as="picture")
    if "high bit" in name:
        return  # a codestream holds samples, not cells
    build = partial(encapsulated, stored, JPEG + "80", [jpeg_ls_of(words)], **changes)
    yield Case("valid", f"picture {name}, JPEG-LS", build, same_as="picture")
    frame = encode_jpeg_2000(stored)
    build = partial(encapsulated, stored, JPEG + "90", [frame], **changes)
    yield Case("valid", f"picture {name}, JPEG 2000", build, same_as="picture")


def _shapes(seed: int) -> Iterator[Case]:
    rng = np.random.default_rng(seed)

    def noise(*shape: int) -> npt.NDArray[np.uint16]:
        return rng.integers(0, 4096, shape, np.uint16)

    sides = [(1, 1), (1, 2), (2, 1), (3, 3), (7, 5), (64, 512), (512, 64), (97, 33), (256, 256)]
    for shape in [*sides, (576, 576), (1, 65535), (65535, 1), (2048, 2048)]:
        build = partial(native, noise(*shape))
        yield Case("valid", f"{shape[0]} x {shape[1]}", build, is_expensive=shape == (2048, 2048))
    hot = np.zeros((40, 40), np.uint16)
    hot[20, 20] = 65535
    pictures: dict[str, partial[bytes]] = {
        "constant": partial(native, np.full((64, 64), 77, np.uint16)),
        "zero": partial(native, np.zeros((64, 64), np.uint16)),
        "full scale": partial(native, np.full((64, 64), 65535, np.uint16)),
        "all padding": partial(
            native, np.full((64, 64), -2000, np.int16), PixelPaddingValue=("SS", -2000)
        ),
        "one hot pixel": partial(native, hot),
        "two values": partial(native, (noise(50, 50) > 2000).astype(np.uint16)),
        "odd bytes": partial(native, noise(5, 7).astype(np.uint8)),
        "whole range": partial(native, np.arange(65536, dtype=np.uint16).reshape(256, 256)),
        "non-square pixels": partial(native, noise(60, 60), PixelSpacing=["2.0", "0.4"]),
        "aspect ratio": partial(
            native, noise(60, 60), PixelSpacing=None, PixelAspectRatio=["3", "2"]
        ),
        "some padding": partial(
            native,
            np.where(noise(60, 60) > 3000, 63536, noise(60, 60)).astype(np.uint16),
            PixelPaddingValue=63536,
        ),
        "a range of padding": partial(
            native, noise(60, 60), PixelPaddingValue=0, PixelPaddingRangeLimit=("US", 500)
        ),
        "float zero": partial(native, np.zeros((9, 9), np.float32)),
        "float constant at the limit": partial(native, np.full((9, 9), 3e38, np.float32)),
        "float range at the limit": partial(
            native, np.linspace(-3e38, 3e38, 81).astype(np.float32).reshape(9, 9)
        ),
        "subnormal floats": partial(
            native, np.linspace(0, 1e-40, 81).astype(np.float32).reshape(9, 9)
        ),
    }
    for name, build in pictures.items():
        yield Case("valid", name, build)


def _frames(pixels: npt.NDArray[np.uint16]) -> Iterator[Case]:
    """Objects of several frames; the answer is that of the most anomalous one."""
    stack = np.stack([pixels, pixels[::-1], pixels.max() - pixels])
    for name, syntax in NATIVE.items():
        build = partial(native, stack, syntax)
        yield Case("valid", f"three frames {name}", build, frames=3, same_as="three frames")
    encoded = [jpeg_ls_of(frame) for frame in stack]
    table = np.cumsum([0] + [8 + len(e) + len(e) % 2 for e in encoded[:-1]]).astype("<u4").tobytes()
    halves = [half for e in encoded for half in (e[: len(e) // 4 * 2], e[len(e) // 4 * 2 :])]
    starts = np.cumsum([0] + [16 + len(e) + len(e) % 2 for e in encoded[:-1]])
    compressed: dict[str, partial[bytes]] = {
        "RLE": partial(encapsulated, stack, RLE, [encode_rle(frame) for frame in stack]),
        "JPEG-LS": partial(encapsulated, stack, JPEG + "80", encoded),
        "JPEG-LS with a table": partial(encapsulated, stack, JPEG + "80", encoded, table),
        "in fragments": partial(encapsulated, stack, JPEG + "80", halves),
        "in fragments with a table": partial(
            encapsulated, stack, JPEG + "80", halves, starts.astype("<u4").tobytes()
        ),
    }
    for name, build in compressed.items():
        yield Case("valid", f"three frames {name}", build, frames=3, same_as="three frames")
    many = np.stack([np.roll(pixels[:32, :32], shift) for shift in range(40)])
    yield Case("valid", "forty frames", partial(native, many), frames=40)
    yield from _enhanced(stack)


def _enhanced(stack: npt.NDArray[np.uint16]) -> Iterator[Case]:
    """Enhanced MR, with functional groups where vendors put them (PS3.3 C.7.6.16)."""
    sop_class = "1.2.840.10008.5.1.4.1.1.4.1"
    measures = sequence(0x00289110, [encode([element("PixelSpacing", ["0.7", "0.7"])])])
    rescale = sequence(
        0x00289145,
        [encode([element("RescaleIntercept", "-5"), element("RescaleSlope", "2")])],
        has_lengths=True,
    )
    timing = sequence(0x00189112, [encode([element("RepetitionTime", "600")])])
    shared = sequence(0x52009229, [encode([timing, measures])])
    per_frame = sequence(0x52009230, [encode([rescale])] * 3)
    some = sequence(0x52009230, [encode([rescale])])
    private = sequence(0x2005140F, [encode([element("PatientID", "P")])])
    deep = sequence(0x52009230, [encode([rescale, private])] * 3, has_lengths=True)
    forms = {
        "shared and per frame": (shared, per_frame),
        "per frame only": (per_frame,),
        "shared only": (shared,),
        "no groups": (),
        "fewer groups than frames": (shared, some),
        "private groups": (shared, deep),
    }
    for name, groups in forms.items():
        build = partial(with_elements, stack, *groups, SOPClassUID=sop_class, PixelSpacing=None)
        yield Case("valid", f"enhanced MR, {name}", build, frames=3)
    one = partial(with_elements, stack[:1], shared, SOPClassUID=sop_class, NumberOfFrames="1")
    yield Case("valid", "enhanced MR of one frame", one)
    legacy = partial(with_elements, stack, shared, per_frame, SOPClassUID=sop_class[:-1] + "4")
    yield Case("valid", "legacy converted enhanced MR", legacy, frames=3)
