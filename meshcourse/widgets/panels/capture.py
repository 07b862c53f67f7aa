"""The content of a panel at one moment, read from its widgets: for films and for stills.

Works for any panel, by its tree of widgets. Buttons and empty lines are left out, since they show nothing that changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshcourse.widgets import playback
from meshcourse.widgets.playback import Scene


def walk(widget: Any) -> Iterator[Any]:  # noqa: ANN401 - ipywidgets has no types
    """The widgets inside a box, from the top left on, without the boxes themselves."""
    children = getattr(widget, "children", None)
    if not children or hasattr(widget, "to_plotly_json"):
        yield widget
        return
    for child in children:
        yield from walk(child)


def names(box: Any) -> dict[str, str]:  # noqa: ANN401 - ipywidgets has no types
    """The name of each part, by its number; a figure and a line of text have none."""
    return {str(number): str(getattr(widget, "description", "") or "") for number, widget in enumerate(walk(box)) if _shows(widget)}


def scene(box: Any) -> Scene:  # noqa: ANN401 - ipywidgets has no types
    """Everything that the box shows now."""
    return Scene({str(number): _value(widget) for number, widget in enumerate(walk(box)) if _shows(widget)})


def figure(widget: Any) -> playback.Json:  # noqa: ANN401 - plotly has no types
    """A figure as plain JSON: data and layout."""
    content = widget.to_plotly_json()
    traces = [{name: value for name, value in trace.items() if name != "uid"} for trace in content["data"]]
    return playback.plain({"data": traces, "layout": content["layout"]})


def _shows(widget: Any) -> bool:  # noqa: ANN401 - ipywidgets has no types
    hidden = getattr(getattr(widget, "layout", None), "display", None) == "none"
    return hasattr(widget, "to_plotly_json") or (getattr(widget, "value", None) is not None and not hidden)


def _value(widget: Any) -> playback.Json:  # noqa: ANN401 - ipywidgets has no types
    return figure(widget) if hasattr(widget, "to_plotly_json") else playback.plain(widget.value)
