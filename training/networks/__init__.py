"""Train the networks by one loop, on slices with planted corruptions."""
