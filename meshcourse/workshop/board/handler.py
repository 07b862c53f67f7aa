"""What every page of the board has in common: only the hub's administrators get an answer."""

from __future__ import annotations

from typing import Any

from jupyterhub.services.auth import HubOAuthenticated
from tornado import web


class InstructorHandler(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc] # the hub has no types
    """`web.authenticated` sends who is not logged in to the hub's login; here everybody but the instructor is refused."""

    async def prepare(self) -> None:
        """Refuse learners."""
        user = self.get_current_user()
        if user and not user.get("admin"):
            raise web.HTTPError(403, "The board is for the instructor.")

    def write_error(self, status_code: int, **given: Any) -> None:  # noqa: ANN401 - tornado's
        """The reason as plain text."""
        error = given.get("exc_info", (None, None))[1]
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish((error.log_message if isinstance(error, web.HTTPError) else "") or f"error {status_code}")

    def set_default_headers(self) -> None:
        """No other site may show the board in a frame of its own."""
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'; default-src 'self' 'unsafe-inline'")
        self.set_header("Cache-Control", "no-store")
