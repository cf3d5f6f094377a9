"""The services that `benchmarks.serve` compares this one with, each in one file."""
