"""Load from the notebook: targets, pacing, the sender and its results, recordings."""
