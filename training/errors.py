"""What can stop a training run; each message is one line that says what to do.

TrainingError
├── NoImages          nothing readable was found
├── ChangedWhileRead  a file changed while it was read
├── TooFewImages      not enough images or patients to train, split or clean
├── TooDirty          cleaning would quarantine more than the cap allows
├── WrongOverrides    a file of human decisions cannot be followed
├── WrongPatients     a table of patients cannot be used
├── WrongMasks        a mask of the tissues cannot be used
├── OtherData         the data are not those that the model was trained on
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
    """A file changed while it was read."""


class TooFewImages(TrainingError):
    """There are not enough images or patients to train, split or clean."""


class TooDirty(TrainingError):
    """Cleaning would quarantine more than the cap allows."""


class WrongOverrides(TrainingError):
    """A file of human decisions cannot be followed."""


class WrongPatients(TrainingError):
    """A table of patients cannot be used."""


class WrongMasks(TrainingError):
    """A mask of the tissues cannot be used."""


class OtherData(TrainingError):
    """The data are not those that the model was trained on."""


class NotResumable(TrainingError):
    """The run folder does not belong to this data or these options."""


class WorkerLost(TrainingError):
    """A process that trained a fold was killed."""


class Diverged(TrainingError):
    """The loss, or a score, is no longer finite."""
