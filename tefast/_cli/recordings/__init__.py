"""Recordings: arrays and tables in files of many kinds, read when asked for and only as far."""

from tefast._cli.recordings.formats import FORMATS, SUFFIXES, opened
from tefast._cli.recordings.recording import Recording, Recordings, TextTable, of_array

__all__ = ["FORMATS", "SUFFIXES", "Recording", "Recordings", "TextTable", "of_array", "opened"]
