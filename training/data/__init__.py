"""Turn folders of DICOM files into what networks are trained on."""
