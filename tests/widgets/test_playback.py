"""Films: what a panel showed, saved in a file and replayed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import golden
import ipywidgets
import pytest
from waiting import until

from meshcourse.core.errors import TrafficError
from meshcourse.lab import panels, stills
from meshcourse.measure.windows import Latency, Summary
from meshcourse.widgets import live_figure, playback
from meshcourse.widgets.figures import breaker, pushes, weights
from meshcourse.widgets.models import breaker as breaking
from meshcourse.widgets.models import history
from meshcourse.widgets.panels import capture
from meshcourse.widgets.panels.panel import Panel
from meshcourse.widgets.panels.parts import Parts
from meshcourse.widgets.panels.player import STEP, Player
from meshcourse.widgets.playback import Camera


def share(at: float, v2: int, seen: int) -> history.Tick:
    return history.Tick(
        at, {"v1": 100 - v2, "v2": v2}, Summary(5.0, 100, {"v1": 100 - seen, "v2": seen}, {"200": 100}, Latency(0.002, 0.01, 0.02))
    )


def tick(at: float, refused: int) -> breaking.Tick:
    found = {breaking.ANSWERED: 20 - refused, breaking.REFUSED: refused}
    return breaking.Tick(at, Summary(2.0, 20, found), {"upstream_rq_2xx": round(10 * at), "upstream_rq_pending_overflow": refused})


RUNS: dict[str, tuple[Any, list[Any]]] = {
    "weights": (
        weights,
        [
            history.view(("v1", "v2"), tuple(share(0.25 * n, 10 if n < 6 else 50, 9 + 4 * n) for n in range(length)))
            for length in (0, 1, 2, 5, 9)
        ],
    ),
    "breaker": (breaker, [breaking.view(tuple(tick(0.5 * n, n) for n in range(length))) for length in (0, 2, 6, 9)]),
    "pushes": (pushes, [pushes.View({"client.n": tuple(map(float, range(n))), "web.n": (None,) * n}) for n in (0, 1, 4)]),
}


def shot(path: Path, picture: Any, views: list[Any]) -> tuple[Any, list[Any]]:
    """A film of a figure and a line of text; the box, and every scene as it was."""
    live, line = live_figure.made(picture.figure(views[0])), ipywidgets.HTML()
    slider = ipywidgets.IntSlider(description="requests/s", value=5)
    box = ipywidgets.VBox([ipywidgets.HBox([slider, ipywidgets.Button(description="Start")]), line, live])
    camera, seen = Camera(path, "Trial", capture.names(box)), []
    for second, view in enumerate(views):
        picture.update(live, view)
        line.value, slider.value = picture.describe(view), 5 * second
        camera.take(100.0 + second, capture.scene(box))
        seen.append(capture.scene(box))
    camera.close()
    return box, seen


@pytest.mark.parametrize("name", RUNS)
def test_every_scene_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    picture, views = RUNS[name]
    _, seen = shot(tmp_path / "run", picture, views)
    found = playback.load(tmp_path / "run")
    assert [scene for _, scene in found.scenes()] == seen
    assert [found.scene(float(second)) for second in range(len(views))] == seen
    assert found.seconds == len(views) - 1
    assert set(found.names.values()) == {"requests/s", ""}


@pytest.mark.parametrize("name", RUNS)
def test_player_shows_the_figure_that_was_live(name: str, tmp_path: Path) -> None:
    picture, views = RUNS[name]
    box, seen = shot(tmp_path / "run", picture, views)
    with panels.replay(tmp_path / "run") as player:
        assert player.scene() == seen[-1], "it begins with the end, so that a page that is not run on shows something"
        (live,) = [each for each in capture.walk(player.box) if hasattr(each, "to_plotly_json")]
        for second in (0, len(views) - 1, 1):
            player.seek(float(second))
            wanted = seen[second].parts["3"]
            shown = capture.figure(live)
            assert [{key: trace[key] for key in ("x", "y", "name")} for trace in shown["data"]] == [
                {key: trace[key] for key in ("x", "y", "name")} for trace in wanted["data"]
            ]
            assert shown["layout"]["xaxis"]["range"] == wanted["layout"]["xaxis"]["range"]
        assert f"requests/s: <b>{5}</b>" in stills.bundles(player.box)[0]["text/html"]
    assert len(stills.bundles(box)) == 2


def test_the_file_is_small_and_as_reviewed(tmp_path: Path) -> None:
    shot(tmp_path / "run", *RUNS["weights"])
    made = (tmp_path / "run").read_text(encoding="utf-8")
    golden.as_reviewed("film_weights.jsonl", made)
    assert max(map(len, made.splitlines()[1:])) < 2500


def test_series_that_slide_are_kept_by_what_came_and_went() -> None:
    assert playback.change([1, 2, 3], [2, 3, 4]) == {"[]": [1, [4]]}
    assert playback.change([1, 2], [1, 2, 3, 4]) == {"[]": [0, [3, 4]]}
    assert playback.change([1, 2], [7]) == {"=": [7]}
    assert playback.change({"a": 1, "b": 2}, {"b": 3, "c": [4]}) == {"{}": {"b": {"=": 3}, "c": {"=": [4]}, "a": None}}


@pytest.mark.parametrize("seed", range(40))
def test_any_change_leads_from_the_old_to_the_new(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice

    def thing(depth: int) -> Any:
        kind = dice.randrange(5) if depth else 0
        if kind == 1:
            return {dice.choice("abcd"): thing(depth - 1) for _ in range(dice.randrange(4))}
        if kind in {2, 3}:
            return [thing(depth - 1) if kind == 3 else dice.randrange(3) for _ in range(dice.randrange(5))]
        return dice.choice([None, 1, "x", 2.5])

    old, new = {"r": thing(4)}, {"r": thing(4)}
    given = json.loads(json.dumps(playback.change(json.loads(json.dumps(old)), new)))
    assert playback.changed(json.loads(json.dumps(old)), given) == new


def test_a_film_is_played_twice_and_back_and_shows_the_same(tmp_path: Path) -> None:
    """A later frame changes what a frame added; the frame itself must not change with it."""
    scenes = [playback.Scene({"0": shapes}) for shapes in ([], [{"x": 1}], [{"x": 2}], [{"x": 2}, {"x": 5}], [{"x": 3}, {"x": 5}])]
    camera = Camera(tmp_path / "run", "Trial", {"0": ""})
    for second, scene in enumerate(scenes):
        camera.take(float(second), scene)
    camera.close()
    found = playback.load(tmp_path / "run")
    for second in (4, 1, 3, 0, 2):
        assert found.scene(float(second)) == scenes[second]
    assert [scene for _, scene in found.scenes()] == scenes


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"format":"meshcourse-run"}', "contains requests"),
        ('{"format":"other"}', "Line 1"),
        ('{"format":"meshcourse-film","version":9}', "version 9"),
        ('{"format":"meshcourse-film","version":1}', "first scene"),
        ('{"format":"meshcourse-film","version":1,"names":{},"first":{"0":[1]}}\n{"at":1}', "Line 2"),
        ('{"format":"meshcourse-film","version":1,"names":{},"first":{"0":[1]}}\nnonsense', "not JSON"),
    ],
)
def test_what_is_no_film_is_said(tmp_path: Path, line: str, why: str) -> None:
    (tmp_path / "run").write_text(line + "\n")
    with pytest.raises(TrafficError) as caught:
        panels.replay(tmp_path / "run")
    assert why in f"{caught.value.what} {caught.value.why}"


class Counting(Panel[Parts, None]):
    """A panel without a cluster: a number that grows on each beat."""

    every = 0.02

    def _build(self) -> Parts:
        self.line, alert = ipywidgets.HTML("0"), ipywidgets.HTML()
        self.slider = ipywidgets.IntSlider(description="requests/s")
        return Parts(ipywidgets.VBox([self.line, self.slider, alert]), alert, (self.slider,))

    async def _beat(self) -> None:
        self.line.value = str(int(self.line.value) + 1)


def test_a_panel_records_itself_and_a_player_plays_it(tmp_path: Path) -> None:
    with Counting("counting") as panel:
        assert panel.slider.tooltip == "requests/s", "what a screen reader says"
        panel.record(tmp_path / "run")
        until(lambda: int(panel.line.value) > 20)
        panel.end_recording()
    found = playback.load(tmp_path / "run")
    shown = [int(scene.parts["0"]) for _, scene in found.scenes()]
    assert shown == sorted(shown)
    assert shown[-1] >= 20
    with Player(found, speed=10.0) as player:
        moments: list[float] = []
        player.moment.observe(lambda change: moments.append(change["new"]), names="value")
        player.play()
        until(lambda: player.moment.value >= found.seconds)
        assert player.scene().parts["0"] == str(shown[-1])
        assert not [each for each in moments if each % STEP], "a browser would round it, send it back, and so stop the film"


def test_a_film_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    with Counting("unwritten") as panel, pytest.raises(TrafficError, match="cannot be saved"):
        panel.record(tmp_path / "absent" / "run")
