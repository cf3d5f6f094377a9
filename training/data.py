"""Folders of DICOM files -> model inputs with the patient each belongs to."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from preprocessing import ImageError, InputSpec, Slice, read_frames, to_input
from training.errors import NoImages
from training.kinds import TRUTH_FILE

FloatArray = NDArray[np.float32]

# Numpy leaves the interpreter lock only for parts of the decoding: more threads gain nothing.
_MOST_THREADS = 4


@dataclass(frozen=True)
class Source:
    """One image's origin: a path relative to what the user named, a frame, its patient's key."""

    path: str
    frame: int
    group: str


@dataclass(frozen=True)
class Skipped:
    """A file that gave no image, and why, as a stable code."""

    path: str
    code: str


@dataclass(frozen=True)
class Collection:
    """Images in a fixed order: `x` float32 [N, 1, S, S] in [0, 1], `sources[i]` tells of `x[i]`."""

    x: FloatArray
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[str, ...]
    n_excluded: int

    @property
    def groups(self) -> tuple[str, ...]:
        """The patients, sorted."""
        return tuple(sorted({source.group for source in self.sources}))

    def digest(self) -> str:
        """Hash pixels, order and patients: what a resumed run must find unchanged."""
        state = hashlib.sha256(np.ascontiguousarray(self.x).tobytes())
        state.update(repr([(s.path, s.frame, s.group) for s in self.sources]).encode())
        return state.hexdigest()


# A model input, where it came from, and its StudyInstanceUID.
_Image = tuple[FloatArray, Source, str | None]


@dataclass(frozen=True)
class _Found:
    path: Path
    name: str
    base: str


def load_images(
    inputs: Sequence[Path],
    spec: InputSpec,
    *,
    exclude: Iterable[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Read every frame of every DICOM file under the inputs.

    What cannot be read is listed in `skipped`, never fatal. Of images with the same input, pixel
    for pixel, the first stays: a copy under another patient would leak between the sets.

    Args:
        inputs: files and folders.
        spec: how an image becomes the model's input.
        exclude: relative paths to leave out; a path matches files that end in it.
        progress: called with (files done, files in all).

    Raises:
        NoImages: nothing readable; the message says what was found.
    """
    found = list(_walk(inputs))
    kept = _leave_out(found, exclude)
    x: list[FloatArray] = []
    sources: list[Source] = []
    studies: list[str | None] = []
    skipped: list[Skipped] = []
    duplicates: list[str] = []
    seen: set[bytes] = set()
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for done, (file, images, code) in enumerate(pool.map(lambda f: _read(f, spec), kept), 1):
            if code:
                skipped.append(Skipped(file.name, code))
            for image, source, study in images:
                digest = hashlib.sha256(image.tobytes()).digest()
                if digest in seen:
                    duplicates.append(source.path)
                    continue
                seen.add(digest)
                x.append(image)
                sources.append(source)
                studies.append(study)
            progress(done, len(kept))
    if not x:
        raise NoImages(_what_was_found(inputs, len(found), len(found) - len(kept), skipped))
    return Collection(
        np.stack(x),
        _join_studies(sources, studies),
        tuple(skipped),
        tuple(duplicates),
        len(found) - len(kept),
    )


def read_slices(inputs: Sequence[Path], wanted: Iterable[Source]) -> list[Slice]:
    """Read some images again, as slices in modality units.

    Args:
        inputs: what `load_images` was given.
        wanted: which of its images.
    """
    chosen = {(source.path, source.frame) for source in wanted}
    names = {path for path, _ in chosen}
    return [
        image
        for file in _walk(inputs)
        if file.name in names
        for image in _frames(file)
        if (file.name, image.frame) in chosen
    ]


def read_exclusions(path: Path) -> list[str]:
    """Read paths to leave out: one a line, or the `path` column of a CSV file.

    Raises:
        ValueError: a CSV file without a column `path`.
    """
    text = path.read_text("utf-8-sig")
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    rows = csv.DictReader(text.splitlines())
    if "path" not in (rows.fieldnames or ()):
        raise ValueError(f"{path.name} has no column 'path'")
    return [row["path"] for row in rows if row["path"]]


def count_codes(skipped: Iterable[Skipped]) -> dict[str, int]:
    """Count the skipped files by reason, most frequent first."""
    return dict(Counter(s.code for s in skipped).most_common())


def _walk(inputs: Sequence[Path]) -> Iterator[_Found]:
    """List files in an order that is the same on every machine, each once."""
    seen: set[Path] = set()
    for given in inputs:
        if given.is_file():
            files = [given]
        else:
            files = sorted(
                (f for f in given.rglob("*") if f.is_file() and not _is_ours_or_hidden(f, given)),
                key=lambda f: f.relative_to(given).parts,
            )
        base = given.parent if given.is_file() else given
        for file in files:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                yield _Found(file, file.relative_to(base).as_posix(), base.resolve().name)


def _is_ours_or_hidden(file: Path, base: Path) -> bool:
    return file.name == TRUTH_FILE or any(
        part.startswith(".") for part in file.relative_to(base).parts
    )


def _leave_out(found: list[_Found], exclude: Iterable[str]) -> list[_Found]:
    """Drop files whose path ends in an excluded one, folder by folder, not letter by letter."""
    endings = {PurePosixPath(name).parts for name in exclude}
    if not endings:
        return found
    lengths = {len(ending) for ending in endings}

    def is_excluded(file: _Found) -> bool:
        parts = file.path.resolve().parts
        return any(parts[-length:] in endings for length in lengths)

    return [file for file in found if not is_excluded(file)]


def _read(file: _Found, spec: InputSpec) -> tuple[_Found, list[_Image], str]:
    """Read one file: its images, and a code if it, or a frame of it, could not be read."""
    images: list[_Image] = []
    try:
        for image in _frames(file):
            source = Source(file.name, image.frame, _group(image, file))
            images.append((to_input(image, spec), source, image.facts.study_instance_uid))
    except ImageError as error:
        return file, images, error.code
    except OSError:
        return file, images, "unreadable_file"
    return file, images, ""


def _frames(file: _Found) -> Iterator[Slice]:
    return read_frames(file.path.read_bytes())


def _group(image: Slice, file: _Found) -> str:
    """Name the patient: PatientID, else the study, else the folder."""
    if image.facts.patient_id:
        return f"patient:{image.facts.patient_id}"
    if image.facts.study_instance_uid:
        return f"study:{image.facts.study_instance_uid}"
    return f"folder:{file.base}/{PurePosixPath(file.name).parent}"


def _join_studies(sources: Sequence[Source], studies: Sequence[str | None]) -> tuple[Source, ...]:
    """Give files without a PatientID the patient that others of their study name."""
    named = {
        study: source.group
        for source, study in zip(sources, studies, strict=True)
        if study and source.group.startswith("patient:")
    }
    return tuple(
        replace(source, group=named[study])
        if study in named and source.group.startswith("study:")
        else source
        for source, study in zip(sources, studies, strict=True)
    )


def _what_was_found(
    inputs: Sequence[Path], n_files: int, n_excluded: int, skipped: Sequence[Skipped]
) -> str:
    """Say why nothing is left, in one line."""
    places = ", ".join(str(path) for path in inputs)
    if not n_files:
        return f"no files under {places}; name a folder with MR DICOM files"
    reasons = [f"{count} {code}" for code, count in count_codes(skipped).items()]
    if n_excluded:
        reasons.append(f"{n_excluded} excluded")
    return f"no readable MR image in {n_files} files under {places}: {', '.join(reasons)}"
