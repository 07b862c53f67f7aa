"""What the kubelet API needs from the node.

The server of this package calls it; the agent implements it for its pods, tests for programs on this machine.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meshcourse.node.process.processes import Process
from meshcourse.node.streaming.resource_metrics import NodeUse


class NotRunning(LookupError):  # noqa: N818 - reads as the sentence it is
    """The container exists but has no log or process now (it waits to start); HTTP 400 instead of 404."""


@dataclass(frozen=True)
class LogSource:
    """The path of a container's log, and whether the container has ended (no more will come)."""

    path: Path
    ended: Callable[[], bool]


class Runtime(Protocol):
    """The node's pods. Every method raises LookupError, with a message for the user, when the pod or container does not exist."""

    def log(self, namespace: str, pod: str, container: str, previous: bool) -> LogSource:  # noqa: FBT001
        """The log of the running (or last) instance of a container, or of the one before."""

    def enter(self, namespace: str, pod: str, container: str, command: list[str], tty: bool) -> list[str]:  # noqa: FBT001
        """The command line that runs `command` inside the running container's namespaces, as its user."""

    def attach(self, namespace: str, pod: str, container: str) -> Process:
        """The main process of a running container."""

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """Connect to 127.0.0.1:port in the pod's network namespace. Raises OSError when nothing listens."""

    async def use(self) -> NodeUse:
        """What the node and its containers use of the machine now."""

    def pods(self) -> list[dict[str, Any]]:
        """The pods of this node, as the API server has them."""
