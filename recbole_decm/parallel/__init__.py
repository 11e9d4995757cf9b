"""Several processes that train and evaluate one model; docs/distributed.md says what is exact and what it costs."""
