"""Every private name of BentoML, one file for each reason."""
