"""Keep models in the BentoML model store: save, find, move, promote."""
