"""Real OCI images of what the embedded node runs, and node images for kind, made without any container registry."""
