"""What the learner sees and moves: figures (pure functions of data) and panels (live widgets made of them)."""

from meshcourse.core import lean_imports

lean_imports.import_schemas()  # a plotly figure that is shown as a still loads nbformat, and with it seconds of imports that nothing needs
