"""A run's plan is computed from the manifest, with nothing running."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshcourse.node.container import plan
from meshcourse.node.images import Image
from meshcourse.node.images.passwd import Accounts
from meshcourse.node.network import PodNetns
from meshcourse.node.not_yet import NotYet
from meshcourse.node.volume.volumes import Mount

IMAGE = Image(
    names=("web",), identity="web", entrypoint=("/web",), environment={"PORT": "80", "HOME": "/srv"}, working_dir="/srv", user="7:8"
)
POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"securityContext": {"fsGroup": 9}}}


class Nothing:
    """No ConfigMap and no Secret."""

    def get(self, *_: object) -> None:
        return None

    def list(self, *_: object) -> list[Any]:
        return []


PLACE = plan.Place(
    netns=PodNetns("u", "10.244.0.7", Path("/run/netns/u")),
    pid=None,
    shm=Path("/pod/shm"),
    etc=Path("/pod/etc"),
    scratch=Path("/pod/0"),
    layers=Path("/layers"),
    hostname="web",
    host_ip="172.18.0.2",
    message_file=Path("/pod/0/termination-log"),
    accounts=Accounts(),
    objects=Nothing(),
    mounts=lambda _, known: (Mount(Path(f"/volumes/{known['WHICH']}"), "/data", read_only=True),),
)
CONTAINER: dict[str, Any] = {
    "name": "app",
    "env": [{"name": "WHICH", "value": "one"}, {"name": "PORT", "value": "81"}],
    "args": ["$(PORT)"],
}


def test_the_manifest_wins_over_the_image_and_what_neither_says_is_the_nodes() -> None:
    spec = plan.plan(POD, CONTAINER, IMAGE, PLACE)
    assert spec.argv == ("/web", "81")
    assert (spec.uid, spec.gid, spec.groups, spec.working_dir) == (7, 8, (9,), "/srv")
    assert {"PORT": "81", "HOME": "/srv", "HOSTNAME": "web", "WHICH": "one"}.items() <= spec.environment.items()
    assert [(str(each.source), each.target) for each in spec.mounts] == [
        ("/volumes/one", "/data"),
        ("/pod/shm", "/dev/shm"),
        ("/pod/0/termination-log", "/dev/termination-log"),
    ]


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"name": "app", "envFrom": [{"configMapRef": {"name": "absent"}}]}, "absent"),
        ({"name": "app", "securityContext": {"runAsNonRoot": True, "runAsUser": 0}}, "non-root"),
    ],
)
def test_what_is_missing_is_said_in_kubelets_words(container: dict[str, Any], words: str) -> None:
    with pytest.raises(NotYet, match=words) as caught:
        plan.plan(POD, container, IMAGE, replace(PLACE, mounts=lambda *_: ()))
    assert caught.value.reason == "CreateContainerConfigError"
