"""All pairs of series: what is asked, and how it is done tile by tile, here or on many machines."""
