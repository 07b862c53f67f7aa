"""Options that several commands share."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from meshcourse.core import settings

Name = Annotated[str, typer.Option("--name", envvar="MESHCOURSE_CLUSTER", help="Which cluster, when you run several.")]
DEFAULT_NAME = settings.DEFAULT_CLUSTER


def named(name: str) -> str:
    """The option `--name NAME` to add to a command; empty for the default cluster."""
    return "" if name == DEFAULT_NAME else f" --name {name}"


class BackendName(enum.StrEnum):
    """Kinds of cluster."""

    EMBEDDED = "embedded"
    KIND = "kind"
    EXISTING = "existing"


class ImageSource(enum.StrEnum):
    """Where a cluster's images come from: `made` is for kind, the others are for embedded."""

    TABLE = settings.TABLE
    REGISTRY = settings.REGISTRY
    ISTIO = settings.ISTIOS_OWN
    MADE = settings.MADE
