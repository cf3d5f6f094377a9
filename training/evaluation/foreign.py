"""Make images that are not sagittal spine MR: another anatomy, plane or modality, or no patient.

The real files are those that come with pydicom and matplotlib: a sagittal head and an axial abdomen
(MR), CT of a spine and of heads, a bone scan, ultrasound, a photograph. They are few, so
each is used several times, zoomed, shifted and with another gamma; intervals count a file once. The
rest is drawn.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from preprocessing import Slice, SliceFacts
from training.evaluation import foreign_drawings as drawings

FloatArray = NDArray[np.float64]
Make = Callable[[int, np.random.Generator], tuple[FloatArray, str]]

OTHER_ANATOMY, OTHER_PLANE, OTHER_MODALITY = "other anatomy", "other plane", "other modality"
NO_PATIENT = "no patient"
# A header could not be trusted to describe these: the picture alone has to give them away.
NO_FACTS = SliceFacts(
    patient_id=None,
    study_instance_uid=None,
    series_instance_uid=None,
    sop_instance_uid=None,
    modality=None,
    sop_class_uid=None,
    transfer_syntax_uid=None,
    photometric_interpretation=None,
    series_description=None,
    repetition_time=None,
    echo_time=None,
    manufacturer=None,
)


@dataclass(frozen=True)
class ForeignImage:
    """An image, its kind, the group of kinds, and the file it was made from or its own number."""

    image: Slice
    kind: str
    group: str
    origin: str


def foreign_images(count: int, seed: int) -> Iterator[ForeignImage]:
    """Yield `count` images of every kind, each made when it is asked for.

    Args:
        count: of each kind, 1 or more.
        seed: the same seed gives the same images.
    """
    for number, (kind, (group, make)) in enumerate(FOREIGN_KINDS.items()):
        for index in range(count):
            pixels, origin = make(index, np.random.default_rng([seed, number, index]))
            yield ForeignImage(as_slice(pixels), kind, group, f"{kind}/{origin}")


def as_slice(pixels: NDArray[np.floating]) -> Slice:
    """Make a slice of pixels [H, W] without any header."""
    return Slice(pixels.astype(np.float32), (1.0, 1.0), 1, 1, NO_FACTS)


def _drawn(draw: Callable[[np.random.Generator], FloatArray]) -> Make:
    return lambda index, rng: (draw(rng), str(index))


def _from_files(*names: str) -> Make:
    """Take the files in turn, a little different each time."""

    def make(index: int, rng: np.random.Generator) -> tuple[FloatArray, str]:
        name = names[index % len(names)]
        return _varied(_read(name), rng), name

    return make


def _photograph(index: int, rng: np.random.Generator) -> tuple[FloatArray, str]:
    """Crop a half to the whole of a photograph, anywhere."""
    pixels = _read("grace_hopper.jpg")
    rows, columns = (round(n * rng.uniform(0.5, 1.0)) for n in pixels.shape)
    top = int(rng.integers(pixels.shape[0] - rows + 1))
    left = int(rng.integers(pixels.shape[1] - columns + 1))
    return pixels[top : top + rows, left : left + columns], "grace_hopper.jpg"


def _varied(pixels: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Zoom by up to 15 %, move by up to 6 %, and change gamma by up to a quarter."""
    zoom = rng.uniform(0.85, 1.15)
    middle = (np.array(pixels.shape) - 1) / 2
    moved = rng.uniform(-0.06, 0.06, 2) * pixels.shape
    out = ndimage.affine_transform(
        pixels, np.eye(2) / zoom, middle - middle / zoom + moved, order=1, cval=float(pixels.min())
    )
    low, high = float(out.min()), float(out.max())
    return np.asarray(((out - low) / max(high - low, 1e-9)) ** rng.uniform(0.8, 1.25))


@functools.lru_cache(maxsize=16)
def _read(name: str) -> FloatArray:
    """Read one of the files that come with installed packages, as grey values [H, W]."""
    if name == "s1045.ima.gz":
        with gzip.open(_matplotlib_samples() / name) as file:
            return np.frombuffer(file.read(), "<u2").reshape(256, 256).astype(np.float64)
    if name.endswith(".jpg"):
        from PIL import Image

        with Image.open(_matplotlib_samples() / name) as picture:
            return np.asarray(picture.convert("L"), dtype=np.float64)
    import pydicom

    path = Path(pydicom.__file__).parent / "data" / "test_files" / name
    pixels = pydicom.dcmread(path).pixel_array.astype(np.float64)
    return np.asarray(pixels.mean(axis=-1) if pixels.ndim == 3 else pixels)


def _matplotlib_samples() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "sample_data"


FOREIGN_KINDS: dict[str, tuple[str, Make]] = {
    "head, sagittal MR": (OTHER_ANATOMY, _from_files("s1045.ima.gz")),
    "knee (drawn)": (OTHER_ANATOMY, _drawn(drawings.knee)),
    "abdomen, axial MR": (OTHER_PLANE, _from_files("examples_overlay.dcm")),
    "axial (drawn)": (OTHER_PLANE, _drawn(drawings.axial)),
    "coronal (drawn)": (OTHER_PLANE, _drawn(drawings.coronal)),
    "CT": (
        OTHER_MODALITY,
        _from_files("CT_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"),
    ),
    "bone scan, ultrasound": (
        OTHER_MODALITY,
        _from_files("JPEG2000.dcm", "examples_palette.dcm", "examples_rgb_color.dcm"),
    ),
    "spine under X-rays (drawn)": (OTHER_MODALITY, _drawn(drawings.x_ray_spine)),
    "photograph": (NO_PATIENT, _photograph),
    "texture (drawn)": (NO_PATIENT, _drawn(drawings.natural_texture)),
    "noise (drawn)": (NO_PATIENT, _drawn(drawings.white_noise)),
}
