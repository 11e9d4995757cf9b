"""Benchmarks: models x data sets x seeds, from a specification to results that can be compared."""
