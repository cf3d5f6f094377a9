"""Read DICOM bytes into slices: pixels and what the header states about them."""
