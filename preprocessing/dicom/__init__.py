"""Read DICOM bytes into slices: pixels and what the header says of them."""
