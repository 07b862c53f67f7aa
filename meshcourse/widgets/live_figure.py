"""A live figure: the browser always shows what the kernel holds, also a slow browser and a reloaded page.

The end of a batch sends the whole figure as one piece of state; live_figure.js draws it. plotly's FigureWidget sends changes instead, and
its view misses those that come while the browser still loads plotly (5 MB): on a busy machine it then shows empty axes, or never updates
again. Here each state replaces the one before, so that no change is lost.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import plotly.graph_objects as go
import plotly.offline
import traitlets

from meshcourse.core.json_types import Json


class Library(anywidget.AnyWidget):
    """plotly.js, gzipped: no panel needs the Internet. All figures of a kernel share one, so that a page that is reloaded gets it once."""

    _esm = "export default {}"
    packed = traitlets.Bytes().tag(sync=True)


@functools.cache
def _library() -> Library:
    return Library(packed=gzip.compress(plotly.offline.get_plotlyjs().encode(), compresslevel=1))


class LiveFigure(anywidget.AnyWidget):
    """A figure and its widget. Only changes inside `batch_update` are sent."""

    _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)
    figure = traitlets.Dict().tag(sync=True)
    tick = traitlets.Int(0).tag(sync=True)
    """Grows with each change; the browser writes the number that it has drawn into `data-tick`."""
    clicked = traitlets.Dict().tag(sync=True)
    """The point that was clicked last: `trace` (its name), `point` (its number), `text` (its label) and `count`; empty before."""
    label = traitlets.Unicode("a figure; the text below it describes it").tag(sync=True)

    def __init__(self, figure: Json) -> None:
        self._held = go.Figure(figure)
        super().__init__(figure=self.to_plotly_json(), library=_library())

    @property
    def data(self) -> Any:  # noqa: ANN401 - plotly has no types
        """The traces."""
        return self._held.data

    @property
    def layout(self) -> Any:  # noqa: ANN401 - plotly has no types
        """The layout."""
        return self._held.layout

    @contextlib.contextmanager
    def batch_update(self) -> Iterator[None]:
        """Change traces and layout inside this block; its end sends everything to the browser at once."""
        with self._held.batch_update():
            yield
        with self.hold_sync():
            self.figure = self.to_plotly_json()
            self.tick += 1

    def redraw(self, figure: Json) -> None:
        """Show another figure, with other traces."""
        self._held = go.Figure(figure)
        with self.batch_update():
            pass

    def to_plotly_json(self) -> Json:
        """Data and layout as plain JSON."""
        made: Json = self._held.to_plotly_json()
        return {"data": made["data"], "layout": made["layout"]}


def made(figure: Json) -> LiveFigure:
    """The widget of `figure`."""
    return LiveFigure(figure)
