"""Kinds of cluster that the course runs on. One protocol (`backend.Backend`); today `embedded`."""
