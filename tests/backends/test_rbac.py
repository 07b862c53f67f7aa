"""The list of rights: one file, shown by docs/existing.md, and read back as requests to the API server."""

from __future__ import annotations

from pathlib import Path

import yaml

from meshcourse.backends import rbac
from meshcourse.backends.rbac import Right

ROOT = Path(__file__).parents[2]


def test_readme_shows_the_very_list_that_is_asked_for() -> None:
    text = (ROOT / "docs" / "existing.md").read_text()
    block = text.partition("<!-- rights -->\n```yaml\n")[2].partition("```")[0]
    assert list(yaml.safe_load_all(block)) == list(yaml.safe_load_all(rbac.FILE.read_text()))


def test_every_verb_on_every_resource_is_one_question() -> None:
    asked = rbac.needed()
    assert len(asked) == len(set(asked))
    assert Right("", "pods/exec", "create") in asked
    assert Right("", "serviceaccounts/token", "create", "istio-system") in asked
    assert Right("networking.istio.io", "*", "*") in asked


def test_a_question_names_subresource_and_namespace_apart() -> None:
    assert Right("", "pods/log", "get", "team").review()["spec"]["resourceAttributes"] == {
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "verb": "get",
        "namespace": "team",
    }


def test_what_is_missing_is_said_by_resource() -> None:
    found = [Right("", "pods", "list"), Right("", "pods", "watch"), Right("apps", "deployments", "get", "team")]
    error = rbac.lacking(found, who="Context ann")
    assert "Context ann" in error.what
    assert error.why.splitlines()[1:] == ["  list, watch: pods", "  get: deployments.apps in namespace team"]
    assert str(rbac.FILE) in error.next
