"""Folders of DICOM files -> model inputs, each with the patient that it belongs to."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from sys import intern

from preprocessing import InputSpec, Slice, read_frames
from training.data.cache import COPY, Encoded, Entry, HalfArray, Inputs, decode
from training.data.files import InputFile, leave_out, walk
from training.data.headers import FileHeader, LeftOut, Source, read_headers
from training.data.patients import BY_PATIENT, group_files, why_doubtful
from training.errors import NoImages, TooFewImages


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
        doubt: why images of several patients may count as one's; empty if nothing suggests it.
        skipped: files that could not be read, or not in full.
        left_out: frames that are not plain slices by their header.
        duplicates: files with an image whose pixels equal those of an earlier one.
        n_excluded: number of files that the user excluded.
    """

    x: HalfArray
    path: Path
    sha256: str
    sources: tuple[Source, ...]
    doubt: str
    skipped: tuple[Skipped, ...]
    left_out: tuple[LeftOut, ...]
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
    group_by: str = BY_PATIENT,
    all_kinds: bool = False,
    cache: Path | None = None,
    salt: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Read the plain slices among the frames of every DICOM file under the inputs.

    Files that cannot be read are listed in `skipped` and do not stop the reading. Of images with
    equal pixels only the first is kept: a copy under another patient's name could put it into both
    the training set and the held-out set.

    Args:
        inputs: files and folders.
        spec: how an image becomes the model's input.
        exclude: relative paths to leave out; a path matches the files that end in it.
        group_by: how patients are told apart; see training/data/patients.py.
        all_kinds: keep the frames, too, that are not plain slices by their header.
        cache: folder that keeps the decoded images; by default the collection alone keeps them.
        salt: of the hashes that replace SOPInstanceUIDs.
        progress: called with (files read, files in all).

    Raises:
        NoImages: nothing is left; the message says what was found.
        WrongPatients: the table of `group_by` does not fit.
        ChangedWhileRead: a file changed while it was read.
    """
    found = list(walk(inputs))
    headers = read_headers(leave_out(found, exclude), salt, all_kinds=all_kinds)
    wanted = [header for header in headers if header.sources]
    n_others = len(headers) - len(wanted)
    folder = cache or Path(tempfile.mkdtemp(prefix="spine-inputs-"))
    try:
        decoded = decode(
            [_encoded(header) for header in wanted],
            spec,
            folder,
            lambda done, total: progress(n_others + done, len(headers)),
        )
        codes = {header.file: header.code for header in headers}
        codes |= {h.file: entry.code for h, entry in zip(wanted, decoded.entries, strict=True)}
        skipped = tuple(Skipped(file.name, code) for file, code in codes.items() if code)
        left_out = tuple(frame for header in headers for frame in header.left_out)
        if not any(entry.frames for entry in decoded.entries):
            n_excluded = len(found) - len(headers)
            raise NoImages(_what_was_found(inputs, len(found), n_excluded, skipped, left_out))
        x = decoded.open()
    finally:
        if cache is None:
            shutil.rmtree(folder)  # a mapped file stays readable
    sources, doubt = _group(wanted, decoded, group_by)
    return Collection(
        x=x,
        path=decoded.path,
        sha256=decoded.sha256,
        sources=sources,
        doubt=doubt,
        skipped=skipped,
        left_out=left_out,
        duplicates=tuple(
            header.file.name
            for header, entry in zip(wanted, decoded.entries, strict=True)
            for row in entry.rows
            if row == COPY
        ),
        n_excluded=len(found) - len(headers),
    )


@contextmanager
def explained(images: Collection) -> Iterator[None]:
    """Add to a complaint about too few images what may be the reason.

    Raises:
        TooFewImages: was raised inside.
    """
    try:
        yield
    except TooFewImages as error:
        raise TooFewImages("; ".join([str(error), *remarks(images)])) from error


def remarks(images: Collection) -> Iterator[str]:
    """Say why there are fewer images, or fewer patients, than one may expect."""
    if images.doubt:
        yield images.doubt
    if images.duplicates:
        yield f"{len(images.duplicates)} more are copies of these, pixel for pixel"
    if images.left_out:
        yield f"{len(images.left_out)} more are of other kinds by their header"


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


def count_reasons(left_out: Iterable[LeftOut]) -> list[tuple[str, int]]:
    """Count the frames that were left out by reason, most frequent first."""
    return Counter(frame.reason for frame in left_out).most_common()


def _frames(file: InputFile) -> Iterator[Slice]:
    return read_frames(file.path.read_bytes())


def _encoded(header: FileHeader) -> Encoded:
    numbers = tuple(source.frame for source in header.sources)
    return Encoded(header.file.path, header.sha256, numbers)


def _group(
    headers: Sequence[FileHeader], decoded: Inputs, group_by: str
) -> tuple[tuple[Source, ...], str]:
    """Describe every row with its patient, and say why patients may be told apart wrongly."""
    kept = [
        (header.identity, [s for s in header.sources if s.frame in numbers])
        for header, entry in zip(headers, decoded.entries, strict=True)
        if header.identity and (numbers := _rows(entry))
    ]
    identities = [identity for identity, _ in kept]
    groups = group_files(identities, group_by)
    sources = tuple(
        replace(source, group=intern(group), series=intern(f"{source.series} of {group}"))
        for (_, of_file), group in zip(kept, groups, strict=True)
        for source in of_file
    )
    return sources, why_doubtful(identities, groups, group_by)


def _rows(entry: Entry) -> set[int]:
    """Return the numbers of the frames that have a row of their own."""
    return {n for n, row in zip(entry.frames, entry.rows, strict=True) if row != COPY}


def _what_was_found(
    inputs: Sequence[Path],
    n_files: int,
    n_excluded: int,
    skipped: Sequence[Skipped],
    left_out: Sequence[LeftOut],
) -> str:
    """Explain in one line why nothing is left."""
    places = ", ".join(str(path) for path in inputs)
    if not n_files:
        return f"no files under {places}; name a folder with MR DICOM files"
    reasons = [f"{count} {code}" for code, count in count_codes(skipped).items()]
    if n_excluded:
        reasons.append(f"{n_excluded} excluded")
    reasons += [f"left out {count}: {reason}" for reason, count in count_reasons(left_out)]
    return f"no readable MR image in {n_files} files under {places}: {', '.join(reasons)}"
