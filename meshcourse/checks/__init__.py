"""Exercises judged by what the mesh does: outcomes, exact statistics, expectations, and one module of exercises per chapter."""
