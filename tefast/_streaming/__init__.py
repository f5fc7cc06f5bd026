"""Measures of data that comes in batches: what the classes of `tefast.streaming` have in common."""
