"""`--images istio`: pilot and proxyv2 are pulled, and nothing is adapted to upstream Envoy any more.

Istio's own images cannot be had everywhere. So those of this registry are made of the engine's programs and this machine's iptables: the
real pilot-discovery and pilot-agent, and for Istio's Envoy the upstream one as a stand-in, which cannot take Istio's own filters. That it
is sent them, and refuses them, is what shows that istiod now configures a mesh for Istio's own Envoy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_cluster import RealCluster
from registries import Layer, Registry, serving, with_libraries
from waiting import until

from meshcourse.cluster import clusters
from meshcourse.core import settings
from meshcourse.engine import binaries

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def pilot() -> Layer:
    made = Layer()
    made.programs({"usr/local/bin/pilot-discovery": binaries.program("pilot-discovery")})
    return made


def proxy() -> Layer:
    envoy, iptables = binaries.envoy(), Path(str(shutil.which("iptables"))).resolve()
    plugins = {str(path): path for path in Path("/usr/lib").glob("*/xtables/*.so")}
    made = Layer()
    made.programs(
        {"usr/local/bin/pilot-agent": binaries.program("pilot-agent"), "usr/local/bin/envoy": envoy, "usr/sbin/xtables": iptables}
        | with_libraries(envoy)
        | with_libraries(iptables)
        | plugins
    )
    for name in ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"):
        made.link(f"usr/sbin/{name}", "xtables")
    made.add("var/lib/istio/envoy/envoy_bootstrap_tmpl.json", binaries.bootstrap_template().read_bytes())
    made.add("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nistio-proxy:x:1337:1337::/home/istio-proxy:/bin/sh\n")
    return made


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("istio")
    with serving(folder) as registry:
        for name, layer, program, *config in (
            ("pilot", pilot(), "pilot-discovery", "--user", "1337:1337"),
            ("proxyv2", proxy(), "pilot-agent", "--env", f"ISTIO_META_ISTIO_VERSION={settings.ISTIO}"),
        ):
            image = f"{registry.host}/istio/{name}:{settings.ISTIO}"
            registry.crane("append", "--oci-empty-base", "-f", layer.write(folder / "layer.tar"), "-t", image)
            registry.crane("mutate", image, "--entrypoint", f"/usr/local/bin/{program}", *config, "-t", image)
        yield registry


@pytest.fixture(scope="module")
def mesh(registry: Registry) -> Iterator[RealCluster]:
    started = clusters.up(f"istio-{os.getpid()}", ingress_port=0, images=settings.ISTIOS_OWN)
    try:
        mesh = RealCluster.of(started)
        mesh.run("istioctl", "install", "-y", "--set", "profile=minimal", "--set", f"hub={registry.host}/istio", timeout=120)
        mesh.kubectl("label", "namespace", "default", "istio-injection=enabled")
        mesh.kubectl("run", "web", "--image=nginx")
        yield mesh
    finally:
        clusters.down(started.name)


def test_istiod_and_the_proxies_are_those_of_the_registry(mesh: RealCluster, registry: Registry) -> None:
    digests = {name: registry.crane("digest", f"{registry.host}/istio/{name}:{settings.ISTIO}") for name in ("pilot", "proxyv2")}
    (istiod,) = mesh.get("pods", "-n", "istio-system", "-l", "app=istiod")["items"]
    assert istiod["status"]["containerStatuses"][0]["imageID"] == f"{registry.host}/istio/pilot@{digests['pilot']}"

    def statuses() -> dict[str, dict[str, object]]:
        listed = mesh.get("pod", "web")["status"].get("initContainerStatuses", [])
        return {each["name"]: each for each in listed if each.get("imageID")}

    until(lambda: statuses().keys() == {"istio-init", "istio-proxy"}, within=60)
    assert {each["imageID"] for each in statuses().values()} == {f"{registry.host}/istio/proxyv2@{digests['proxyv2']}"}
    until(lambda: "istio-init" in statuses() and "terminated" in json.dumps(statuses()["istio-init"]))
    assert '"exitCode": 0' in json.dumps(statuses()["istio-init"])  # its own iptables, of the image, have sent the traffic to Envoy


def test_istiod_configures_istios_own_envoy(mesh: RealCluster) -> None:
    assert mesh.kubectl("get", "mutatingadmissionpolicies", "-o", "name").split("/")[1:] == ["meshcourse-ingress-node-port\n"]
    assert "metrics:\n  - prometheus" in mesh.get("configmap", "istio", "-n", "istio-system")["data"]["mesh"]
    refusals = "Didn't find a registered implementation"
    until(lambda: refusals in mesh.kubectl("logs", "web", "-c", "istio-proxy", check=False), within=60)
    said = mesh.kubectl("logs", "web", "-c", "istio-proxy")
    assert "istio.stats" in said
    assert "peer_metadata" in said


def test_the_tables_proxy_never_takes_the_place_of_istios_own(mesh: RealCluster) -> None:
    mesh.kubectl("run", "alone", f"--image=docker.io/istio/proxyv2:{settings.ISTIO}", "--labels=sidecar.istio.io/inject=false")

    def waiting() -> dict[str, str]:
        statuses = mesh.get("pod", "alone")["status"].get("containerStatuses", [{}])
        return dict(statuses[0].get("state", {}).get("waiting", {}))

    until(lambda: waiting().get("reason") == "ImagePullBackOff", within=60)
    assert "with `meshcourse up --images registry` this node's own Istio runs without a network" in waiting()["message"]


def test_up_says_before_it_starts_that_istios_images_are_out_of_reach(
    registry: Registry, meshcourse: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    where = {name: os.environ[name] for name in ("MESHCOURSE_STATE", "MESHCOURSE_CACHE", "MESHCOURSE_ENGINE", "HTTPS_PROXY", "PATH")}
    done = meshcourse("up", "--name", "far", "--images", "istio", environment=where)
    assert done.returncode == 1
    assert f"registry.istio.io/release/pilot:{settings.ISTIO} cannot be pulled" in done.stderr.replace("\n", " ")
    assert "meshcourse up --name far --images registry" in done.stderr
    assert clusters.find("far") is None
