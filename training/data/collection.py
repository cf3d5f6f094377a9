"""Folders of DICOM files -> model inputs, each with the patient that it belongs to."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from sys import intern

from preprocessing import ImageError, InputSpec, Slice, SliceFacts, open_image, read_frames
from training.data.cache import COPY, Entry, HalfArray, Inputs, decode, in_order
from training.data.files import InputFile, leave_out, walk
from training.errors import ChangedWhileRead, NoImages

_THREADS = 4


@dataclass(frozen=True)
class Source:
    """One image's origin.

    Args:
        path: relative to what the user named.
        frame: counted from 1.
        group: its patient's key.
        study: its study's key.
        series: its series' key.
        sop_hash: salted hash of SOPInstanceUID and frame: identifies an image without naming it.
        facts: what the header says, without identifiers and free text.
    """

    path: str
    frame: int
    group: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    sop_hash: str
    facts: SliceFacts


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read in full, and why, as a stable code."""

    path: str
    code: str


@dataclass(frozen=True)
class Collection:
    """Images in a fixed order; `sources[i]` describes `x[i]`.

    Args:
        x: float16 [N, 1, S, S] in [0, 1], memory-mapped: convert it by batches, never as a whole.
        path: the .npy file that `x` is mapped from; deleted already if no cache was named.
        sha256: of that file.
        sources: where each image came from.
        skipped: files that could not be read, or not in full.
        duplicates: files with an image whose pixels equal those of an earlier one.
        n_excluded: number of files that the user excluded.
    """

    x: HalfArray
    path: Path
    sha256: str
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    duplicates: tuple[str, ...]
    n_excluded: int

    @property
    def groups(self) -> tuple[str, ...]:
        """The patients' keys, sorted."""
        return tuple(sorted({source.group for source in self.sources}))

    def digest(self) -> str:
        """Hash pixels, order and patients, which must not change before a run is resumed."""
        state = hashlib.sha256(self.sha256.encode())
        state.update(repr([(s.path, s.frame, s.group) for s in self.sources]).encode())
        return state.hexdigest()


def load_images(
    inputs: Sequence[Path],
    spec: InputSpec,
    *,
    exclude: Iterable[str] = (),
    cache: Path | None = None,
    salt: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Read every frame of every DICOM file under the inputs.

    Files that cannot be read are listed in `skipped` and do not stop the reading. Of images with
    equal pixels only the first is kept: a copy under another patient's name could put it into both
    the training set and the held-out set.

    Args:
        inputs: files and folders.
        spec: how an image becomes the model's input.
        exclude: relative paths to leave out; a path matches the files that end in it.
        cache: folder that keeps the decoded images; by default the collection alone keeps them.
        salt: of the hashes that replace SOPInstanceUIDs.
        progress: called with (steps done, steps in all).

    Raises:
        NoImages: nothing is readable; the message says what was found.
        ChangedWhileRead: a file changed while it was read.
    """
    found = list(walk(inputs))
    kept = leave_out(found, exclude)
    folder = cache or Path(tempfile.mkdtemp(prefix="spine-inputs-"))
    try:
        decoded = decode([file.path for file in kept], spec, folder, progress)
        skipped = tuple(
            Skipped(file.name, entry.code)
            for file, entry in zip(kept, decoded.entries, strict=True)
            if entry.code
        )
        if not any(entry.frames for entry in decoded.entries):
            raise NoImages(_what_was_found(inputs, len(found), len(found) - len(kept), skipped))
        x = decoded.open()
    finally:
        if cache is None:
            shutil.rmtree(folder)  # a mapped file stays readable
    return Collection(
        x=x,
        path=decoded.path,
        sha256=decoded.sha256,
        sources=_sources(kept, decoded, salt),
        skipped=skipped,
        duplicates=tuple(
            file.name
            for file, entry in zip(kept, decoded.entries, strict=True)
            for row in entry.rows
            if row == COPY
        ),
        n_excluded=len(found) - len(kept),
    )


def iterate_slices(
    inputs: Sequence[Path], wanted: Iterable[Source]
) -> Iterator[tuple[Source, Slice]]:
    """Read some images again, one after the other, in the order of the collection.

    Args:
        inputs: what `load_images` was given.
        wanted: which of its images.
    """
    chosen = {(source.path, source.frame): source for source in wanted}
    names = {path for path, _ in chosen}
    for file in walk(inputs):
        if file.name in names:
            for image in _frames(file):
                if (source := chosen.pop((file.name, image.frame), None)) is not None:
                    yield source, image


def count_codes(skipped: Iterable[Skipped]) -> dict[str, int]:
    """Count the skipped files by reason, most frequent first."""
    return dict(Counter(s.code for s in skipped).most_common())


def _frames(file: InputFile) -> Iterator[Slice]:
    return read_frames(file.path.read_bytes())


def _sources(files: Sequence[InputFile], decoded: Inputs, salt: str) -> tuple[Source, ...]:
    """Describe every row; headers are read again, so that no identifier is kept on disk."""
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = zip(files, decoded.entries, strict=True)
        by_file = list(in_order(pool, lambda job: _sources_of_file(*job, salt), jobs))
    shared: dict[SliceFacts, SliceFacts] = {}
    sources = [
        replace(source, facts=shared.setdefault(source.facts, source.facts))
        for of_file in by_file
        for source in of_file
    ]
    return _join_studies(sources)


def _sources_of_file(file: InputFile, entry: Entry, salt: str) -> list[Source]:
    """Describe the rows of one file.

    Raises:
        ChangedWhileRead: the file changed while it was read.
    """
    if not entry.frames:
        return []
    try:
        image = open_image(file.path.read_bytes())
    except (OSError, ImageError) as error:
        raise ChangedWhileRead(f"{file.path} changed while it was read; run again") from error
    sources = []
    for number, row in zip(entry.frames, entry.rows, strict=True):
        if row != COPY:
            sources.append(_source(file, number, image.facts(number), salt))
    return sources


def _source(file: InputFile, number: int, facts: SliceFacts, salt: str) -> Source:
    group = _group(facts, file)
    study, series = facts.study_instance_uid, facts.series_instance_uid
    image = f"{salt}/{facts.sop_instance_uid or file.name}/{number}"
    return Source(
        path=file.name,
        frame=number,
        group=intern(group),
        study=intern(f"study:{study}" if study else f"study of {group}"),
        series=intern(f"series:{series}" if series else f"series:{file.base}/{file.name}"),
        sop_hash=hashlib.sha256(image.encode()).hexdigest()[:16],
        facts=replace(
            facts,
            patient_id=None,
            study_instance_uid=None,
            series_instance_uid=None,
            sop_instance_uid=None,
            series_description=None,
        ),
    )


def _group(facts: SliceFacts, file: InputFile) -> str:
    """Identify the patient: by PatientID, else by the study, else by the folder."""
    if facts.patient_id:
        return f"patient:{facts.patient_id}"
    if facts.study_instance_uid:
        return f"study:{facts.study_instance_uid}"
    return f"folder:{file.base}/{PurePosixPath(file.name).parent}"


def _join_studies(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Assign files without a PatientID to the patient that other files of their study name."""
    named = {
        source.study: source.group for source in sources if source.group.startswith("patient:")
    }
    return tuple(
        replace(source, group=named[source.study])
        if source.study in named and source.group.startswith("study:")
        else source
        for source in sources
    )


def _what_was_found(
    inputs: Sequence[Path], n_files: int, n_excluded: int, skipped: Sequence[Skipped]
) -> str:
    """Explain in one line why nothing is left."""
    places = ", ".join(str(path) for path in inputs)
    if not n_files:
        return f"no files under {places}; name a folder with MR DICOM files"
    reasons = [f"{count} {code}" for code, count in count_codes(skipped).items()]
    if n_excluded:
        reasons.append(f"{n_excluded} excluded")
    return f"no readable MR image in {n_files} files under {places}: {', '.join(reasons)}"
