"""Load from the notebook: targets, pacing, the sender and its results, runs saved and replayed."""
