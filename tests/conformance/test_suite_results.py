"""How results are read, kept and shown; the specs themselves are `make conformance`."""

from __future__ import annotations

from pathlib import Path

import suite_results as results
from suite_results import Refusal, Result

JUNIT = """<testsuites><testsuite name="e2e">
<testcase name="[It] [sig-node] good [Conformance]" status="passed" time="1.25">
<system-err>STEP: Destroying namespace "pods-12" for this suite.</system-err></testcase>
<testcase name="[It] [sig-node] empty [Conformance]" status="passed" time="2">
<system-err>Destroying namespace "pods-34" for this suite.</system-err></testcase>
<testcase name="[It] [sig-apps] bad [Conformance]" status="failed" time="3"><failure message="it
 | broke">...</failure><system-err>namespace "job-56"</system-err></testcase>
<testcase name="[It] [sig-apps] other" status="skipped" time="0"></testcase>
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="0"></testcase>
</testsuite></testsuites>"""


def test_a_pass_with_a_refused_pod_is_hollow_and_a_skipped_spec_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    refused = [Refusal("pods-34", "p", "HostIPCNotSupported", "no"), Refusal("job-56", "j", "HostIPCNotSupported", "no")]
    found = results.read_junit(path, refused, "2026-11-30", "abc")
    assert {name: each.outcome for name, each in found.items()} == {
        "[sig-node] good [Conformance]": "passed",
        "[sig-node] empty [Conformance]": "hollow",
        "[sig-apps] bad [Conformance]": "failed",
    }
    assert found["[sig-apps] bad [Conformance]"].why == "it | broke (HostIPCNotSupported: no)"


def test_only_the_nodes_own_refusals_count() -> None:
    lines = [
        "a\tp\tHostIPCNotSupported\twhy\n",
        "a\tp\tNodePorts\tno port\n",
        "a\tp\tFailedMount\tthe embedded node has no nfs volumes\n",
        "cut",
    ]
    assert [each.reason for each in results.refusals(lines)] == ["HostIPCNotSupported", "FailedMount"]


def test_the_page_counts_what_was_not_run_as_not_run() -> None:
    specs = ["[sig-node] a [Conformance]", "[sig-node] b [Conformance]", "[sig-apps] c [Conformance]"]
    known = {"root": {specs[0]: Result("passed", "", 1, "2026-11-30", "abc"), specs[2]: Result("failed", "x|y", 1, "2026-11-29", "abc")}}
    text = results.page(specs, known, "Kubernetes v1")
    assert "| sig-node | 2 | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 2 |" in text
    assert "| all | 3 | 1 | 1 | 0 | 1 | 0 | 0 | 0 | 3 |" in text
    assert "- 1 specs on 2026-11-29, commit abc" in text
    assert "x/y" in text
    assert "Nothing has been run yet." in text


def test_names_of_specs_are_read_from_kubernetes_own_list(tmp_path: Path) -> None:
    path = tmp_path / "conformance.yaml"
    path.write_text(
        "- testname: A\n  codename: '[sig-node] first one that\n    goes on [Conformance]'\n"
        "  release: v1\n- codename: '[sig-apps] x [Conformance]'\n"
    )
    assert results.all_specs(path) == ["[sig-node] first one that goes on [Conformance]", "[sig-apps] x [Conformance]"]
