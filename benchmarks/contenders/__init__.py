"""The services that `benchmarks.serve` measures beside this one, each in one file."""
