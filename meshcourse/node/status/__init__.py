"""A Pod's status: computed from its records, written to the API server."""
