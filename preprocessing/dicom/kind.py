"""Name what an image is by its header, if not a plain slice of spin echoes.

Maps, projections, diffusion, phase, scouts, Dixon parts, gradient echoes and screenshots are MR
images too, but none looks like the slices that a model learned.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from preprocessing.dicom import tags, values
from preprocessing.dicom.age import child_by
from preprocessing.dicom.header import Header
from preprocessing.dicom.image_type import kind_of_type
from preprocessing.dicom.values import Item

_DIFFUSION, _FLOW, _TAGGED = "a diffusion image", "an image of flow", "a tagged image"
_ANGIOGRAM, _EPI = "an angiogram", "an echo-planar image"
_GRADIENT, _SCAN = "a gradient echo", "a scan of paper or film"
_COMPLEX, _COLOUR = "a part of a complex image", "a colour image"
_PROJECTION, _RENDERING = "a projection", "a rendering"

# Tag of a code (CS): its keyword, and what some of its values tell.
_CODED: dict[int, tuple[str, Mapping[str, str]]] = {
    tags.BURNED_IN_ANNOTATION: ("BurnedInAnnotation", {"YES": "a picture with text in it"}),
    tags.CONVERSION_TYPE: (
        "ConversionType",
        {"SD": _SCAN, "SI": _SCAN, "DF": _SCAN, "DV": "a video", "DRW": "a drawing"},
    ),
    tags.COMPLEX_IMAGE_COMPONENT: (
        "ComplexImageComponent",
        {"PHASE": "a phase image", "REAL": _COMPLEX, "IMAGINARY": _COMPLEX},
    ),
    tags.ACQUISITION_CONTRAST: (
        "AcquisitionContrast",
        {
            "DIFFUSION": _DIFFUSION,
            "FLOW_ENCODED": _FLOW,
            "FLUID_ATTENUATED": "a fluid-attenuated image",
            "PERFUSION": "a perfusion image",
            "TAGGING": _TAGGED,
            "T2_STAR": "a T2* image",
            "TOF": _ANGIOGRAM,
        },
    ),
    tags.PIXEL_PRESENTATION: ("PixelPresentation", {"COLOR": _COLOUR, "TRUE_COLOR": _COLOUR}),
    tags.VOLUME_BASED_CALCULATION_TECHNIQUE: (
        "VolumeBasedCalculationTechnique",
        {
            "MAX_IP": _PROJECTION,
            "MIN_IP": _PROJECTION,
            "VOLUME_RENDER": _RENDERING,
            "SURFACE_RENDER": _RENDERING,
            "CURVED_MPR": "a curved reformation",
        },
    ),
    tags.DIFFUSION_DIRECTIONALITY: (
        "DiffusionDirectionality",
        dict.fromkeys(("DIRECTIONAL", "BMATRIX", "ISOTROPIC"), _DIFFUSION),
    ),
    tags.TAGGING: ("Tagging", {"GRID": _TAGGED, "LINE": _TAGGED}),
    tags.ANGIO_FLAG: ("AngioFlag", {"Y": _ANGIOGRAM}),
    tags.PHASE_CONTRAST: ("PhaseContrast", {"YES": _FLOW}),
    tags.TIME_OF_FLIGHT_CONTRAST: ("TimeOfFlightContrast", {"YES": _ANGIOGRAM}),
    tags.ECHO_PLANAR_PULSE_SEQUENCE: ("EchoPlanarPulseSequence", {"YES": _EPI}),
    tags.ECHO_PULSE_SEQUENCE: ("EchoPulseSequence", {"GRADIENT": _GRADIENT}),
    tags.ANATOMICAL_ORIENTATION_TYPE: ("AnatomicalOrientationType", {"QUADRUPED": "an animal"}),
}
# Spin echoes of the spine come after 6 ms or more and flip by 70 degrees or more; T2* images flip
# by 5 to 40 degrees, and scouts in steady state have echo times of 1 to 3 ms.
_SHORTEST_SPIN_ECHO_MS = 5.0
_SMALLEST_SPIN_ECHO_FLIP = 60.0
# What people write into ContrastBolusAgent where there was none; "0.1 mmol/kg" and "non-ionic" are
# an agent.
_NO_AGENT = re.compile(
    r"-*|0|N|N/?A|NIL|UNKNOWN|(NO|NOT|NONE|WITHOUT|W/O|OHNE|SANS)\b.*"
    r"|NON[ -]?(CONTRAST|ENHANCED)\b.*"
)
# Tag of a private b-value -> the tag and the text of its creator (PS3.5 7.8.1).
_B_VALUES = {
    group << 16 | block << 8 | element: (group << 16 | block, creator)
    for group, creator, element in tags.PRIVATE_B_VALUES
    for block in tags.PRIVATE_BLOCKS
}
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
_LARGEST_B_VALUE = 50_000
# The elements without which other archives' Secondary Captures of slices are not.
_ACQUISITION = frozenset(
    {tags.ECHO_TIME, tags.REPETITION_TIME, tags.IMAGE_ORIENTATION_PATIENT, tags.SCANNING_SEQUENCE}
)


def other_kind(header: Header, ds: Item) -> str | None:
    """Explain why a frame is not a plain slice of spin echoes; None where nothing says so.

    Args:
        header: of its object.
        ds: its values; see `frame_values`.

    Returns:
        A sentence that names the data element. Its words come from lists, never from the file.
    """
    return next(_reasons(header, ds), None)


def echo_time(header: Header, ds: Item) -> float | None:
    """Return the echo time in ms, None where missing or not finite."""
    echo = values.decimal(ds, tags.ECHO_TIME)
    if echo and math.isfinite(echo):
        return echo
    return values.double(ds, tags.EFFECTIVE_ECHO_TIME, header.big_endian)


def _reasons(header: Header, ds: Item) -> Iterator[str]:
    yield from _by_type(ds)
    sop_class = values.text(ds, tags.SOP_CLASS_UID) or header.media_class
    # Of this class are also plain floats, which their ImageType calls original.
    if sop_class == _PARAMETRIC_MAP and values.code(ds, tags.IMAGE_TYPE) == "DERIVED":
        yield _says("SOPClassUID", "a map", "Parametric Map")
    for tag, (keyword, kinds) in _CODED.items():
        code = values.code(ds, tag) if tag in ds else None
        if code and code in kinds:
            yield _says(keyword, kinds[code], code)
    yield from _by_b_value(header, ds)
    yield from _by_sequence(header, ds)
    yield from _by_agent(ds)
    if child := child_by(ds):
        yield _says(child, "an image of a child", "under 18 years")


def _says(keyword: str, kind: str, value: str) -> str:
    return f"{keyword} says that this is {kind} ({value})"


def _by_type(ds: Item) -> Iterator[str]:
    """Use FrameType where it says more than the origin; ImageType describes all frames together."""
    keyword, words = "FrameType", values.codes(ds, tags.FRAME_TYPE, 16)
    if len(words) <= 2:
        keyword, words = "ImageType", values.codes(ds, tags.IMAGE_TYPE, 16)
    if kind := kind_of_type(words):
        yield f"{keyword} says that this is {kind}"
    conversion = values.code(ds, tags.CONVERSION_TYPE)
    if conversion in ("WSD", "SYN") and "SECONDARY" in words and not ds.keys() & _ACQUISITION:
        yield _says("ConversionType", "a screenshot or a report", conversion)


def _by_b_value(header: Header, ds: Item) -> Iterator[str]:
    """A b-value of 0 tells nothing: some scanners write it into every image."""
    if (values.double(ds, tags.DIFFUSION_B_VALUE, header.big_endian) or 0) > 0:
        yield _says("DiffusionBValue", _DIFFUSION, "above 0")
    for tag in _B_VALUES.keys() & ds.keys():
        place, creator = _B_VALUES[tag]
        # De-identified files have lost the creators of elements that they kept.
        is_b_value = (values.text(ds, place) or creator).upper() == creator
        if is_b_value and 1 <= _b_value(header, tag) <= _LARGEST_B_VALUE:
            name = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            yield _says(f"the b-value in {name}", _DIFFUSION, "above 0")


def _b_value(header: Header, tag: int) -> float:
    """Read a private b-value, 0 where there is none; GE may add 10^9 to it."""
    if tag >> 16 == 0x2001:
        return values.floating(header.values, tag, header.big_endian) or 0
    number = values.decimal(header.values, tag) or 0
    return number % 10**6 if math.isfinite(number) else 0


def _by_sequence(header: Header, ds: Item) -> Iterator[str]:
    sequences = values.codes(ds, tags.SCANNING_SEQUENCE)
    if "EP" in sequences:
        yield _says("ScanningSequence", _EPI, "EP")
    if "SE" in sequences or values.code(ds, tags.ECHO_PULSE_SEQUENCE) in ("SPIN", "BOTH"):
        return
    if "GR" in sequences:
        yield _says("ScanningSequence", _GRADIENT, "GR")
    for variant in values.codes(ds, tags.SEQUENCE_VARIANT):
        if variant in ("SS", "TRSS"):
            yield _says("SequenceVariant", "a gradient echo in steady state", variant)
    if 0 < (values.decimal(ds, tags.FLIP_ANGLE) or 0) < _SMALLEST_SPIN_ECHO_FLIP:
        yield _says("FlipAngle", _GRADIENT, "below 60 degrees")
    if 0 < (echo_time(header, ds) or 0) < _SHORTEST_SPIN_ECHO_MS:
        yield _says("EchoTime", _GRADIENT, "below 5 ms")


def _by_agent(ds: Item) -> Iterator[str]:
    """In an enhanced object each frame says whether an agent had been given by then."""
    agent = "an image after contrast agent"
    given = values.code(ds, tags.CONTRAST_BOLUS_AGENT_ADMINISTERED)
    if given == "YES":
        yield _says("ContrastBolusAgentAdministered", agent, given)
    if given == "NO":
        return
    for keyword, tag in (
        ("ContrastBolusAgent", tags.CONTRAST_BOLUS_AGENT),
        ("ContrastBolusIngredient", tags.CONTRAST_BOLUS_INGREDIENT),
    ):
        name = values.text(ds, tag)
        if name and not _NO_AGENT.fullmatch(name.upper()):
            yield _says(keyword, agent, "not empty")
    if any(values.items(ds, tags.CONTRAST_BOLUS_AGENT_SEQUENCE)):
        yield _says("ContrastBolusAgentSequence", agent, "not empty")
    if (values.decimal(ds, tags.CONTRAST_BOLUS_VOLUME) or 0) > 0:
        yield _says("ContrastBolusVolume", agent, "above 0")
