"""Compare new scores with those of usual slices: p-values and verdicts."""
