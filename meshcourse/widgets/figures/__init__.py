"""Figures: pure functions from data to plotly figures, pinned by golden JSON."""
