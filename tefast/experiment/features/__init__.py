"""Features of every clip: frames of it through a network, computed once and kept in files."""

from tefast.experiment.features.extraction import extract
from tefast.experiment.features.reader import FrameReader

__all__ = ["FrameReader", "extract"]
