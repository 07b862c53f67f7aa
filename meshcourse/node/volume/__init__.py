"""Volumes of pods and their content."""
