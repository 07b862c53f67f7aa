from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from meshcourse.core import settings
from meshcourse.node import images


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("nginx", "docker.io/library/nginx", "latest"),
        ("nginx:1.25", "docker.io/library/nginx", "1.25"),
        ("fortio/fortio:latest_release", "docker.io/fortio/fortio", "latest_release"),
        ("registry.istio.io/release/pilot:1.31.0", "registry.istio.io/release/pilot", "1.31.0"),
        ("localhost:5000/a", "localhost:5000/a", "latest"),
        ("localhost/a", "localhost/a", "latest"),
        ("nginx@sha256:00", "docker.io/library/nginx", "latest"),
    ],
)
def test_references_are_read_as_docker_reads_them(reference: str, repository: str, tag: str) -> None:
    assert images.repository_and_tag(reference) == (repository, tag)


def test_an_unknown_image_is_refused_with_the_way_on() -> None:
    with pytest.raises(images.UnknownImage) as refused:
        images.find("example.com/mine:1")
    assert "meshcourse images" in str(refused.value)
    assert "kind backend runs any image" in str(refused.value)


@pytest.mark.parametrize("tag", ["1.31.0", "1.31.0-distroless"])
def test_istio_images_serve_their_own_version(tag: str) -> None:
    assert images.find(f"docker.io/istio/proxyv2:{tag}").name == "registry.istio.io/release/proxyv2"


def test_istio_images_of_another_version_are_refused() -> None:
    with pytest.raises(images.UnknownImage, match=settings.ISTIO):
        images.find("docker.io/istio/pilot:1.18.2")


def test_no_two_rows_have_the_same_name() -> None:
    names = [name for image in images.TABLE for name in image.names]
    assert len(names) == len(set(names))


SERVERS = {
    "nginx": (80, "/", "nginx runs"),
    "mccutchen/go-httpbin": (8080, "/get", '"args"'),
    "kennethreitz/httpbin": (80, "/get", '"args"'),
    "fortio/fortio": (8080, "/debug", "Φορτίο"),
}


@pytest.mark.parametrize("image", SERVERS)
def test_a_server_image_answers_a_client_image_through_a_service(
    cluster: Any, namespace: str, wait_for: Callable[..., str], image: str
) -> None:
    port, path, expected = SERVERS[image]
    cluster.kubectl("-n", namespace, "run", "server", f"--image={image}", f"--port={port}", "--expose")
    wait_for(namespace, "pod/server")
    script = f"for i in 1 2 3 4 5 6 7 8 9 10; do wget -q -O - http://server:{port}{path} && exit; done; exit 1"
    cluster.kubectl("-n", namespace, "run", "client", "--image=busybox", "--restart=Never", "--", "sh", "-c", script)
    wait_for(namespace, "pod/client", "jsonpath={.status.phase}=Succeeded")
    assert expected in cluster.kubectl("-n", namespace, "logs", "client")


def test_curl_is_the_image_istios_samples_use(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    cluster.kubectl("-n", namespace, "run", "curl", "--image=curlimages/curl:8.16.0", "--command", "--", "sleep", "infinity")
    wait_for(namespace, "pod/curl")
    assert cluster.kubectl("-n", namespace, "exec", "curl", "--", "curl", "--version").startswith("curl ")
    assert cluster.kubectl("-n", namespace, "exec", "curl", "--", "id", "-u") == "100\n"


def test_what_really_runs_is_said_in_the_pods_image_id(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    cluster.kubectl("-n", namespace, "run", "httpbin", "--image=kennethreitz/httpbin")
    wait_for(namespace, "pod/httpbin")
    assert "go-httpbin" in cluster.get("-n", namespace, "pod", "httpbin")["status"]["containerStatuses"][0]["imageID"]


def test_a_container_sees_neither_the_learners_files_nor_the_hosts_processes(
    cluster: Any, namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.kubectl("-n", namespace, "run", "box", "--image=busybox", "--command", "--", "sleep", "600")
    wait_for(namespace, "pod/box")
    inside = cluster.kubectl("-n", namespace, "exec", "box", "--", "sh", "-c", "ls -A /home /root; ps | wc -l")
    assert inside.replace("/home:", "").replace("/root:", "").split()[-1] in {"4", "5", "6", "7"}
    assert len(inside.split()) == 3


def test_a_container_may_write_to_its_own_root_and_nobody_elses(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    for name in ("one", "two"):
        cluster.kubectl("-n", namespace, "run", name, "--image=nginx")
    for name in ("one", "two"):
        wait_for(namespace, f"pod/{name}")
    cluster.kubectl("-n", namespace, "exec", "one", "--", "sh", "-c", "echo changed > /usr/share/nginx/html/index.html")
    page = ("--", "cat", "/usr/share/nginx/html/index.html")
    assert cluster.kubectl("-n", namespace, "exec", "one", *page) == "changed\n"
    assert "nginx runs" in cluster.kubectl("-n", namespace, "exec", "two", *page)


def test_a_containers_root_has_only_the_usual_capabilities(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    cluster.kubectl("-n", namespace, "run", "web", "--image=nginx")
    wait_for(namespace, "pod/web")
    for pid in ("self", "2"):
        status = cluster.kubectl("-n", namespace, "exec", "web", "--", "grep", "CapEff", f"/proc/{pid}/status")
        assert status.split()[1] == "00000000a00425fb"  # Docker's and containerd's default set, less MKNOD


def test_what_enters_a_container_starts_no_program_that_the_container_may_have_replaced(
    cluster: Any, namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.kubectl("-n", namespace, "run", "box", "--image=busybox", "--command", "--", "sleep", "600")
    wait_for(namespace, "pod/box")
    forge = "printf '#!/bin/sh\\ngrep CapEff /proc/self/status\\n' > /usr/bin/setpriv"
    # Where the node is an ordinary user's, the host's /usr belongs to nobody inside, and the kernel refuses even this.
    cluster.kubectl("-n", namespace, "exec", "box", "--", "sh", "-c", forge, check=os.geteuid() == 0)
    assert cluster.kubectl("-n", namespace, "exec", "box", "--", "echo", "entered") == "entered\n"


def test_nginx_can_be_configured_and_reloaded_inside_its_pod(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    cluster.kubectl("-n", namespace, "run", "web", "--image=nginx")
    wait_for(namespace, "pod/web")
    site = "server { listen 8081; return 200 reloaded; }"
    script = f"echo '{site}' > /etc/nginx/conf.d/more.conf && nginx -t && nginx -s reload"
    cluster.kubectl("-n", namespace, "exec", "web", "--", "sh", "-c", script)
    again = "for i in $(seq 50); do curl -sf http://127.0.0.1:8081/ && exit; done; exit 1"
    assert cluster.kubectl("-n", namespace, "exec", "web", "--", "sh", "-c", again).endswith("reloaded")
