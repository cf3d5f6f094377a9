"""What can be wrong with a model; each message is one line that says what to do.

ModelError
├── ModelNotFound   the store holds no such model
├── DamagedModel    a file is missing, cut short or changed
├── OtherFormat     model.json was written by another version of this program
└── WrongAnswer     the files are intact, but the golden output is not reproduced here
"""

from __future__ import annotations


class ModelError(Exception):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """The store holds no model of that name or version."""


class DamagedModel(ModelError):
    """A file of the model is missing, cut short or changed."""


class OtherFormat(ModelError):
    """The model was written in a format that this version does not read."""


class WrongAnswer(ModelError):
    """The runtime does not reproduce the golden output that travels with the model."""
