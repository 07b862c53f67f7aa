"""The table's rows as images: names, labels and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.authoring import course_images
from meshcourse.core import settings
from meshcourse.imagemaking import course, debian, go_builds, made, node_image, registries
from meshcourse.node.images import TABLE, find


def test_every_image_that_a_chapter_names_is_made_under_that_name() -> None:
    wanted = course_images.of_chapters()
    tags = course.tags_of(wanted)
    made_names = {reference for row in TABLE for reference in course.references(row, tags)}
    assert {f"{repository}:{tag}" for repository, its in tags.items() for tag in its} <= made_names
    assert {f"{settings.ISTIO_HUB}/{name}:{settings.ISTIO}" for name in ("pilot", "proxyv2")} <= made_names
    assert "docker.io/library/nginx:latest" in made_names


def test_no_two_rows_claim_one_name() -> None:
    names = [reference for row in TABLE for reference in course.references(row, course.tags_of(course_images.of_chapters()))]
    assert len(names) == len(set(names))


def test_the_proxys_label_says_that_its_envoy_is_upstreams() -> None:
    labels = course.labels(find(f"{settings.ISTIO_HUB}/proxyv2:{settings.ISTIO}"))
    assert "upstream Envoy" in labels["org.opencontainers.image.title"]
    assert "Istio's own filters" in labels["org.opencontainers.image.description"]
    assert "not by the program's makers" in labels["org.opencontainers.image.vendor"]


def test_debians_programs_take_the_place_of_this_machines() -> None:
    entries = {entry.path: entry for entry in course.entries(find("tomcat"))}
    assert not any("libpython" in path or path.startswith("/root") for path in entries)
    assert entries["/usr/local/bin/python3"].link == "/usr/bin/python3"
    assert "/opt/microservices/apps/tomcat.py" in entries
    assert not any(entry.source for entry in course.entries(find("curlimages/curl")) if entry.path == "/usr/bin/curl")


def test_a_programs_copy_can_be_executed_and_a_template_cannot() -> None:
    entries = {entry.path: entry for entry in course.entries(find(f"{settings.ISTIO_HUB}/proxyv2:{settings.ISTIO}"))}
    assert entries["/usr/local/bin/envoy"].mode == 0o755
    assert entries["/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"].mode == 0o644


@pytest.mark.parametrize(
    ("said", "next_step"),
    [
        ("E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease", "MESHCOURSE_DEBIAN_MIRROR"),
        ("newuidmap: not found", "apt install uidmap"),
        ("tar: write error: No space left on device", "df -h"),
        ("GPG error: NO_PUBKEY 0E98404D386FA1D9", "debian-archive-keyring"),
    ],
)
def test_what_mmdebstrap_says_leads_to_what_to_type(said: str, next_step: str) -> None:
    assert next_step in debian.failure(f"I: running\n{said}\n").next
    assert said in debian.failure(said).why


def test_a_go_build_that_fails_says_so_and_goes_on() -> None:
    failure = go_builds.failure("kubelet", "# k8s.io/kubernetes\nlink: no space left on device\n")
    assert "df -h" in failure.next
    assert "meshcourse images make" in go_builds.failure("kubelet", "dial tcp: i/o timeout").next


def test_the_nodes_programs_are_of_the_api_servers_version() -> None:
    assert made.VERSIONS[made.KUBERNETES] == settings.KUBERNETES
    assert made.KUBERNETES == "1.36"
    assert len(node_image.key()) == 12


def test_another_set_of_tags_is_another_set_of_images() -> None:
    assert made.key(["nginx:1"]) != made.key(["nginx:2"])
    assert made.key(["a", "b"]) == made.key(["b", "a"])
    assert made.key(["a"], "1.28") != made.key(["a"])


def test_an_older_kubernetes_is_built_from_its_own_module_and_says_its_version() -> None:
    flags = go_builds.flags_of("1.28.15")
    assert "-X k8s.io/component-base/version.gitVersion=v1.28.15" in flags[-1]
    assert "-X k8s.io/component-base/version.gitMinor=28" in flags[-1]
    assert settings.KUBERNETES not in " ".join(flags)
    written = (
        "replace (\n\tgithub.com/a/b => github.com/a/b v1\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/gengo => k8s.io/gengo v0\n)\n"
    )
    content, parts = go_builds.published(written, "1.28.15")
    assert content == written.replace("./staging/src/k8s.io/api", "k8s.io/api v0.28.15")
    assert parts == ("k8s.io/api",)


def test_types_that_want_a_definition_are_found_by_their_mark(tmp_path: Path) -> None:
    for package, text in (
        ("v1", "\n// +k8s:openapi-gen=true\npackage v1\n"),
        ("v2", "package v2\n"),
        ("example/v1", "\n// +k8s:openapi-gen=true\n"),
    ):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "doc.go").write_text(text)
    assert list(go_builds.defining("k8s.io/api", tmp_path)) == ["k8s.io/api/v1"]


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("docker.io/library/nginx:latest", ("library/nginx", "latest")),
        ("registry.istio.io/release/pilot:1.31.0", ("release/pilot", "1.31.0")),
        ("localhost/meshcourse/node:v1.36.3-ab", ("meshcourse/node", "v1.36.3-ab")),
    ],
)
def test_a_registry_of_ones_own_leaves_the_registrys_name_out(reference: str, path: tuple[str, str]) -> None:
    assert registries.path_and_tag(reference) == path
