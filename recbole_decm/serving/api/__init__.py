"""The service: an HTTP API over a catalogue in memory, its limits, what it watches, and a page to try it."""
