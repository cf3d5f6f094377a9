"""How fast, against what; the numbers are in RESULTS.md."""
