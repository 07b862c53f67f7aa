from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshcourse.cluster import prerequisites
from meshcourse.cluster.prerequisites import Facts

EVERYTHING = Facts(
    system="Linux",
    machine="x86_64",
    user="ada",
    uid=1000,
    programs={name: f"/usr/bin/{name}" for name in prerequisites.PROGRAMS},
    subuid="ada:100000:65536",
    subgid="ada:100000:65536",
    free_bytes=50_000_000_000,
    state=Path("/home/ada"),
)


def without(*names: str) -> Facts:
    return replace(EVERYTHING, programs={name: path for name, path in EVERYTHING.programs.items() if name not in names})


def test_a_machine_with_everything_passes() -> None:
    assert all(check.ok for check in prerequisites.judge(EVERYTHING))


@pytest.mark.parametrize(
    ("found", "name", "fix"),
    [
        (without("iptables"), "iptables", "sudo apt install iptables"),
        (without("newuidmap"), "uidmap", "sudo apt install uidmap"),
        (replace(EVERYTHING, subuid=""), "subordinate ids", "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada"),
        (replace(EVERYTHING, apparmor_forbids=True), "namespaces", "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        (replace(EVERYTHING, namespaces_refused="Operation not permitted"), "namespaces", "sudo sysctl -w user.max_user_namespaces=15000"),
        (replace(EVERYTHING, free_bytes=10_000_000), "disk", "export MESHCOURSE_STATE=/a/folder/on/a/larger/disk"),
        (replace(EVERYTHING, system="Darwin"), "Linux", "kind create cluster --config kind-config.yaml"),
    ],
)
def test_what_is_missing_is_named_with_its_command(found: Facts, name: str, fix: str) -> None:
    failed = [check for check in prerequisites.judge(found) if not check.ok]
    assert [(check.name, check.fix) for check in failed] == [(name, fix)]
    assert failed[0].why


def test_root_needs_no_subordinate_ids_and_no_uidmap() -> None:
    root = replace(without("newuidmap", "newgidmap"), uid=0, user="root", subuid="", subgid="")
    assert all(check.ok for check in prerequisites.judge(root))


def test_a_root_of_one_id_is_told_so() -> None:
    failed = [check for check in prerequisites.judge(replace(EVERYTHING, uid=0, user="root", ids=1)) if not check.ok]
    assert [check.found for check in failed] == ["this root owns 1 user id, as after `unshare -r` or in a rootless container"]


def test_a_program_that_only_one_image_needs_does_not_stop_the_cluster() -> None:
    checks = {check.name: check for check in prerequisites.judge(without("busybox"))}
    assert checks["busybox"].ok
    assert "sudo apt install busybox" in checks["busybox"].found


def test_few_inotify_instances_bound_the_sidecars_and_are_said_with_the_cure() -> None:
    checks = {check.name: check for check in prerequisites.judge(replace(EVERYTHING, inotify_instances=128))}
    assert checks["inotify"].ok
    assert "enough for 36 sidecars; more: sudo sysctl -w fs.inotify.max_user_instances=1024" in checks["inotify"].found
    many = {check.name: check for check in prerequisites.judge(replace(EVERYTHING, inotify_instances=8192))}
    assert "sysctl" not in many["inotify"].found


def test_this_machine_can_be_looked_at() -> None:
    found = prerequisites.facts()
    assert found.system
    assert found.free_bytes > 0
