"""Name what an image is by the words of ImageType and FrameType, if not a plain magnitude image.

The words are those of PS3.3 C.7.6.1.1.2, C.8.3.1.1.1 and C.8.13.3.1.1, and what GE, Philips and
Siemens write there.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORDS_OF = {
    "a scout": "LOCALIZER LOCALISER LOC SCOUT SURVEY PILOT TOPOGRAM",
    "a diffusion image": "DIFFUSION DWI DTI TRACE TRACEW TENSOR CALCBVALUE",
    "a map": "MAP MAPS ADC EADC COLFA PDFF FRACTION FRAC STIFFNESS ELASTOGRAPHY R1 R2 R2STAR T1RHO",
    "a T2* image": "STAR T2STAR SWI SWAN",
    "a perfusion image": "PERFUSION ASL CBF CBV RCBF RCBV RELCBF RELCBV MTT RELMTT TTP GBP PBP PEI"
    " NEI KTRANS",
    "a projection": "MIP MINIP MNIP MAXIP PJN PROJECTION MAXIMUM MINIMUM",
    "a curved reformation": "CPR CURVED CURVEDMPR",
    "a fluid-attenuated image": "FLUIDATTENUATED",
    "a rendering": "VRT SSD VOLREN RENDER RENDERED RENDERING",
    "a computed image": "SUB SUBTRACT SUBTRACTION SUBTRACTED DIVISION MULTIPLICATION RATIO TTEST"
    " ZSCORE STDDEVIATION MASKED QUANTITY",
    "an image of flow": "ANGIO TOF PCA PHASECONTRAST VELOCITY FLOW MMODE CINE",
    "a functional image": "FMRI BOLD TAGGING TEMPERATURE METABOLITE SPECTRO SPECTROSCOPY",
    "a gradient echo": "FFE TFE GRE FLASH",
    "an echo-planar image": "EPI",
    "a Dixon part": "DIXON MDIXON IDEAL INPHASE OPPPHASE OUTPHASE OUTOFPHASE OPPOSEDPHASE",
    "an image after contrast agent": "POSTCONTRAST",
    "a mosaic": "MOSAIC",
    "a screenshot or a report": "SCREEN SCREENSHOT SCREENSAVE SCREENCAPTURE REPORT RESULT POSDISP"
    " SUMMARY GRAPH CHART",
}
# Next to other words in one value these mean something else, as in FAT_SAT.
_VALUES_OF = {
    "a Dixon part": "W F IP OP IN OPP WATER FAT WATERONLY FATONLY WATERIMAGE FATIMAGE",
    "a phase image": "P PHASE",
    "a part of a complex image": "R I REAL IMAGINARY",
    "a map": "FA FF B0 B1",
}
_KIND_OF_WORD = {word: kind for kind, words in _WORDS_OF.items() for word in words.split()}
_KIND_OF_VALUE = {word: kind for kind, words in _VALUES_OF.items() for word in words.split()}
# Philips writes P_FFE, W_TSE, R_IR.
_SEQUENCE_NAMES = frozenset(["SE", "TSE", "IR", "FFE", "TFE", "EPI", "GRASE"])
_SEQUENCES = ("a gradient echo", "an echo-planar image")
_ORIGIN = frozenset(["ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY"])


@lru_cache(maxsize=64)
def kind_of_type(image_type: tuple[str, ...]) -> str | None:
    """Name another kind of image, and the word that tells it: the last one, the most specific.

    Args:
        image_type: the values of ImageType or FrameType, in upper case.

    >>> kind_of_type(("DERIVED", "PRIMARY", "T2* MAP"))
    'a map (MAP)'
    >>> kind_of_type(("ORIGINAL", "PRIMARY", "M_SE", "NORM", "DIS2D"))
    """
    kinds = (_kind_of_value(value) for value in image_type[::-1] if value not in _ORIGIN)
    found = [kind for kind in kinds if kind]
    # Philips ends with the sequence: P_FFE, P, FFE.
    specific = [kind for kind in found if not kind.startswith(_SEQUENCES)]
    return next(iter(specific or found), None)


def _kind_of_value(value: str) -> str | None:
    words = re.findall("[A-Z0-9]+", value.replace("*", " STAR "))
    joined = "".join(words)
    if len(words) > 1 and words[1] in _SEQUENCE_NAMES and words[0] in _KIND_OF_VALUE:
        joined = words[0]
    if joined in _KIND_OF_VALUE:
        return f"{_KIND_OF_VALUE[joined]} ({joined})"
    if joined.endswith("MAP"):  # T2MAP
        words.insert(0, "MAP")
    found = next((word for word in (joined, *words) if word in _KIND_OF_WORD), None)
    return f"{_KIND_OF_WORD[found]} ({found})" if found else None
