"""Measurements of traffic: version labels, shares with their confidence band, latency percentiles, moving windows."""
