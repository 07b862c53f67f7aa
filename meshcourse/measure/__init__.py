"""What traffic was like: version labels, shares with their confidence band, latency percentiles, moving windows."""
