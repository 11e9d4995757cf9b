"""Top-k music for many videos over catalogues of any size: exact by blocks, or approximate with an index."""
