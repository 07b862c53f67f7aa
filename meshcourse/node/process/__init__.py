"""Processes of containers: start, log, and exec."""
