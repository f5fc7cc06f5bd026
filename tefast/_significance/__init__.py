"""Whether a measure is more than chance gives."""
