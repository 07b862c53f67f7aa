"""Pods: whether this node takes one, and the worker that runs it."""
