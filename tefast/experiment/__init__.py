"""The study that tefast grew from, from clips to a report: ``python -m tefast.experiment``."""
