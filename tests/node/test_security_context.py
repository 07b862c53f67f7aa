from __future__ import annotations

from typing import Any

import pytest

from meshcourse.node.spec import security_context
from meshcourse.node.spec.security_context import LinuxUser


def pod(**context: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"securityContext": context}}


def container(**context: Any) -> dict[str, Any]:
    return {"name": "c", "securityContext": context}


@pytest.mark.parametrize(
    ("of_pod", "of_container", "image_user", "identity"),
    [
        ({}, {}, "", LinuxUser(0, 0)),
        ({}, {}, "1337", LinuxUser(1337, 0)),
        ({}, {}, "1337:1338", LinuxUser(1337, 1338)),
        ({"runAsUser": 5, "runAsGroup": 6}, {}, "1337", LinuxUser(5, 6)),
        ({"runAsUser": 5, "runAsGroup": 6}, {"runAsUser": 7}, "", LinuxUser(7, 6)),
        ({"fsGroup": 9, "supplementalGroups": [8]}, {}, "", LinuxUser(0, 0, (8, 9))),
    ],
)
def test_the_container_wins_over_the_pod_and_the_pod_over_the_image(
    of_pod: dict[str, Any], of_container: dict[str, Any], image_user: str, identity: LinuxUser
) -> None:
    assert security_context.security(pod(**of_pod), container(**of_container), image_user).identity == identity


@pytest.mark.parametrize(
    ("context", "image_user", "words"),
    [
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "daemon", "image has non-numeric user (daemon)"),
        ({"runAsUser": 0}, "1337", "container's runAsUser breaks non-root policy"),
    ],
)
def test_run_as_non_root_refuses_root_in_kubelets_words(context: dict[str, Any], image_user: str, words: str) -> None:
    with pytest.raises(security_context.InvalidSecurity, match=words.replace("(", r"\(").replace(")", r"\)")):
        security_context.security(pod(runAsNonRoot=True), container(**context), image_user)


def test_run_as_non_root_accepts_a_number() -> None:
    assert security_context.security(pod(runAsNonRoot=True), container(), "1337").identity.uid == 1337


def test_capabilities_lose_their_prefix() -> None:
    found = security_context.security(
        pod(), container(capabilities={"add": ["CAP_NET_ADMIN"], "drop": ["ALL"]}, readOnlyRootFilesystem=True), ""
    )
    assert (found.add_capabilities, found.drop_capabilities, found.read_only_root) == (("NET_ADMIN",), ("ALL",), True)
