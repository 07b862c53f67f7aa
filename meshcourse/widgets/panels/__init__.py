"""Live panels: ipywidgets over a figure, one panel a module."""
