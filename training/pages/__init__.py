"""The HTML pages that training leaves behind: one look, nothing fetched, everything escaped."""
