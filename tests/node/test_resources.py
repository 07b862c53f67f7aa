from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.spec import resources
from meshcourse.node.spec.resources import UNLIMITED, Limits


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "app", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (container(), Limits(2, UNLIMITED, UNLIMITED)),
        (container({"cpu": "20m", "memory": "1Gi"}), Limits(20, UNLIMITED, UNLIMITED)),
        (container({"cpu": "1m"}, {"cpu": "5m"}), Limits(2, 1000, UNLIMITED)),
        (container({}, {"cpu": "1500m", "memory": "64Mi"}), Limits(1536, 150_000, 64 << 20)),
    ],
)
def test_a_container_gets_a_kubelets_numbers(spec: dict[str, Any], expected: Limits) -> None:
    assert resources.of_container(spec, pod(spec)) == expected


def test_a_pods_limit_holds_for_a_container_without_one() -> None:
    without = container({"cpu": "1"})
    whole = pod(without, resources={"limits": {"memory": "100Mi"}})
    assert resources.of_container(without, whole).memory == 100 << 20
    assert resources.of_pod(whole).memory == 100 << 20


def test_a_pod_is_limited_as_a_whole_only_where_every_container_is() -> None:
    limited, free = container({}, {"memory": "10Mi", "cpu": "100m"}), container({"cpu": "1"})
    assert resources.of_pod(pod(limited, limited)) == Limits(2, 20_000, 20 << 20)
    assert resources.of_pod(pod(limited, free)) == Limits(1024, UNLIMITED, UNLIMITED)


def test_an_init_container_counts_only_where_it_needs_more_than_what_runs_later() -> None:
    sidecar = container({"cpu": "100m"}, restartPolicy="Always")
    small, large = container({"cpu": "100m"}), container({"cpu": "900m"})
    assert resources.requested(pod(small, init=(sidecar, large)), "cpu") == 1
    assert resources.requested(pod(small, small, small, init=(sidecar, small)), "cpu") * 10 == 4


def test_a_pod_that_names_no_resources_asks_for_nothing() -> None:
    assert not resources.asks(pod(container()))
    assert not resources.asks(pod(container({"ephemeral-storage": "1Gi"})))
    assert resources.asks(pod(container(), init=(container({}, {"memory": "1Mi"}),)))
