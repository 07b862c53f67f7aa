"""Messages from a cluster's daemon to the process that started it."""

from __future__ import annotations

import contextlib
import json
import os

from meshcourse.core.errors import MeshcourseError


class StartReport:
    """The pipe to the process that started the daemon, which may have ended already; that does not matter."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, **facts: object) -> None:
        """Write one line."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(facts).encode() + b"\n")

    def close(self) -> None:
        """Close the pipe."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1  # its number may soon be another file's

    def error(self, error: BaseException) -> None:
        """Report a failure in its three parts."""
        if isinstance(error, MeshcourseError):
            self.send(error={"what": error.what, "why": error.why, "next": error.next, "kind": type(error).__name__})
        else:
            self.send(error={"what": "The cluster's daemon failed.", "why": f"{type(error).__name__}: {error}", "next": ""})
