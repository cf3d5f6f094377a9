"""Turn folders of DICOM files into the inputs and labels that networks are trained on."""
