"""What can stop a training run; each message is one line that says what to do.

TrainingError
├── NoImages        nothing readable was found
├── TooFewImages    not enough images or patients to train, split or clean
├── OtherData       the data are not those that the model was trained from
├── NotResumable    the run folder does not belong to this data or these options
└── Diverged        the loss is no longer finite
"""

from __future__ import annotations


class TrainingError(Exception):
    """A training run cannot go on."""


class NoImages(TrainingError):
    """Nothing readable was found."""


class TooFewImages(TrainingError):
    """There are not enough images or patients to train, split or clean."""


class OtherData(TrainingError):
    """The data are not those that the model was trained from."""


class NotResumable(TrainingError):
    """The run folder does not belong to this data or these options."""


class Diverged(TrainingError):
    """The loss is no longer finite."""
