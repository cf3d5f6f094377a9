"""Write DICOM files element by element, so that any of their bytes can be wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom.datadict import dictionary_VR, tag_for_keyword

# Planted in names, identifiers, comments, private data and bad values: no answer may contain it.
MARKER = "QZMARKERZQ"

Encoding = Literal["explicit", "implicit", "big"]
Pixels = npt.NDArray[Any]

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
STORAGE = "1.2.840.10008.5.1.4.1.1."
ENCODINGS: dict[str, Encoding] = {IMPLICIT: "implicit", BIG: "big"}  # the others are explicit
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00010, 0x7FE00008, 0x7FE00009

_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FD": "d", "FL": "f", "AT": "HH"}


@dataclass(frozen=True)
class Element:
    """One data element.

    Args:
        tag: group and element.
        vr: two bytes, which need not be a VR.
        value: as stored in the file.
        length: what the header claims, where not the truth.
    """

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    def encode(self, encoding: Encoding = "explicit") -> bytes:
        """Write the header and the value."""
        order = ">" if encoding == "big" else "<"
        length = len(self.value) if self.length is None else self.length
        tag = struct.pack(order + "HH", self.tag >> 16, self.tag & 0xFFFF)
        if encoding == "implicit" or self.tag >> 16 == 0xFFFE:
            return tag + struct.pack(order + "L", length) + self.value
        if self.vr in _LONG:
            return tag + self.vr + struct.pack(order + "HL", 0, length) + self.value
        return tag + self.vr + struct.pack(order + "H", length & 0xFFFF) + self.value


Elements = dict[int, Element]


def value_bytes(vr: str, value: Any, encoding: Encoding = "explicit") -> bytes:
    """Write a value as its VR requires, padded to an even length."""
    if isinstance(value, bytes):
        return value
    if vr in _NUMBERS:
        order = ">" if encoding == "big" else "<"
        numbers = value if isinstance(value, tuple) else (value,)
        return b"".join(struct.pack(order + _NUMBERS[vr], number) for number in numbers)
    text = "\\".join(map(str, value)) if isinstance(value, list) else str(value)
    raw = text.encode("utf-8")
    return raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)


def element(keyword: str, value: Any, encoding: Encoding = "explicit") -> Element:
    """Make an element of the dictionary; (VR, value) sets another VR."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    vr = dictionary_VR(tag)
    if isinstance(value, tuple) and isinstance(value[0], str):
        vr, value = value
    vr = vr[:2]  # "US or SS"
    return Element(tag, vr.encode(), value_bytes(vr, value, encoding))


def mr_elements(pixels: Pixels, encoding: Encoding = "explicit", **changes: Any) -> Elements:
    """List the elements of an MR slice [H, W] or object [N, H, W] with markers in it.

    Args:
        pixels: what is stored.
        encoding: of numbers.
        changes: by keyword; None leaves an element out.
    """
    bits = pixels.dtype.itemsize * 8
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
        "SOPClassUID": STORAGE + "4",
        "SOPInstanceUID": "1.2.3.4",
        "StudyDate": "20200131",
        "AccessionNumber": MARKER,
        "Modality": "MR",
        "Manufacturer": "Vendor",
        "InstitutionName": MARKER,
        "ReferringPhysicianName": f"{MARKER}^Referring",
        "SeriesDescription": f"{MARKER} t2",
        "PatientName": f"{MARKER}^Patient",
        "PatientID": MARKER,
        "PatientBirthDate": "19700101",
        "PatientComments": f"{MARKER} comment",
        "BodyPartExamined": "LSPINE",
        "RepetitionTime": "3600",
        "EchoTime": "120",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "ImageComments": MARKER,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "PixelSpacing": ["0.5", "0.5"],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if pixels.ndim == 3:
        values["NumberOfFrames"] = str(pixels.shape[0])
    values |= changes
    made = [element(name, value, encoding) for name, value in values.items() if value is not None]
    made += [
        Element(0x00090010, b"LO", MARKER.encode()),
        Element(0x00091001, b"UN", MARKER.encode()),
        pixel_element(pixels, encoding),
    ]
    return {each.tag: each for each in sorted(made, key=lambda each: each.tag)}


def pixel_element(pixels: Pixels, encoding: Encoding = "explicit") -> Element:
    """Make native pixel data: words, bytes, floats or doubles."""
    raw = pixels.astype(pixels.dtype.newbyteorder(">" if encoding == "big" else "<")).tobytes()
    raw += b"\0" * (len(raw) % 2)
    if pixels.dtype == np.float32:
        return Element(FLOAT_PIXELS, b"OF", raw)
    if pixels.dtype == np.float64:
        return Element(DOUBLE_PIXELS, b"OD", raw)
    return Element(PIXEL_DATA, b"OW" if pixels.dtype.itemsize > 1 else b"OB", raw)


def encode(elements: Elements | Iterable[Element], encoding: Encoding = "explicit") -> bytes:
    """Write a data set, in the order given."""
    each_of = elements.values() if isinstance(elements, dict) else elements
    return b"".join(each.encode(encoding) for each in each_of)


def meta(syntax: str | bytes | None, sop_class: str = STORAGE + "4") -> bytes:
    """Write file meta information (PS3.10 7.1)."""
    elements = [
        Element(0x00020001, b"OB", b"\0\1"),
        element("MediaStorageSOPClassUID", sop_class),
        element("MediaStorageSOPInstanceUID", "1.2.3.4"),
    ]
    if syntax is not None:
        elements.append(element("TransferSyntaxUID", syntax))
    elements.append(element("ImplementationClassUID", "1.2.3.4.5"))
    body = encode(elements)
    return Element(0x00020000, b"UL", struct.pack("<L", len(body))).encode() + body


def part10(data_set: bytes, syntax: str | bytes | None = EXPLICIT, preamble: bytes = b"") -> bytes:
    """Put preamble, prefix and file meta information before a data set."""
    if syntax == DEFLATED:
        data_set = deflate(data_set)
    return preamble.ljust(128, b"\0") + b"DICM" + meta(syntax) + data_set


def deflate(data: bytes, level: int = 6) -> bytes:
    """Compress as PS3.5 A.5 has it."""
    deflater = zlib.compressobj(level, wbits=-15)
    return deflater.compress(data) + deflater.flush()


def native(pixels: Pixels, syntax: str = EXPLICIT, **changes: Any) -> bytes:
    """Write an uncompressed file; changes by keyword, None leaves an element out."""
    encoding = ENCODINGS.get(syntax, "explicit")
    return part10(encode(mr_elements(pixels, encoding, **changes), encoding), syntax)


def fragment(data: bytes, length: int | None = None) -> bytes:
    """Write one item of encapsulated pixel data."""
    return Element(0xFFFEE000, b"", data, length).encode()


DELIMITER = Element(0xFFFEE0DD, b"", b"").encode()


def encapsulated(
    pixels: Pixels, syntax: str, fragments: Iterable[bytes], table: bytes = b"", **changes: Any
) -> bytes:
    """Write a compressed file from its fragments."""
    even = [each + b"\0" * (len(each) % 2) for each in fragments]
    value = b"".join(map(fragment, (table, *even))) + DELIMITER
    return with_pixels(pixels, syntax, value, **changes)


def with_pixels(pixels: Pixels, syntax: str, value: bytes, **changes: Any) -> bytes:
    """Write a file with any bytes as the value of undefined length of its pixel data."""
    elements = mr_elements(pixels, **changes)
    elements[PIXEL_DATA] = Element(PIXEL_DATA, b"OB", value, UNDEFINED)
    return part10(encode(elements), syntax)


def sequence(
    tag: int, items: Iterable[bytes], encoding: Encoding = "explicit", has_lengths: bool = False
) -> Element:
    """Make a sequence of encoded data sets (PS3.5 7.5)."""
    if has_lengths:
        value = b"".join(Element(0xFFFEE000, b"", item).encode(encoding) for item in items)
        return Element(tag, b"SQ", value)
    end = Element(0xFFFEE00D, b"", b"").encode(encoding)
    parts = [Element(0xFFFEE000, b"", item, UNDEFINED).encode(encoding) + end for item in items]
    value = b"".join(parts) + Element(0xFFFEE0DD, b"", b"").encode(encoding)
    return Element(tag, b"SQ", value, UNDEFINED)


def with_elements(pixels: Pixels, *added: Element, **changes: Any) -> bytes:
    """Write an explicit file with more elements, each at its place in the order."""
    elements = mr_elements(pixels, **changes) | {each.tag: each for each in added}
    return part10(encode(elements[tag] for tag in sorted(elements)))


def with_claim(pixels: Pixels, tag: int, length: int, encoding: Encoding = "explicit") -> bytes:
    """Write a file in which one element claims another length."""
    elements = mr_elements(pixels, encoding)
    elements[tag] = replace(elements[tag], length=length)
    syntax = {"implicit": IMPLICIT, "big": BIG}.get(encoding, EXPLICIT)
    return part10(encode(elements, encoding), syntax)
