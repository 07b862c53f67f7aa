"""Chapters executed for a learner or automatically: two at a time, on the session's cluster and one beside it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshcourse.authoring import clusters, notebooks, rehearsal
from meshcourse.authoring.rehearsal import Rehearsal, Run
from meshcourse.authoring.transcript import Variant

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STEMS = [path.stem for path in notebooks.chosen(NOTEBOOKS / "source", "py", ())]
LIMIT = 900
THIRDS = 3


def compared(stems: Sequence[str]) -> tuple[str, ...]:
    """The chapters that nbval executes once more: each day (UTC) another third; all with MESHCOURSE_NBVAL=all."""
    if os.environ.get("MESHCOURSE_NBVAL") == "all":
        return tuple(stems)
    return tuple(stems)[dt.datetime.now(dt.UTC).toordinal() % THIRDS :: THIRDS]


def pytest_report_header() -> str:
    return f"nbval executes once more: {', '.join(compared(STEMS))} (each day another third; MESHCOURSE_NBVAL=all for all)"


def asked_for(request: pytest.FixtureRequest) -> list[tuple[str, Variant]]:
    """What the selected tests need, in their order: all of it is started at once."""
    wanted = [getattr(item, "callspec", None) for item in request.session.items]
    return [(spec.params["stem"], spec.params["variant"]) for spec in wanted if spec and {"stem", "variant"} <= set(spec.params)]


@pytest.fixture(scope="session")
def performed(
    request: pytest.FixtureRequest, cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, Variant], Run]]:
    """Wait for a chapter's run; every chapter is run once for each variant, for all tests."""
    wanted, out, started = asked_for(request), tmp_path_factory.mktemp("executed"), time.monotonic()
    with contextlib.ExitStack() as ends:
        others = ends.enter_context(clusters.new(1, lambda _: None)) if len(wanted) > 1 else ()
        places = [clusters.Place(cluster.connection, cluster.environment), *others]
        stage = Rehearsal(NOTEBOOKS, out, places, compare=compared(STEMS))
        ends.callback(stage.close)
        for stem, variant in wanted:
            stage.submit(stem, variant)
        runs: dict[tuple[str, Variant], Run] = {}

        def perform(stem: str, variant: Variant) -> Run:
            runs[stem, variant] = stage.submit(stem, variant).result(timeout=LIMIT)
            return runs[stem, variant]

        yield perform
        kept = Path(os.environ.get("MESHCOURSE_ARTIFACTS") or out)
        kept.mkdir(parents=True, exist_ok=True)
        rehearsal.keep(list(runs.values()), kept, wall=time.monotonic() - started)
