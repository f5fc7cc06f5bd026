"""What is of no measure: files, memory, warnings, progress, docstrings."""
