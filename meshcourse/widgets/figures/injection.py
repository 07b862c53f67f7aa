"""The decision table of sidecar injection: rows are labels of the namespace, columns labels of the pod, cells what was proved so far."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from meshcourse.widgets import palette

Place = tuple[str, str]
"""(label of the namespace, label of the pod), by the panel's names for them."""
_CELL: Final = "padding:4px 14px;text-align:center;border:1px solid rgba(128,128,128,0.4)"


@dataclass(frozen=True)
class Proof:
    """The API server's answer for one cell: READY as kubectl shows it, and whether the prediction agreed."""

    ready: str
    injected: bool
    as_predicted: bool


@dataclass(frozen=True)
class View:
    """The whole table. `chosen` is the selected cell."""

    namespaces: tuple[str, ...]
    pods: tuple[str, ...]
    chosen: Place
    proofs: Mapping[Place, Proof] = field(default_factory=dict)


def table(view: View) -> str:
    """The table as HTML."""
    head = "".join(f'<th style="{_CELL}">{_breakable(pod)}</th>' for pod in view.pods)
    rows = "".join(f"<tr>{_row(view, namespace)}</tr>" for namespace in view.namespaces)
    corner = f'<th style="{_CELL};text-align:left">namespace ↓ &nbsp; pod →</th>'
    style = "border-collapse:collapse;display:block;overflow-x:auto"  # scrolls where the window is narrow
    return f'<table style="{style}"><thead><tr>{corner}{head}</tr></thead><tbody>{rows}</tbody></table>'


def _breakable(label: str) -> str:
    """A label that may wrap after `/` and `=`, so that the table fits into a narrow window."""
    return html.escape(label).replace("/", "/<wbr>").replace("=", "=<wbr>")


def _row(view: View, namespace: str) -> str:
    cells = "".join(_cell(view, (namespace, pod)) for pod in view.pods)
    return f'<th style="{_CELL};text-align:left">{_breakable(namespace)}</th>{cells}'


def _cell(view: View, place: Place) -> str:
    proof = view.proofs.get(place)
    ring = f";outline:3px solid {palette.INK};outline-offset:-3px" if place == view.chosen else ""
    if proof is None:
        return f'<td style="{_CELL}{ring}">?</td>'
    ground = f";background:{palette.faint(palette.series(0))}" if proof.injected else ""
    words = f"{proof.ready} sidecar" if proof.injected else f"{proof.ready} none"
    wrong = "" if proof.as_predicted else " ≠ predicted"
    return f'<td style="{_CELL}{ground}{ring}">{html.escape(words + wrong)}</td>'


def describe(view: View) -> str:
    """The table as text, for screen readers."""
    if not view.proofs:
        return "Nothing has been proved yet."
    parts = [f"namespace {namespace}, pod {pod}: {proof.ready}" for (namespace, pod), proof in view.proofs.items()]
    return "Proved so far: " + "; ".join(parts) + "."
