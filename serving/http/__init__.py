"""Speak HTTP with any client: connections, bodies, keys, limits."""
