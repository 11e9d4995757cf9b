"""Benchmarks: models x data sets x seeds, from a specification to tables, tests of significance and a report."""
