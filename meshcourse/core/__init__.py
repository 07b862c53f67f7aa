"""What every package may import: errors, settings, paths, files and locks, the background loop, progress. Nothing else belongs here."""
