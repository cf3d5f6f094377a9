"""Find the discs of a sagittal slice in its tissues, and number them from the sacrum."""
