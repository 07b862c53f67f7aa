"""Processes of containers: start, log, and entry from outside."""
