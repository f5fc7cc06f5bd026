"""Models while they run: batches, outputs of layers, series, states."""
