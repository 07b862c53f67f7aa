"""Istio's helloworld: says its version and its host. `python3 -m apps.helloworld 5000`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from . import serving
from .serving import App, Reply, Request


def app(environment: Mapping[str, str]) -> App:
    """The service."""
    version = environment.get("SERVICE_VERSION", "v1")
    host = environment.get("HOSTNAME") or socket.gethostname()

    def answer(request: Request) -> Reply:
        match request.parts:
            case ("hello",):
                return serving.as_text(f"Hello version: {version}, instance: {host}\n")
            case ("health",):
                return serving.as_text("Helloworld is healthy")
        return serving.not_found()

    return answer


if __name__ == "__main__":
    serving.run(app(os.environ), sys.argv[1:], port=5000)
