"""For users of other packages."""
