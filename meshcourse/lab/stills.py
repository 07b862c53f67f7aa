"""lab.still: a panel as a static picture, for executed copies and the site.

A live widget shows nothing without its kernel; a still does. It works for any panel, by its tree of widgets.
"""

from __future__ import annotations

import html
from typing import Any, Final

import IPython.display

from meshcourse.core.json_types import Json
from meshcourse.widgets.panels import capture
from meshcourse.widgets.panels.panel import Panel

PLOTLY: Final = "application/vnd.plotly.v1+json"


def still(panel: Any) -> None:  # noqa: ANN401 - any panel
    """Show `panel` as it is now, without live parts."""
    if isinstance(panel, Panel):
        panel.redrawn()
    for bundle in bundles(panel.box if hasattr(panel, "box") else panel.widgets.box):
        IPython.display.display(bundle, raw=True)  # type: ignore[no-untyped-call]


def bundles(box: Any) -> tuple[Json, ...]:  # noqa: ANN401 - ipywidgets has no types
    """What a box shows, by MIME type: its text first, then each figure."""
    words, figures = [], []
    for widget in capture.walk(box):
        if hasattr(widget, "to_plotly_json"):
            figures.append(capture.figure(widget))
        else:
            words.append(_words(widget))
    lines = [line for line in words if line]
    page = f'<div class="meshcourse-still">{"".join(f"<div>{line}</div>" for line in lines)}</div>'
    text = {"text/html": page, "text/plain": f"{len(lines)} lines of a panel"}
    return (text, *({PLOTLY: content, "text/plain": _plain(content)} for content in figures))


def _words(widget: Any) -> str:  # noqa: ANN401 - ipywidgets has no types
    name, value = str(getattr(widget, "description", "")), getattr(widget, "value", None)
    if value is None or isinstance(value, bool):  # buttons and the like have no text to show
        return ""
    if not name:  # an HTML widget: its value is HTML already
        return str(value)
    return f"{html.escape(name)}: <b>{html.escape(str(value))}</b>"


def _plain(content: Json) -> str:
    names = [str(trace["name"]) for trace in content["data"] if trace.get("name") and trace.get("showlegend", True)]
    return f"figure: {', '.join(dict.fromkeys(names))}"
