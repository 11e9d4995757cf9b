"""Data sets from what people have: tables and matrices."""
