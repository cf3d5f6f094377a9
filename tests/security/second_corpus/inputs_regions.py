"""Regions, ages and objects of mixed frames (lines 14 and 15 of issue 14)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tests.dicom_files import noise
from tests.security.second_corpus.inputs import (
    SHAPE,
    Input,
    Pixels,
    changed,
    coded,
    enhanced,
    items,
    mr,
    orientation,
    out_of_scope,
    picture,
    still_in_scope,
    typed,
)

AXIAL, CORONAL = (1.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 0, 0, -1)
PHASE = typed(FrameType="ORIGINAL\\PRIMARY\\PHASE MAP\\NONE", ComplexImageComponent="PHASE")


def cases() -> Iterator[Input]:
    """List them."""
    yield from _regions()
    yield from _ages()
    yield from _mixed()


# Body parts of PS3.16 annex L, and others that sites write in their place.
OTHER_PARTS = """
CSPINE TSPINE CTSPINE SSPINE COCCYX HEAD BRAIN NECK SKULL JAW MANDIBLE MAXILLA EYE EAR NOSE ORBIT
FACE CLAVICLE SCAPULA STERNUM RIB LUNG HEART AORTA THYROID FINGER THUMB TOE PATELLA FEMUR TIBIA
FIBULA RADIUS ULNA CALCANEUS BLADDER SPLEEN GALLBLADDER LIVER RECTUM COLON ESOPHAGUS STOMACH SCROTUM
TESTIS PENIS KNEE HIP SHOULDER BREAST PROSTATE WHOLEBODY HEADNECK CHESTABDOMEN
""".strip().split()
LUMBAR_PARTS = ["LSPINE", "LSSPINE", "lspine", "LUMBAR SPINE", "L-SPINE", "SPINE", "LWS", "", None]


def _regions() -> Iterator[Input]:
    part, region = "BodyPartExamined", "AnatomicRegion"
    for text in OTHER_PARTS:
        # The reason of the first version named the region in words; the field's keyword is allowed.
        build = partial(mr, BodyPartExamined=text)
        yield Input(14, f"BodyPartExamined {text}", build, in_scope=False)
    for lumbar in LUMBAR_PARTS:
        yield changed(14, f"BodyPartExamined {lumbar!r} stays", (), BodyPartExamined=lumbar)
    out = {
        "cervical, SCT": ("122494005", "SCT", "Cervical spine"),
        "cervical, SRT": ("T-11501", "SRT", "Cervical spine"),
        "cervical, SNM3": ("T-11501", "SNM3", "Cervical spine"),
        "thoracic, SCT": ("122495006", "SCT", "Thoracic spine"),
        "thoracic, SRT": ("T-11502", "SRT", "Thoracic spine"),
        "coccyx, SCT": ("64688005", "SCT", "Coccyx"),
        "head, SRT": ("T-D1100", "SRT", "Head"),
        "brain, SCT": ("12738006", "SCT", "Brain"),
        "knee, SCT": ("72696002", "SCT", "Knee"),
        "shoulder, SRT": ("T-D2220", "SRT", "Shoulder"),
        "prostate, SCT": ("41216001", "SCT", "Prostate"),
        "breast, SRT": ("T-04000", "SRT", "Breast"),
        "neck, SCT": ("45048000", "SCT", "Neck"),
    }
    names = (region, "FrameAnatomy", part)
    one = picture()[None]
    for name, code in out.items():
        made = coded("AnatomicRegionSequence", *code)
        yield out_of_scope(14, f"region: {name}", partial(mr, made, BodyPartExamined=None), *names)
        build = partial(enhanced, one, {"FrameAnatomySequence": made}, BodyPartExamined=None)
        yield out_of_scope(14, f"frame's region: {name}", build, *names)
        build = partial(enhanced, one, None, [{"FrameAnatomySequence": made}], BodyPartExamined="")
        yield out_of_scope(14, f"region of the frame alone: {name}", build, *names)
    cervical = coded("AnatomicRegionSequence", *out["cervical, SCT"])
    yield out_of_scope(
        14, "cervical by code, SPINE by word", partial(mr, cervical, BodyPartExamined="SPINE")
    )
    for name, code in {
        "lumbar, SCT": ("122496007", "SCT", "Lumbar spine"),
        "lumbar, SRT": ("T-11503", "SRT", "Lumbar spine"),
        "spine, SCT": ("421060004", "SCT", "Spine"),
        "lumbosacral, SCT": ("1217253001", "SCT", "Lumbo-sacral spine"),
        "a code of the site": ("LWS", "99SITE", "Lendenwirbelsaeule"),
    }.items():
        made = coded("AnatomicRegionSequence", *code)
        yield still_in_scope(14, f"region: {name} stays", partial(mr, made, BodyPartExamined=None))
        build = partial(enhanced, one, {"FrameAnatomySequence": made}, BodyPartExamined=None)
        yield still_in_scope(14, f"frame's region: {name} stays", build)
    yield still_in_scope(
        14, "an empty AnatomicRegionSequence stays", partial(mr, items("AnatomicRegionSequence"))
    )


def _ages() -> Iterator[Input]:
    for age in ("012Y", "017Y", "001Y", "011M", "120M", "006W", "020D", "012y"):
        build = partial(mr, PatientAge=age)
        yield out_of_scope(
            14,
            f"PatientAge {age}",
            build,
            "PatientAge",
            secret=age.strip("0YMWDy") if "1" in age[1:2] else age,
        )
    for adult in ("018Y", "045Y", "099Y", "240M", "", None):
        yield changed(14, f"PatientAge {adult} stays", (), PatientAge=adult)
    for age in ("12", "ABCY", "-12Y", "Y", "0x1Y", "\u0661\u0662\u0663Y"):
        yield Input(14, f"PatientAge {age!r}", partial(mr, PatientAge=age))


def _mixed() -> Iterator[Input]:
    """Frames of other kinds, which are full of noise, do not answer for the object."""
    good, bad = picture(), noise(SHAPE, seed=9)
    diffusion = {"MRDiffusionSequence": {"DiffusionBValue": 1000.0}}
    planes: dict[str, dict[str, Any]] = {
        name: {"PlaneOrientationSequence": {"ImageOrientationPatient": orientation(cosines)}}
        for name, cosines in {
            "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
            "axial": AXIAL,
            "coronal": CORONAL,
        }.items()
    }
    knee = coded("AnatomicRegionSequence", "72696002", "SCT", "Knee")
    lumbar = coded("AnatomicRegionSequence", "122496007", "SCT", "Lumbar spine")
    objects: dict[str, list[tuple[Pixels, dict[str, Any]]]] = {
        "magnitude, phase": [(good, typed()), (bad, PHASE)],
        "phase, magnitude": [(bad, PHASE), (good, typed())],
        "phase, magnitude, phase": [(bad, PHASE), (good, typed()), (bad, PHASE)],
        "a slice and an ADC map": [
            (good, typed()),
            (bad, typed(FrameType="DERIVED\\PRIMARY\\DIFFUSION\\ADC")),
        ],
        "three planes": [
            (bad, planes["axial"]),
            (good, planes["sagittal"]),
            (bad, planes["coronal"]),
        ],
        "b of 0 and of 1000": [
            (good, {"MRDiffusionSequence": {"DiffusionBValue": 0.0}}),
            (bad, diffusion),
        ],
        "a spine and a knee": [
            (bad, {"FrameAnatomySequence": knee}),
            (good, {"FrameAnatomySequence": lumbar}),
        ],
    }
    for name, frames in objects.items():
        at = next(n for n, (pixels, _) in enumerate(frames, 1) if pixels is good)
        macros = [macro for _, macro in frames]
        build = partial(enhanced, np.stack([p for p, _ in frames]), None, macros, ImageType="MIXED")
        yield Input(15, name, build, in_scope=True, same_as=mr, frame=at, n_in_scope=1)
    two = np.stack([bad, bad])
    build = partial(enhanced, two, None, [PHASE, PHASE])
    names = ("ComplexImageComponent", "FrameType")
    yield Input(15, "phase frames alone", build, in_scope=False, names=names, n_in_scope=0)
    both = partial(enhanced, np.stack([good, good]), None, [typed(), typed()])
    yield Input(15, "two ordinary frames", both, in_scope=True, same_as=mr, n_in_scope=2)
    fifty = partial(
        enhanced, np.stack([good] * 25 + [bad] * 25), None, [typed()] * 25 + [PHASE] * 25
    )
    yield Input(15, "25 magnitudes, 25 phases", fifty, in_scope=True, same_as=mr, n_in_scope=25)
