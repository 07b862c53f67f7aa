"""A Pod's status: computed from what happened, written to the API server."""
