"""A live figure that is whole from its first message on.

Comes in: a figure as a plain dict. Goes out: a FigureWidget. Who runs it: every panel. plotly's FigureWidget tells the browser of itself
while it is still empty, and sends what it shows a moment later. A browser that is slow to load plotly (5 MB) misses that second message
and shows empty axes for good: seen on a busy machine, and in a Chromium slowed down five times. So the first message waits here until
there is something to say.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go


class _Whole(go.FigureWidget):  # type: ignore[misc] # plotly has no types
    """Opens its line to the browser when it is told to, not while it is being made."""

    _complete = False

    def open(self) -> None:
        """Called by ipywidgets at the end of its own part of making a widget, before plotly has filled it."""
        if self._complete:
            super().open()

    def tell(self) -> None:
        """Open the line now."""
        self._complete = True
        self.open()


def made(figure: dict[str, Any]) -> Any:  # noqa: ANN401 - a FigureWidget, which has no types
    """The widget of `figure`, known to the browser with all that it shows."""
    widget = _Whole(figure)
    widget.tell()
    return widget
