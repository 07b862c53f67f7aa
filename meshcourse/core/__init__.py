"""What every other package may lean on: errors, settings, paths, the background loop, progress. A closed list."""
