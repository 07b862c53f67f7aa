"""Chapters executed as a learner, or a machine, would: two at a time, on the session's cluster and one beside it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcourse.authoring import clusters, rehearsal
from meshcourse.authoring.rehearsal import Rehearsal, Run
from meshcourse.authoring.transcript import Variant

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LIMIT = 900


def asked_for(request: pytest.FixtureRequest) -> list[tuple[str, Variant]]:
    """What the tests that will run ask for, in their order: all of it is begun at once."""
    wanted = [getattr(item, "callspec", None) for item in request.session.items]
    return [(spec.params["stem"], spec.params["variant"]) for spec in wanted if spec and {"stem", "variant"} <= set(spec.params)]


@pytest.fixture(scope="session")
def performed(
    request: pytest.FixtureRequest, cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, Variant], Run]]:
    """Wait for a chapter's run; every chapter is run once for each variant, whoever asks."""
    wanted, out, started = asked_for(request), tmp_path_factory.mktemp("executed"), time.monotonic()
    with contextlib.ExitStack() as ends:
        others = ends.enter_context(clusters.new(1, lambda _: None)) if len(wanted) > 1 else ()
        stage = Rehearsal(NOTEBOOKS, out, [clusters.Place(cluster.connection, cluster.environment), *others])
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
