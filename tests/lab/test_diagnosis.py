"""lab.doctor: its findings for this machine, for a cluster that does not answer, and for what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshcourse.cluster.prerequisites import Check
from meshcourse.lab import diagnosis
from meshcourse.lab.diagnosis import Diagnosis

MISSING = Check("iptables", ok=False, found="iptables not installed", why="kube-proxy <writes> its rules", fix="sudo apt install iptables")
THERE = Check("disk", ok=True, found=f"80 GB free under {Path.home()}/state", why="", fix="")


def test_missing_program_is_named_with_why_and_the_command_that_brings_it() -> None:
    found = Diagnosis("embedded", (THERE, MISSING))
    assert not found.ok
    text = repr(found)
    for words in ("✔ disk", "✘ iptables", "missing: iptables", "Why: kube-proxy", "Next: sudo apt install iptables"):
        assert words in text
    page = found._repr_html_()
    assert "kube-proxy &lt;writes&gt;" in page
    assert "<writes>" not in page


def test_nothing_missing_is_said_in_one_line_and_the_home_folder_is_not_told() -> None:
    found = Diagnosis("embedded", (THERE,))
    assert found.ok
    assert repr(found).splitlines()[-1] == "nothing is missing"
    assert "~/state" in repr(found)
    assert str(Path.home()) not in repr(found)


def test_backend_is_the_cluster_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MESHCOURSE_INGRESS_URL", raising=False)
    monkeypatch.setenv("MESHCOURSE_CLUSTER", "mine")
    assert "embedded, a cluster called mine" in diagnosis.doctor().backend
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("MESHCOURSE_INGRESS_URL", "http://127.0.0.1:1")
    found = diagnosis.doctor()
    assert found.backend.startswith("existing")
    assert not found.checks[-1].ok
    assert found.checks[-1].fix


@pytest.mark.cluster
def test_cluster_that_answers_is_said_to(cluster: object) -> None:
    checks = diagnosis.existing(cluster.kubeconfig, cluster.ingress_url)  # type: ignore[attr-defined]
    found = {check.name: check for check in checks}
    assert found["cluster"].ok
    assert "1 node;" in found["cluster"].found
    assert "Envoys" in found
