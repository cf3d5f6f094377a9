"""What can stop a training run; each message is one line that says what to do.

TrainingError
├── NoImages          nothing readable was found
├── ChangedWhileRead  a file is another one than a moment ago
├── TooFewImages      not enough images or patients to train, split or clean
├── TooDirty          cleaning would quarantine more than the cap allows
├── WrongOverrides    the file of a person's decisions cannot be honoured
├── WrongMasks        a mask of the tissues cannot be used
├── OtherData         the data are not those that the model was trained from
├── NotResumable      the run folder does not belong to this data or these options
├── WorkerLost        a process that trained a fold was killed
└── Diverged          the loss, or a score, is no longer finite
"""

from __future__ import annotations


class TrainingError(Exception):
    """A training run cannot go on."""


class NoImages(TrainingError):
    """Nothing readable was found."""


class ChangedWhileRead(TrainingError):
    """A file is another one than a moment ago."""


class TooFewImages(TrainingError):
    """There are not enough images or patients to train, split or clean."""


class TooDirty(TrainingError):
    """Cleaning would quarantine more than the cap allows."""


class WrongOverrides(TrainingError):
    """The file of a person's decisions cannot be honoured."""


class WrongMasks(TrainingError):
    """A mask of the tissues cannot be used."""


class OtherData(TrainingError):
    """The data are not those that the model was trained from."""


class NotResumable(TrainingError):
    """The run folder does not belong to this data or these options."""


class WorkerLost(TrainingError):
    """A process that trained a fold was killed."""


class Diverged(TrainingError):
    """The loss, or a score, is no longer finite."""
