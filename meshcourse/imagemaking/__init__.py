"""Real OCI images of the programs that the embedded node runs, and node images for kind, made without any container registry."""
