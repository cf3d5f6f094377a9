"""The network and what its output means."""
