"""Kinds of cluster that the course runs on. One protocol (`backend.Backend`): `embedded`, `kind` and `existing`."""
