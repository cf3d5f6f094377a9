"""Answer a DICOM file over HTTP: contract, batching, errors, metrics."""
