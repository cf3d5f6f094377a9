"""Measure a saved model on patients that it was neither trained nor calibrated on."""
