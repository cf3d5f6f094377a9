"""Train the networks, one loop each, on slices with planted corruptions."""
