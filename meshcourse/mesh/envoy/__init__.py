"""What an Envoy holds and does: its admin API, its configuration dump, its certificates."""
