"""Settings that would add Istio's own filters to upstream Envoy are removed, or refused with the reason; everything else passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.cluster

BLOCK = "defaultProviders:\n  metrics:\n  - prometheus\n"


def mesh_after(cluster: Any, mesh: str) -> str:
    """The mesh config as the API server keeps it."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"}, "data": {"mesh": mesh}}
    shown = cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(config))
    return str(json.loads(shown)["data"]["mesh"])


@pytest.mark.parametrize(
    ("mesh", "left"),
    [
        (BLOCK, []),
        (BLOCK + "enableTracing: true\n", []),
        ("defaultProviders:\n  metrics:\n  - prometheus\n  - stackdriver\n", ["stackdriver"]),
        ("defaultProviders:\n  metrics:\n  - stackdriver\n  - prometheus\n  tracing:\n  - zipkin\n", ["stackdriver"]),
        ("defaultProviders:\n    metrics:\n      - 'prometheus' # the default\n      # and\n\n      - \"other\"\n", ["other"]),
        ('defaultProviders:\n  metrics: # all\n  -   "Prometheus"\n', []),
        ("defaultProviders:\n  metrics: [prometheus]\n", []),
        ("defaultProviders: {metrics: [ 'prometheus' , other], tracing: [zipkin]}\n", ["other"]),
        ('defaultProviders:\n  "metrics": [\n    other,\n    prometheus\n  ]\n', ["other"]),
        ('{"enableTracing": true, "defaultProviders": {"metrics": ["prometheus"], "tracing": ["zipkin"]}}', []),
        ("defaultProviders:\n  metrics:\n  - other\n", ["other"]),
        ("defaultProviders:\n  metrics: []\n", []),
    ],
)
def test_the_prometheus_provider_is_taken_out_of_the_mesh_config_and_nothing_else(cluster: Any, mesh: str, left: list[str]) -> None:
    after = yaml.safe_load(mesh_after(cluster, mesh))
    wanted = yaml.safe_load(mesh)
    wanted["defaultProviders"]["metrics"] = left
    assert after == wanted


@pytest.mark.parametrize(
    "mesh",
    [
        "extensionProviders:\n- name: mine\n  prometheus: {}\ndefaultProviders:\n  metrics:\n  - mine\n",
        "extensionProviders: [{prometheus: {}, name: mine}]\ndefaultProviders: {metrics: [mine]}\n",
        '{"extensionProviders": [{"name": "mine", "prometheus": {}}], "defaultProviders": {"metrics": ["prometheus", "mine"]}}',
    ],
)
def test_a_provider_of_the_same_kind_under_another_name_is_refused_with_the_way_out(cluster: Any, mesh: str) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-canary"}, "data": {"mesh": mesh}}
    done = cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(config), check=False)
    assert done.returncode, done.stdout
    assert "istio.stats" in done.stderr
    assert "--images istio" in done.stderr


@pytest.mark.parametrize("metrics", ["&all [prometheus]", "!!seq\n  - prometheus", "&all\n  - prometheus"])
def test_a_form_of_yaml_that_the_policy_cannot_read_is_refused_not_passed(cluster: Any, metrics: str) -> None:
    mesh = f"defaultProviders:\n  metrics: {metrics}\nenablePrometheusMerge: true\n"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"}, "data": {"mesh": mesh}}
    done = cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(config), check=False)
    assert "Write the list plainly" in done.stderr


def telemetry(cluster: Any, spec: dict[str, Any]) -> Any:
    manifest = {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "t"}, "spec": spec}
    words = ("kubectl", "apply", "--dry-run=server", "-f", "-")
    return cluster.run(*words, stdin=json.dumps(manifest), check=False)


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
@pytest.mark.parametrize(
    "metrics",
    [
        [{"providers": [{"name": "prometheus"}]}],
        [{"providers": [{"name": "mine"}], "reportingInterval": "5s"}],
        [{"overrides": [{"disabled": True}]}, {"providers": [{"name": "prometheus"}]}],
        [{"providers": [{"name": "prometheus"}], "overrides": [{"match": {"metric": "REQUEST_COUNT"}, "disabled": True}]}],
        [{"providers": [{"name": "prometheus"}], "overrides": [{"match": {"mode": "CLIENT"}, "disabled": True}]}],
    ],
)
def test_a_telemetry_that_asks_for_istios_metrics_is_refused_with_the_reason_and_the_way_out(
    cluster: Any, metrics: list[Any], version: str
) -> None:
    manifest = {
        "apiVersion": f"telemetry.istio.io/{version}",
        "kind": "Telemetry",
        "metadata": {"name": "t"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "metrics": metrics},
    }
    done = cluster.run("kubectl", "apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert done.returncode
    for words in ("istio.stats", "upstream Envoy", "--images istio", "--backend kind"):
        assert words in done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {"accessLogging": [{"providers": [{"name": "envoy"}], "filter": {"expression": "response.code >= 400"}}]},
        {"tracing": [{"randomSamplingPercentage": 10}]},
        {"metrics": [{"providers": [{"name": "prometheus"}], "overrides": [{"disabled": True}]}]},
        {"metrics": [{"providers": [{"name": "prometheus"}], "overrides": [{"match": {"metric": "ALL_METRICS"}, "disabled": True}]}]},
        {},
    ],
)
def test_a_telemetry_that_upstream_envoy_can_do_passes(cluster: Any, spec: dict[str, Any]) -> None:
    done = telemetry(cluster, spec)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_metrics_without_a_provider_of_their_own_are_taken_with_a_warning(cluster: Any) -> None:
    done = telemetry(cluster, {"metrics": [{"overrides": [{"tagOverrides": {"a": {"operation": "REMOVE"}}}]}]})
    assert done.returncode == 0, done.stderr
    assert "changes nothing in this cluster" in done.stderr
