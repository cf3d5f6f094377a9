"""What a model is made of, and what its output means."""
