"""Draw synthetic spine MR and write it as DICOM."""
