"""Versions of a model that differ in their provenance alone, saved in a fraction of a second."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from model.spec import HASHED_FILES, SPEC_FILE, ModelSpec, load_spec
from model.store.find import find_directory
from model.store.save import save_files


def save_version(tag: str, *, seed: int = 1, of: str = "spine_autoencoder") -> Path:
    """Save a copy of a stored model as name:version.

    Args:
        tag: name:version.
        seed: in its provenance; another seed makes another model.json.
        of: the model that is copied.

    Returns:
        The folder in the store.
    """
    source = find_directory(of)
    name, _, version = tag.partition(":")

    def write(folder: Path) -> ModelSpec:
        for file in HASHED_FILES:
            shutil.copyfile(source / file, folder / file)
        spec = load_spec(source)
        spec = replace(spec, name=name, provenance=replace(spec.provenance, seed=seed))
        (folder / SPEC_FILE).write_text(spec.to_json(), "utf-8")
        return spec

    return find_directory(str(save_files(write, name, version)))
