"""A Connection that cannot be used gives an error with the next command."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.core import errors
from meshcourse.kube import commands, resources
from meshcourse.kube.connection import Connection


def test_kubeconfig_that_is_not_there_is_a_cluster_error(tmp_path: Path) -> None:
    with pytest.raises(errors.ClusterError) as caught:
        Connection(tmp_path / "absent", "http://127.0.0.1:1").core()
    assert "absent" in caught.value.what
    assert "meshcourse" in caught.value.next


def test_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
        "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n",
        encoding="utf-8",
    )
    connection = Connection(kubeconfig, "http://127.0.0.1:1")
    with pytest.raises(errors.KubernetesError, match="does not answer") as caught:
        resources.read(connection.core().read_namespace, "default")
    assert caught.value.code == 0


def test_program_that_is_not_on_path_is_a_missing_prerequisite(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "kubeconfig", "http://127.0.0.1:1", {"PATH": str(tmp_path)})
    with pytest.raises(errors.MissingPrerequisite, match="istioctl is not on PATH") as caught:
        commands.run(connection, ["istioctl", "version"])
    assert caught.value.next == "meshcourse doctor"


def test_program_that_hangs_is_ended(tmp_path: Path) -> None:
    connection = Connection(tmp_path / "kubeconfig", "http://127.0.0.1:1", {})
    with pytest.raises(errors.MeshError, match="did not end"):
        commands.run(connection, ["sleep", "60"], timeout=0.2)


def test_lines_are_reported_while_the_program_runs(tmp_path: Path) -> None:
    heard: list[str] = []
    done = commands.run(Connection(tmp_path / "k", "", {}), ["bash", "-c", "echo one; echo two >&2; exit 3"], report=heard.append)
    assert sorted(heard) == ["one", "two"]
    assert (done.code, done.stdout, done.stderr) == (3, "one\n", "two\n")
