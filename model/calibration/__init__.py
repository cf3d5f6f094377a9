"""Turn the scores of usual slices into p-values of new ones."""
