"""JupyterHub's authenticator for the workshop's own names and codes. Learners who are added while the hub runs can log in at once."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

from jupyterhub.auth import Authenticator
from tornado import web

from meshcourse.workshop import record, users

ALLOWED: Final = 5
"""Wrong codes for one name from one address, after which that address waits."""
PAUSE: Final = 30.0
"""Seconds."""


class Attempts:
    """Counts wrong codes; `clock` gives seconds."""

    def __init__(self, clock: Any = time.monotonic) -> None:  # noqa: ANN401 - a function without arguments
        self._clock = clock
        self._wrong: dict[tuple[str, str], list[float]] = {}

    def must_wait(self, name: str, address: str) -> float:
        """Seconds until the next try counts; 0 when it may be now."""
        recent = [at for at in self._wrong.get((name, address), []) if self._clock() - at < PAUSE]
        self._wrong[name, address] = recent
        return PAUSE - (self._clock() - recent[-ALLOWED]) if len(recent) >= ALLOWED else 0.0

    def failed(self, name: str, address: str) -> None:
        """Count one."""
        self._wrong.setdefault((name, address), []).append(self._clock())

    def forget(self, name: str, address: str) -> None:
        """It was right."""
        self._wrong.pop((name, address), None)


class ClassroomAuthenticator(Authenticator):  # type: ignore[misc] # the hub has no types
    """The hub's login page takes a name from the sheet, or its account, and that name's code."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - traitlets'
        super().__init__(**given)
        self._attempts = Attempts()

    def normalize_username(self, username: str) -> str:
        """The account of whoever typed `username`."""
        workshop = record.require()
        found = users.find((workshop.instructor, *workshop.learners), username)
        return found.account if found else users.fold(username)

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:  # noqa: ANN401 - the hub's
        """The account; None for a wrong code. Raises HTTPError with the reason when the name is unknown, or after many wrong codes."""
        workshop = record.require()
        typed, address = data["username"], handler.request.remote_ip
        found = users.find((workshop.instructor, *workshop.learners), typed)
        if found is None:
            raise web.HTTPError(
                403,
                f"{typed[:60]!r} is not one of this workshop's {len(workshop.learners)} learners. Names are on the sheet; "
                "the instructor adds a learner with `meshcourse workshop up --add NAME`, without disturbing the others.",
            )
        if wait := self._attempts.must_wait(found.account, address):
            raise web.HTTPError(429, f"Too many wrong codes for {found.name}. Try again in {wait:.0f} seconds; the code is on the sheet.")
        if secrets.compare_digest(data["password"].strip().lower().encode(), found.code.encode()):
            self._attempts.forget(found.account, address)
            return found.account
        self._attempts.failed(found.account, address)
        return None
