"""Containers: their runs, their root file system, and the sandbox they run in."""
