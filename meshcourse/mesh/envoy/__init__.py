"""What an Envoy holds and does: its admin interface, its configuration dump, its certificates."""
