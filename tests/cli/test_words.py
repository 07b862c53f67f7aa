"""Help texts, and errors in three parts."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from meshcourse.backends import records
from meshcourse.cli import display
from meshcourse.engine import binaries

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = ["doctor", "up", "status", "down", "env", "logs", "lab", "progress", "node", "images", "engine", "notebooks", "workshop"]


def test_help_lists_every_command_and_shows_a_first_session(meshcourse: Run) -> None:
    said = meshcourse("--help").stdout
    assert re.findall(r"^  (\w+)  +[A-Z]", said.partition("Commands:")[2], re.MULTILINE) == COMMANDS
    assert re.findall(r"meshcourse (?:doctor|up|lab|env|down)\b", said) == [
        f"meshcourse {word}" for word in ("doctor", "up", "lab", "env", "down")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_an_example_of_itself(meshcourse: Run, command: str) -> None:
    done = meshcourse(command, "--help")
    assert done.returncode == 0
    assert re.search(rf"^ +(eval \"\$\()?meshcourse {command}", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [
        ("engine", "status"),
        ("engine", "build"),
        ("engine", "wheel"),
        ("engine", "prune"),
        ("node", "list"),
        ("node", "stop"),
        ("node", "start"),
        ("notebooks", "check"),
        ("images", "pull"),
        ("images", "load"),
        ("images", "prune"),
        *(("workshop", word) for word in ("up", "down", "sheet", "plan", "preflight", "bundle")),
    ],
)
def test_second_words_have_help(meshcourse: Run, words: tuple[str, ...]) -> None:
    assert meshcourse(*words, "--help").returncode == 0


@pytest.mark.parametrize(
    ("words", "what", "next_step"),
    [
        (("status",), 'Cluster "meshcourse" does not run.', "meshcourse up"),
        (("env", "--name", "other"), 'Cluster "other" does not run.', "meshcourse up --name other"),
        (("up", "--name", "Bad_Name"), '"Bad_Name" cannot be the name of a cluster.', "meshcourse up --name my-mesh"),
        (("lab", "--name", "Bad_Name"), '"Bad_Name" cannot be the name of a cluster.', "meshcourse up --name my-mesh"),
        (("logs", "etcd"), 'Cluster "meshcourse" has no logs.', "meshcourse up --name meshcourse"),
    ],
)
def test_an_error_says_what_and_what_to_type_next_without_a_traceback(
    meshcourse: Run, words: tuple[str, ...], what: str, next_step: str
) -> None:
    done = meshcourse(*words)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == f"✘ {what}"
    assert lines[-1] == f"  Next: {next_step}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "typed", "shown"),
    [
        ("meshcourse up ... --istio demo    # or none", "up --istio nope --name x", "meshcourse up --name x --istio demo    # or none"),
        ("meshcourse up ... --ingress-port 0", "up --name=x --ingress-port=80 -y", "meshcourse up --name=x -y --ingress-port 0"),
        ("meshcourse up ... --ingress-port 0", "lab --name x --port 9", "meshcourse up --name x --ingress-port 0"),
        ("meshcourse progress ... --yes", "progress 5 --reset", "meshcourse progress 5 --reset --yes"),
        ("meshcourse up ... --istio demo", "", "meshcourse up --istio demo"),
        ("meshcourse engine build    # or meshcourse up ... -y", "up --name x", "meshcourse engine build    # or meshcourse up ... -y"),
    ],
)
def test_next_keeps_what_was_typed_but_for_what_it_sets_itself(command: str, typed: str, shown: str) -> None:
    assert display.completed(command, typed.split()) == shown


def test_next_after_a_wrong_option_has_the_others(meshcourse: Run) -> None:
    done = meshcourse("up", "--name", "x", "--backend", "existing", "--kubeconfig", "/none", "--context", "a b")
    assert done.stderr.splitlines()[-1] == "  Next: meshcourse up --name x --backend existing --context 'a b' --kubeconfig FILE"


def test_what_is_not_known_of_a_silent_cluster_is_not_told(meshcourse: Run, silent: tuple[str, ...]) -> None:
    shown = meshcourse("status", "--name", silent[0]).stdout
    assert re.findall(r"(node|Istio) +unknown", shown) == ["node", "Istio"]
    assert "The API server does not answer" in shown


def test_a_learner_of_the_record_does_not_install_istio_either(meshcourse: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    records.write(records.Record("ada", records.EXISTING, 1.5, learner="ada"))
    assert "A learner does not install Istio" in meshcourse("up", "--name", "ada", "--istio", "demo").stderr


def test_a_traceback_is_one_variable_away(meshcourse: Run) -> None:
    assert "Traceback" in meshcourse("status", environment={"MESHCOURSE_DEBUG": "1"}).stderr


@pytest.mark.parametrize("words", [("frobnicate",), ("up", "--ingress-port", "70000"), ("logs",), ("status", "-o", "xml")])
def test_words_that_make_no_sense_are_told_apart_by_the_exit_code(meshcourse: Run, words: tuple[str, ...]) -> None:
    assert meshcourse(*words).returncode == 2


def test_an_engine_folder_that_lacks_programs_is_not_built_over(meshcourse: Run, tmp_path: Path) -> None:
    done = meshcourse("engine", "build", environment={"MESHCOURSE_ENGINE": str(tmp_path)})
    assert done.returncode == 1
    assert "lacks etcd" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_images_says_what_really_runs(meshcourse: Run) -> None:
    said = meshcourse("images").stdout
    assert re.search(r"docker\.io/library/nginx +any +nginx", said)
    assert re.search(r"proxyv2 +1\.31\.0\* +Envoy is the upstream build", said)


def test_engine_shows_the_table(meshcourse: Run) -> None:
    said = meshcourse("engine").stdout
    assert re.search(r"kubernetes +v1\.36\.3 +k8s\.io/kubernetes +(yes|no)", said)
    assert re.search(r"istioctl +1\.31\.0 +istio\.io/istio +(yes|no)", said)


def test_prune_deletes_engines_of_other_versions_only(meshcourse: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "engine"
    for name in ("0" * 16, f"{'1' * 16}.building", binaries.key()):
        (folder / name).mkdir(parents=True)
        (folder / name / "program").write_bytes(bytes(2_000_000))
    (folder / f"{'0' * 16}.lock").touch()
    done = meshcourse("engine", "prune", environment={"MESHCOURSE_CACHE": str(tmp_path / "cache")})
    assert done.returncode == 0
    assert "4 MB freed" in done.stderr
    assert [path.name for path in folder.iterdir()] == [binaries.key()]


def test_down_is_no_error_when_nothing_runs(meshcourse: Run) -> None:
    assert meshcourse("down").returncode == 0
    assert "no cluster runs" in meshcourse("down", "--all").stderr


@pytest.fixture
def silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The names of two clusters in use whose API servers do not run."""
    monkeypatch.setenv("MESHCOURSE_STATE", str(tmp_path / "state"))
    entry = {"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}, "user": {}, "context": {"cluster": "gone", "user": "gone"}}
    content = {"clusters": [entry], "users": [entry], "contexts": [entry], "current-context": "gone"}
    for name in ("one", "two"):
        record = records.write(records.Record(name, records.EXISTING, 1.5, owner=f"{name}-1"))
        record.kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    return "one", "two"


def test_down_of_all_goes_on_after_one_that_does_not_answer(meshcourse: Run, silent: tuple[str, ...]) -> None:
    done = meshcourse("down", "--all")
    assert done.returncode == 1
    assert re.findall(r"in cluster (\w+) could not be removed", done.stderr) == list(silent)


def test_what_only_authors_need_is_named_where_it_is_not_installed(meshcourse: Run, tmp_path: Path) -> None:
    (tmp_path / "jupytext.py").write_text("raise ModuleNotFoundError(name=__name__)\n")
    done = meshcourse("notebooks", "check", environment={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "The Python package jupytext is not installed." in done.stderr
    assert "pip install -e '.[dev]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_has_words_for_every_source_of_images() -> None:
    from meshcourse.cli import options, status  # noqa: PLC0415 - this test alone

    assert set(status._IMAGES) == {each.value for each in options.ImageSource}
