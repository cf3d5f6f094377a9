"""Give BentoML the model that SPINE_MODEL names, chosen once for all workers."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import bentoml
from bentoml.models import BentoModel

from model.errors import ModelError
from model.store.served import FOLDER_VARIABLE, Choice, choose_served, names_file
from serving.telemetry import log

MODELS = Path(__file__).parents[3] / "models"


class ServedModel(BentoModel):  # type: ignore[misc]  # BentoML's SDK is untyped
    """A model by tag, stage or file; one that cannot be found ends the service in one line.

    BentoML would accept the beginning of a version where only one begins so, and ask BentoCloud for
    a model that the store does not hold.
    """

    def __init__(self, wanted: str) -> None:
        object.__setattr__(self, "wanted", wanted)  # a BentoModel is frozen

    wanted: str

    @cached_property
    def folder(self) -> Path:
        """The folder of the model, unchecked."""
        if pinned := os.environ.get(FOLDER_VARIABLE):
            return Path(pinned)
        return self.choice.folder

    @cached_property
    def choice(self) -> Choice:
        """The model that is served and why, decided once."""
        try:
            # In a Bento the models lie next to the code.
            return choose_served(self.wanted, [MODELS])
        except ModelError as error:
            sys.exit(f"service: {error}")

    def pin(self) -> None:
        """Let the workers that are started from now on use this folder; log which model it is."""
        log.info("%s", self.choice)
        os.environ[FOLDER_VARIABLE] = str(self.folder)

    @property
    def stored(self) -> bentoml.Model:
        """The model, read from its folder; BentoML needs it before `before_serving` checks it."""
        try:
            return bentoml.Model.from_path(self.folder)
        except Exception as error:
            sys.exit(
                f"service: the model store cannot give {self.wanted} ({type(error).__name__});"
                " import the model again"
            )

    @property
    def tag(self) -> bentoml.Tag:
        """name:version."""
        return self.stored.tag

    def to_info(self, alias: str | None = None) -> Any:
        """Describe the model for a Bento, which takes it from the store by its tag."""
        if names_file(self.wanted):
            sys.exit(
                f"service: a Bento takes its model from the store; python -m model.store import"
                f" {self.wanted}, then name its tag in SPINE_MODEL"
            )
        return super().to_info(alias)
