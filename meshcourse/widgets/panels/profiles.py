"""The profile panel: choose two of Istio's installation profiles and see how they differ.

Needs no cluster: istioctl renders a profile, which takes a second, on the background loop; results are cached. For code: `choose`,
`snapshot`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from meshcourse.core import errors
from meshcourse.kube.connection import Connection
from meshcourse.mesh.install import profiles
from meshcourse.mesh.install.profiles import Profile, Row
from meshcourse.widgets.figures import profiles as picture
from meshcourse.widgets.latest_only import Latest
from meshcourse.widgets.panels import parts
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts

EACH: Final = 60.0
"""Seconds within which two profiles are rendered, on a slow machine too."""


@dataclass(frozen=True)
class Snapshot:
    """The panel at one moment: the two profiles, their differences, and the error line."""

    chosen: tuple[str, str]
    rows: tuple[Row, ...]
    error: str


class ProfilePanel(Panel[Parts, Snapshot]):
    """Construction does no I/O; the first use renders the first two profiles."""

    def __init__(self, connection: Connection, *, one: str = "default", other: str = "demo") -> None:
        super().__init__(str(connection.kubeconfig))
        self._connection = connection
        self._first = (one, other)
        self._known: dict[str, Profile] = {}
        self._rows: tuple[Row, ...] = ()
        self._choice = Latest(self._compare_chosen)
        self._hands.append(self._choice)

    def _build(self) -> Parts:
        self.one = parts.toggles(profiles.NAMES, "this", "mc-one")
        self.other = parts.toggles(profiles.NAMES, "and this", "mc-other")
        for toggle, chosen in zip((self.one, self.other), self._first, strict=True):
            toggle.value = chosen
            toggle.observe(lambda _: self._moved(), names="value")
        self.table, self.alt, alert = (parts.words(name) for name in ("mc-table", "mc-alt", "mc-error"))
        self._compare(*self._first)
        box = parts.boxed("mc-profile-panel", self.one, self.other, alert, self.table, self.alt)
        return Parts(box, alert, (self.one, self.other))

    def choose(self, one: str, other: str) -> tuple[Row, ...]:
        """Compare two profiles and wait for the result. Raises PanelError for an unknown name, MeshError when istioctl fails."""
        self.open()
        for name in (one, other):
            if name not in profiles.NAMES:
                raise errors.PanelError(
                    f"There is no profile {name!r} here.", why=f"there are {', '.join(profiles.NAMES)}", next="choose two"
                )
        with self._quietly():
            self.one.value, self.other.value = one, other
        self._wait(asyncio.to_thread(self._compare, one, other), within=EACH)
        return self._rows

    async def _snapshot(self) -> Snapshot:
        return Snapshot((str(self.one.value), str(self.other.value)), self._rows, self._error)

    # -- rendering and showing ---------------------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        if self._by_hand():
            self.alt.value = "…"
            self._choice.offer((str(self.one.value), str(self.other.value)))

    async def _compare_chosen(self, wanted: tuple[str, str]) -> None:
        await self._shown(asyncio.to_thread(self._compare, *wanted))

    def _compare(self, one: str, other: str) -> None:
        left, right = (self._known.get(name) or profiles.generate(self._connection, name) for name in (one, other))
        self._known |= {left.name: left, right.name: right}
        self._rows = profiles.compare(left, right)
        self.table.value = picture.table(left, right, self._rows)
        self.alt.value = parts.aloud(picture.describe(left, right, self._rows))
        self._complain(None)
