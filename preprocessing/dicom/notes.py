"""Name what a reader had to assume, and what it could not use; the notes of an answer.

Keywords and fixed words alone: a note leaves the process and never holds a value of the file.
"""

SQUARE = "no spacing and no aspect ratio can be used: pixels are taken as square"
UNKNOWN_ORIENTATION = "the orientation is unknown: the slice is taken as it is"
OBLIQUE = "the slice is more than 45 degrees from each plane: it is taken as it is"
NAN_PADDING = "NaN around the picture is taken as padding, though no padding value is declared"
FRAME = "one value fills some of the border, though no padding value is declared"


def unusable(keyword: str) -> str:
    """Write the note on a value that is malformed or implausible."""
    return f"{keyword} is malformed or implausible and was not used"
