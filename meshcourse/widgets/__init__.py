"""What the learner sees and moves: figures (pure functions of data) and panels (live widgets made of them)."""

from meshcourse.core import lean_imports

lean_imports.import_schemas()  # plotly's FigureWidget comes by nbformat, and with it seconds of imports that nothing needs
