"""What reads the outputs of a layer, and whether a pruned model equals its masked twin."""
