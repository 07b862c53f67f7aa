"""The error when istioctl fails: its own message without its logo, and the command most likely to help."""

from __future__ import annotations

import pytest

from meshcourse.kube.commands import Completed
from meshcourse.mesh.install import istioctl

SHIP = "|\\\n| \\\n|__\\____\n \\_____/\n\n"


@pytest.mark.parametrize(
    ("printed", "why", "following"),
    [
        (SHIP + 'Error: profile "no" not found: open profiles/no.yaml', 'Error: profile "no" not found', "meshcourse up ... --istio demo"),
        ("Error: dial tcp 127.0.0.1:6443: connect: connection refused", "Error: dial tcp", "meshcourse status"),
        ("a line\nand another", "a line\nand another", "istioctl install -y    # run it in a terminal"),
    ],
)
def test_why_is_what_istioctl_said_and_next_is_what_helps(printed: str, why: str, following: str) -> None:
    error = istioctl.failure(Completed(("istioctl", "install", "-y"), 1, "", printed))
    assert error.why.startswith(why)
    assert error.next.startswith(following)
