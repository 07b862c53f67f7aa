"""Live panels: ipywidgets over a figure, one panel per module."""
