"""Decode compressed frames, in processes that can be killed."""
