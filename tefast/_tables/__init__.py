"""Tables of counts, and what is summed over their cells."""
