"""Name the kind of a slice by its header, else by what the model measured."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from model.calibration.regions import PHANTOM, REGIONS, stated_region
from preprocessing import SliceFacts

# Nearer to 0 the canal is neither bright nor dark: PD, or a failed segmentation.
CLEAR_CONTRAST = 0.1
# Sagittal lumbar slices have .05 to .12 of their square in vertebral bodies (192 masks of SPIDER).
SMALLEST_VERTEBRA_SHARE = 0.015

_LONG_ECHO_MS = 60.0  # T2; the standard protocols of the lumbar spine lie at 80-124
_SHORT_ECHO_MS = 30.0  # T1 lies at 8-14
_LONG_REPETITION_MS = 1500.0  # a short echo with more than this is PD; T1 lies at 446-721
_FAT_INVERSION_MS = (80.0, 300.0)  # nulls fat at 0.5 to 3 T; FLAIR's inversion times are far longer

CONTRASTS = ("T1", "T2", "PD", "T1 FS", "T2 FS", "PD FS", "STIR")
PLANES = ("sagittal", "coronal", "axial", "other")
ACQUISITIONS = ("2D", "3D")
SUBJECTS = ("patient", "phantom", "synthetic phantom")


@dataclass(frozen=True)
class Measured:
    """What the model measured to tell the kind of a slice.

    Args:
        canal_contrast: ln(mean canal / mean vertebra intensity): above 0 on T2, below 0 on T1, 0
            where either was not found.
        vertebra_share: share of the model's square that was segmented as vertebra, 0-1.
    """

    canal_contrast: float
    vertebra_share: float


@dataclass(frozen=True)
class StratumKey:
    """A kind of slice, in words of closed lists; None where it is unknown, which fits any.

    Args:
        contrast: T1, T2, PD, with " FS" where fat is suppressed; STIR.
        plane: sagittal, coronal, axial; other.
        region: lumbar, thoracic, cervical; other.
        acquisition: 2D, 3D.
        subject: patient, phantom, synthetic phantom.
    """

    contrast: str | None = None
    plane: str | None = None
    region: str | None = None
    acquisition: str | None = None
    subject: str | None = None

    def __post_init__(self) -> None:
        lists = (CONTRASTS, PLANES, REGIONS, ACQUISITIONS, SUBJECTS)
        for word, known in zip(self.words, lists, strict=True):
            if word is not None and word not in known:
                raise ValueError("a kind of slice is named by a word that is not listed")

    def __str__(self) -> str:
        words = (word for word in self.words if word and word != "patient")
        return " ".join(words) or "any slice"

    @property
    def words(self) -> tuple[str | None, ...]:
        """The five components, in the order of the fields."""
        return (self.contrast, self.plane, self.region, self.acquisition, self.subject)

    def fits(self, other: StratumKey) -> bool:
        """Whether two keys agree wherever both are known."""
        pairs = zip(self.words, other.words, strict=True)
        return all(a is None or b is None or a == b for a, b in pairs)


def stratum_of(facts: SliceFacts, measured: Measured) -> StratumKey:
    """Name the kind of a slice.

    Args:
        facts: what the header says.
        measured: by the model; used where the header says nothing.
    """
    acquisition = facts.mr_acquisition_type
    return StratumKey(
        contrast=_contrast(facts) or _measured_contrast(measured),
        plane=_plane(facts) or _measured_plane(measured),
        region=_region(facts) or _measured_region(measured),
        acquisition=acquisition if acquisition in ACQUISITIONS else None,
        subject=_subject(facts),
    )


def why_out_of_scope(key: StratumKey, calibrated: Collection[StratumKey]) -> str | None:
    """Explain why no calibration slice is of this kind; None where one is.

    Args:
        key: of the slice.
        calibrated: kinds of the calibration slices.
    """
    if any(key.fits(other) for other in calibrated):
        return None
    for name in ("subject", "plane", "region", "contrast", "acquisition"):
        part = StratumKey(**{name: getattr(key, name)})
        if not any(part.fits(other) for other in calibrated):
            known = sorted({getattr(other, name) for other in calibrated})
            if name == "subject":
                subjects = " or ".join(f"{subject}s" for subject in known)
                return f"the image is of a {key.subject}; the calibration has only {subjects}"
            return (
                f"the {name} is {getattr(key, name)}; the calibration has only {', '.join(known)}"
            )
    return f"the calibration has no slices that are {key}"


def _subject(facts: SliceFacts) -> str:
    """Distinguish images of patients from those that the header calls synthetic or test images."""
    if facts.is_synthetic:
        return "synthetic phantom"
    if facts.is_quality_control:
        return "phantom"
    stated = stated_region(facts)
    return "phantom" if stated and stated[0] == PHANTOM else "patient"


def _contrast(facts: SliceFacts) -> str | None:
    """Infer the weighting from echo and repetition time; T2 SPACE has a T1's repetition time."""
    echo, repetition = facts.echo_time or 0.0, facts.repetition_time or 0.0
    inversion = facts.inversion_time or 0.0
    if _FAT_INVERSION_MS[0] <= inversion <= _FAT_INVERSION_MS[1]:
        return "STIR"
    suffix = " FS" if facts.is_fat_suppressed else ""
    if echo >= _LONG_ECHO_MS:
        return f"T2{suffix}"
    if echo <= 0 or repetition <= 0:
        return None
    if repetition > _LONG_REPETITION_MS:
        # T1-weighted inversion recovery has long repetition times, too.
        return f"T1{suffix}" if inversion > 0 and echo < _SHORT_ECHO_MS else f"PD{suffix}"
    return f"T1{suffix}" if echo < _SHORT_ECHO_MS else None


def _measured_contrast(measured: Measured) -> str | None:
    """Distinguish T2 from T1 by the canal: fluid is bright on T2, darker than marrow on T1."""
    if abs(measured.canal_contrast) < CLEAR_CONTRAST:
        return None
    return "T2" if measured.canal_contrast > 0 else "T1"


def _plane(facts: SliceFacts) -> str | None:
    """Name the plane by the axis nearest to the slice's normal (PS3.3 C.7.6.2.1.1)."""
    if facts.image_orientation_patient is None:
        return None
    a, b, c, d, e, f = facts.image_orientation_patient
    normal = (abs(b * f - c * e), abs(c * d - a * f), abs(a * e - b * d))
    return PLANES[normal.index(max(normal))]


def _measured_plane(measured: Measured) -> str:
    return "sagittal" if measured.vertebra_share >= SMALLEST_VERTEBRA_SHARE else "other"


def _region(facts: SliceFacts) -> str | None:
    stated = stated_region(facts)
    return stated[0] if stated and stated[0] in REGIONS else None


def _measured_region(measured: Measured) -> str | None:
    """The model cannot see which vertebrae these are, only whether there are any."""
    return None if measured.vertebra_share >= SMALLEST_VERTEBRA_SHARE else "other"
