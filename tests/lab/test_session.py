"""What lab.chapter sets in the environment, and the error of calls before it has run."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from meshcourse.core import errors
from meshcourse.course import chapters
from meshcourse.lab import exercises, requests, rivals, session, start
from meshcourse.traffic.targets import Target

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "b",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "ca.crt"}}],
    "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}, {"name": "b", "context": {"cluster": "c", "user": "u"}}],
    "users": [{"name": "u", "user": {"client-certificate": "u.crt", "client-key": "u.key"}}],
}


def test_copy_of_the_kubeconfig_has_the_namespace_and_the_original_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    original = tmp_path / "kubeconfig"
    original.write_text(yaml.safe_dump(KUBECONFIG))
    for name in ("ca.crt", "u.crt", "u.key"):
        (tmp_path / name).write_text(name)
    copy = session.in_namespace(original, chapters.find("05-canary"))
    found = yaml.safe_load(copy.read_text())
    assert [(each["name"], each["context"]["namespace"]) for each in found["contexts"]] == [("b", "canary")]
    assert base64.b64decode(found["clusters"][0]["cluster"]["certificate-authority-data"]) == b"ca.crt"
    assert base64.b64decode(found["users"][0]["user"]["client-key-data"]) == b"u.key"
    assert copy.stat().st_mode & 0o077 == 0
    assert yaml.safe_load(original.read_text()) == KUBECONFIG


def test_unknown_chapter_names_those_that_there_are() -> None:
    with pytest.raises(errors.CourseError, match="99-none") as caught:
        start.chapter("99-none")
    assert "05-canary" in caught.value.why


def test_unknown_exercise_names_those_that_there_are() -> None:
    with pytest.raises(errors.CourseError, match=r"9\.9") as caught:
        exercises.hint("9.9")
    assert "5.1" in caught.value.why


def test_hints_come_in_order_and_end_with_the_way_to_the_solution() -> None:
    said = [str(exercises.hint("5.1")) for _ in range(4)]
    assert [each.split(":")[0] for each in said] == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Hint 3 of 3"]
    assert 'lab.solution("5.1")' in said[2]
    assert "lab.solution" not in said[0]


def test_solution_can_be_applied_as_it_stands() -> None:
    for number in ("5.1", 5.2):
        assert "kind: VirtualService" in str(exercises.solution(number))


def test_curl_command_says_all_that_is_sent() -> None:
    target = Target("http://127.0.0.1:31718/", headers={"x-team": "internal"}, cookies={"beta": "yes"}, host="shop.example.com")
    shown = requests.curl(target)
    assert shown == "curl -i http://127.0.0.1:31718/ -H 'Host: shop.example.com' -H 'x-team: internal' -b beta=yes"


def test_gateways_that_take_everything_are_told_from_those_that_do_not() -> None:
    def gateway(**server: object) -> dict[str, object]:
        return {"spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]}}

    assert rivals.takes_all(gateway(port={"number": 80}, hosts=["*"]))
    assert not rivals.takes_all(gateway(port={"number": 80}, hosts=["a.example.com"]))
    assert not rivals.takes_all(gateway(port={"number": 443}, hosts=["*"]))
    assert not rivals.takes_all({"spec": {"selector": {"istio": "other"}, "servers": [{"port": {"number": 80}, "hosts": ["*"]}]}})
