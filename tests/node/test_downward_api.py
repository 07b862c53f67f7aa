"""The downward API: metadata as text, and resources divided and rounded as Kubernetes does."""

from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.spec import downward_api

NODE = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "10G"}
RESOURCES = {"limits": {"cpu": "1500m", "memory": "64Mi", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "250m", "memory": "1"}}


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "resources": RESOURCES}, {"name": "bare"}]
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": containers, **spec}}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("250m", 0.25), ("64Mi", 64 * 1024**2), ("1.5Gi", 1.5 * 1024**3), ("2k", 2000), ("2e3", 2000), ("1E", 10**18), (2, 2)],
)
def test_quantities(text: str, number: float) -> None:
    assert downward_api.quantity(text) == number


@pytest.mark.parametrize(
    ("container", "resource", "divisor", "value"),
    [
        ("app", "limits.cpu", None, "2"),
        ("app", "limits.cpu", "1m", "1500"),
        ("app", "limits.cpu", "0", "2"),
        ("app", "requests.cpu", "100m", "3"),
        ("app", "limits.memory", "1Mi", "64"),
        ("app", "limits.memory", "1Gi", "1"),
        ("app", "limits.hugepages-2Mi", "1Mi", "4"),
        ("bare", "limits.cpu", None, "4"),
        ("bare", "limits.memory", "1Mi", "8192"),
        ("bare", "requests.memory", None, "0"),
        ("bare", "limits.hugepages-2Mi", None, "0"),
    ],
)
def test_resources_are_divided_and_rounded_up_and_a_missing_limit_is_the_nodes(
    container: str, resource: str, divisor: str | None, value: str
) -> None:
    selector = {"containerName": container, "resource": resource, "divisor": divisor}
    assert downward_api.resource_field(pod(), selector, None, NODE) == value


def test_a_limit_of_the_whole_pod_goes_before_the_nodes() -> None:
    whole = pod(resources={"limits": {"memory": "1Gi"}})
    assert (
        downward_api.resource_field(whole, {"containerName": "bare", "resource": "limits.memory", "divisor": "1Mi"}, None, NODE) == "1024"
    )


@pytest.mark.parametrize(
    "selector", [{"resource": "limits.gpu"}, {"resource": "usage.cpu"}, {"containerName": "none", "resource": "limits.cpu"}]
)
def test_an_unknown_resource_or_container_is_refused(selector: dict[str, str]) -> None:
    with pytest.raises(downward_api.UnsupportedField):
        downward_api.resource_field(pod(), selector, {"name": "app"}, NODE)


def test_maps_print_as_sorted_quoted_lines() -> None:
    labelled = pod()
    labelled["metadata"]["labels"] = {"b": 'say "é"', "a": "line\nbreak\t\\", "c": "\x01\u2028"}
    assert downward_api.pod_field(labelled, "metadata.labels") == 'a="line\\nbreak\\t\\\\"\nb="say \\"é\\""\nc="\\x01\\u2028"'
    assert downward_api.pod_field(labelled, "metadata.annotations") == ""


def test_subscripts_may_hold_anything() -> None:
    annotated = pod()
    annotated["metadata"]["annotations"] = {"a.b/c[d]": "yes"}
    assert downward_api.pod_field(annotated, "metadata.annotations['a.b/c[d]']") == "yes"


@pytest.mark.parametrize("path", ["spec.nodeName", "status.podIP", "metadata.finalizers", "spec['x']"])
def test_files_show_metadata_only(path: str) -> None:
    with pytest.raises(downward_api.UnsupportedField):
        downward_api.pod_field(pod(), path)
