"""A chapter on a cluster that the course has nothing of but a kubeconfig with the rights of rbac.yaml, through a forwarded port.

One chapter by default; `MESHCOURSE_TEST_ON_EXISTING=all`, or names such as `05_canary 06_circuit_breaking`, asks for others. Chapter 2
takes Istio off and puts it on, so it is given the administrator's kubeconfig. `MESHCOURSE_TEST_LEARNER=ada` executes them as one of
several learners, for whom other chapters than those that they can share are left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcourse.authoring import clusters, notebooks, rehearsal
from meshcourse.authoring.rehearsal import Rehearsal
from meshcourse.authoring.transcript import Variant
from meshcourse.backends import learners
from meshcourse.backends.existing import Existing

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ASKED = os.environ.get("MESHCOURSE_TEST_ON_EXISTING", "05_canary")
STEMS = [path.stem for path in notebooks.chosen(NOTEBOOKS / "source", "py", () if ASKED == "all" else ASKED.split())]
LEARNER = os.environ.get("MESHCOURSE_TEST_LEARNER", "")
STEMS = [stem for stem in STEMS if not (LEARNER and rehearsal.of(stem).alone)]
LIMIT = 600


@pytest.fixture
def rehearsed(stem: str, cluster: Any, learner: Callable[..., Path], tmp_path: Path) -> Iterator[Rehearsal]:
    administers = not rehearsal.of(stem).profile
    backend = Existing(f"on-existing-{stem[:2]}", str(cluster.kubeconfig if administers else learner("ann")), learner=LEARNER)
    if LEARNER:
        cluster.kubectl("apply", "-f", str(learners.FILE))
    backend.up(lambda _: None)
    stage = Rehearsal(NOTEBOOKS, tmp_path, [clusters.running(backend.name)])
    yield stage
    stage.close()
    backend.down()


@pytest.mark.parametrize("stem", STEMS)
def test_chapter_runs_by_nothing_but_a_kubeconfig(rehearsed: Rehearsal, stem: str) -> None:
    run = rehearsed.submit(stem, Variant.SOLVED).result(timeout=LIMIT)
    assert run.complaints == ()
    assert set(run.reading.verdicts.values()) == {"passed"}
