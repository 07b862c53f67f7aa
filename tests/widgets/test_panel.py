"""What all panels share, without a cluster: how long an error is shown, and which changes are the learner's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import ipywidgets
import pytest
from waiting import until

from meshcourse.core.errors import MeshError
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts


class Trial(Panel[Parts, None]):
    """A slider and a line for errors; its beat fails while `failing`, its read of the mesh while `lost`."""

    every = 0.02
    failing = lost = False
    known = drawn = 0

    def _build(self) -> Parts:
        self.slider, self.alert, self.moves = ipywidgets.IntSlider(), ipywidgets.HTML(), list[int]()
        self.slider.observe(lambda change: self.moves.append(change["new"]) if self._by_hand() else None, names="value")
        return Parts(ipywidgets.VBox([self.slider, self.alert]), self.alert, (self.slider,))

    async def _beat(self) -> None:
        if self.failing:
            raise MeshError("The mesh is away.", why="a test", next="wait")
        known = self.known
        await asyncio.sleep(0.01)
        self.drawn = known

    async def _follow(self) -> None:
        if self.lost:
            raise MeshError("The route is gone.", why="a test", next="wait")

    async def refused(self) -> None:
        raise MeshError("That was refused.", why="a test", next="another")


@pytest.fixture
def panel() -> Iterator[Trial]:
    with Trial("trial") as made:
        yield made


def test_what_is_done_again_and_again_takes_its_own_error_back_when_it_succeeds(panel: Trial) -> None:
    panel.failing = panel.lost = True
    panel._later(panel.refused())
    for words in ("The mesh is away.", "The route is gone.", "That was refused."):
        until(lambda words=words: panel.alert.value.count(words) == 1)
    panel.failing = False
    until(lambda: "The mesh is away." not in panel.alert.value)
    assert "The route is gone." in panel.alert.value
    panel.lost = False
    until(lambda: "The route is gone." not in panel.alert.value)
    assert "That was refused." in panel.alert.value, "a callback's error stays until the learner's next deed"


def test_redrawn_waits_for_what_was_so_when_it_was_called(panel: Trial) -> None:
    for panel.known in range(1, 30):
        panel.redrawn()
        assert panel.drawn == panel.known


def test_a_move_while_another_thread_shows_something_counts(panel: Trial) -> None:
    showing, shown = threading.Event(), threading.Event()

    def show() -> None:
        with panel._quietly():
            panel.slider.value = 3
            showing.set()
            shown.wait(5)

    def move() -> None:
        panel.slider.value = 7

    threads = [threading.Thread(target=show), threading.Thread(target=move)]
    threads[0].start()
    assert showing.wait(5)
    threads[1].start()
    until(lambda: panel.slider.value == 7)
    shown.set()
    for thread in threads:
        thread.join(5)
    assert panel.moves == [7], "what is shown is no move, and a move meanwhile is not lost"
