"""Diagrams as SVG: a model, its layout, the drawing. Pure; knows no chapter and no file name."""
