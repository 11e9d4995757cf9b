"""Against the released code: golden values compared number by number, and its weights turned into a checkpoint."""
