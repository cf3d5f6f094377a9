"""Teach the autoencoder what usual spine MR slices look like; never imported by serving."""
