"""Videos and music to features: decoding in a process of its own, extractors in one table, and their cards."""
