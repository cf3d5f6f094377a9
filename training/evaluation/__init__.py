"""Measure a saved model on patients that took part in nothing."""
