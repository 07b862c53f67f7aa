"""What the learner sees and moves: figures (pure functions of data) and panels (live widgets made of them)."""

from meshcourse.core import lean_imports

lean_imports.import_schemas()  # showing a plotly figure as a still imports nbformat, which takes seconds and is not needed
