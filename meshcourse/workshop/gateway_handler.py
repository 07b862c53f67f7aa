"""jupyter-server-proxy's handler for the gateway's page: it asks for the port each time, and says what is missing when nothing answers.

A learner's port is open in the gateway's pod only while a Gateway of theirs exists. Without one, a forwarded connection is closed.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from jupyter_server_proxy.config import ServerProcess
from jupyter_server_proxy.handlers import NamedLocalProxyHandler
from tornado import web

from meshcourse.workshop import gateway_page

NO_ANSWER: Final = 599
"""tornado's own status for a connection that was closed, or that timed out."""


class GatewayHandler(NamedLocalProxyHandler):  # type: ignore[misc] # jupyter-server-proxy has no types
    """Every request below /gateway/."""

    async def proxy(self, port: int, path: str) -> None:  # noqa: ARG002 - jupyter-server-proxy's; it was known when the server started
        """Pass the request on to the port of now."""
        try:
            await super().proxy(await asyncio.to_thread(gateway_page.port), path)
        except (OSError, web.HTTPError) as error:
            if isinstance(error, web.HTTPError) and error.status_code != NO_ANSWER:
                raise
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.set_header("Cache-Control", "no-store")
            self.finish(gateway_page.unanswered(getattr(error, "log_message", None) or str(error)))


class Gateway(ServerProcess):  # type: ignore[misc] # jupyter-server-proxy has no types
    """The gateway among jupyter-server-proxy's servers."""

    def get_proxy_base_class(self) -> tuple[type[Any], dict[str, Any]]:
        """The handler, and its arguments."""
        return GatewayHandler, {}
