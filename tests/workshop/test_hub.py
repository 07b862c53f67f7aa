"""A real hub: who gets in, what learners reach of each other, what stays when parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import requests
from hub_user import HubUser
from waiting import until

from meshcourse.workshop import limits, preflight, record, running
from meshcourse.workshop.authenticator import ALLOWED

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
Pair = tuple[HubUser, HubUser]
ADA, WANG = "Ada Lovelace", "王小明"


@pytest.fixture(scope="module")
def pair(classroom: Any) -> Pair:
    """Both learners, whose places run."""
    found = classroom.user(ADA), classroom.user(WANG)
    for each in found:
        each.start()
    for each in found:
        each.wait()
    return found


@pytest.fixture(scope="module")
def instructor(classroom: Any) -> HubUser:
    return classroom.user("instructor")


def test_a_wrong_code_an_unknown_name_and_a_guesser_are_told_why(classroom: Any) -> None:
    (_, _, guessed) = classroom.workshop.learners
    stranger = HubUser(classroom.workshop.url, "nobody")
    told = stranger.log_in("Nobody", "x")
    assert told.status_code == 403
    assert "is not one of this workshop" in told.text
    assert "workshop up --add" in told.text
    for _ in range(ALLOWED):
        assert "Invalid username or password" in stranger.log_in(guessed.name, "wrong").text
    told = stranger.log_in(guessed.name, guessed.code)
    assert told.status_code == 429
    assert "Too many wrong codes" in told.text
    assert classroom.user(WANG).account == "learner-02"


def test_one_more_learner_comes_in_without_a_restart(classroom: Any) -> None:
    done = classroom.command("up", "--add", "Cy")
    assert done.returncode == 0, done.stderr
    code = next(line.split()[-1] for line in done.stdout.splitlines() if line.strip().startswith("Cy"))
    assert HubUser(classroom.workshop.url, "cy").log_in("cy", code).status_code == 302


def test_every_learner_has_the_ports_of_the_text_and_a_cluster_of_their_own(pair: Pair) -> None:
    command = "kubectl get --raw /version && meshcourse status"
    code = f"import subprocess; print(subprocess.run({command!r}, shell=True, capture_output=True, text=True).stdout)"
    for each in pair:
        said = each.run(code)
        assert "gitVersion" in said
        assert "http://127.0.0.1:31718" in said


def test_a_learner_reaches_no_file_no_process_and_no_port_of_another(classroom: Any, pair: Pair) -> None:
    """What an attacker would try first, in a kernel of theirs."""
    ada, wang = pair
    theirs = classroom.folder / "learners" / wang.account
    (theirs / "state" / "secret.txt").write_text("secret")
    attack = f"""
import glob, os, socket, subprocess
def tried(what, call):
    try: print(what, '->', call())
    except Exception as error: print(what, '-> refused', type(error).__name__)
tried('file', lambda: open({str(theirs / "state" / "secret.txt")!r}).read())
tried('folder', lambda: os.listdir({str(theirs.parent)!r}))
tried('codes', lambda: open({str(classroom.folder / "workshop.json")!r}).read())
tried('hub', lambda: open({str(classroom.folder / "cookie_secret")!r}).read())
tried('umount', lambda: subprocess.run(['umount', {str(classroom.folder)!r}], check=True))
tried('write', lambda: open({str(Path(running.__file__))!r}, 'a'))
def named(path):
    try: return b'learner-02' in open(path, 'rb').read()
    except OSError: return False
print('processes ->', sum(named(path) for path in glob.glob('/proc/[0-9]*/[ce][mn][dv]*')))
def reach(port):
    with socket.create_connection(('127.0.0.1', port), timeout=3): return 'open'
tried('proxy', lambda: reach({classroom.workshop.port}))
tried('proxy api', lambda: reach({classroom.workshop.proxy_port}))
tried('elsewhere', lambda: socket.create_connection(('192.0.2.1', 80), timeout=3))
print('ids ->', open('/proc/self/uid_map').read().split())
"""
    said = ada.run(attack)
    lines = dict(line.split(" -> ", 1) for line in said.splitlines() if " -> " in line)
    assert "ids" in lines, said
    ids = lines.pop("ids")
    listed = lines.pop("folder")
    assert lines.pop("processes") == "0"
    assert listed == f"['{ada.account}']", said
    assert {what: answer.split()[0] for what, answer in lines.items()} == dict.fromkeys(lines, "refused"), said
    assert len(lines) == 8, said
    if os.geteuid() == 0:
        assert str(theirs.stat().st_uid) not in ids
        assert theirs.stat().st_mode & 0o077 == 0


def test_a_learner_reaches_neither_anothers_server_nor_kernels_nor_the_board(classroom: Any, pair: Pair) -> None:
    ada, wang = pair
    for path in ("api/contents", "api/kernels", "gateway/", "meshcourse/workshop", "lab"):
        answer = ada.session.get(f"{wang.server}{path}", timeout=30)
        assert answer.status_code in {403, 404}, (path, answer.status_code, answer.url)
    assert ada.send("POST", f"{wang.server}api/kernels", json={}).status_code in {403, 404}
    board = f"{classroom.workshop.url}services/board/"
    for path in ("", "learners", "results.csv", "certificates"):
        assert ada.session.get(f"{board}{path}", timeout=30).status_code == 403, path
    for action in ("message", "reset", "catch-up"):
        assert ada.send("POST", f"{board}{action}", json={"to": "*", "text": "x", "chapter": "05-canary"}).status_code == 403
    for path in ("users", f"users/{wang.account}", "proxy"):
        assert ada.send("GET", f"{classroom.workshop.url}hub/api/{path}").status_code in {403, 404}


def test_the_gateways_page_comes_through_the_hub(pair: Pair) -> None:
    ada, _ = pair
    early = ada.session.get(f"{ada.server}gateway/productpage", timeout=30)
    assert (early.status_code, "does not answer yet" in early.text) == (503, True)
    files = "".join(f"\nlab.apply('manifests/04_bookinfo/{name}')" for name in ("01-bookinfo.yaml", "02-gateway.yaml"))
    said = ada.run(f"from meshcourse import lab\nlab.chapter('04-bookinfo'){files}")
    assert "the ingress gateway is at http://127.0.0.1:31718" in said
    until(lambda: ada.session.get(f"{ada.server}gateway/productpage", timeout=30).ok, 60)
    page = ada.session.get(f"{ada.server}gateway/productpage", timeout=30)
    assert f'action="/class/user/{ada.account}/gateway/login"' in page.text
    page = ada.session.post(f"{ada.server}gateway/login", data={"username": "jason"}, headers={"Referer": page.url}, timeout=60)
    assert page.url == f"{ada.server}gateway/productpage"
    assert "jason (" in page.text


def test_the_board_shows_an_outcome_within_two_seconds_and_its_message_arrives(classroom: Any, pair: Pair, instructor: HubUser) -> None:
    ada, wang = pair
    board = f"{classroom.workshop.url}services/board/"
    page = instructor.session.get(board, timeout=30)
    assert page.ok
    xsrf = json.loads(page.text.split("const facts = ", 1)[1].split(";\n", 1)[0])["xsrf"]

    def row() -> dict[str, object]:
        listed = instructor.session.get(f"{board}learners", timeout=30).json()["learners"]
        return next(each for each in listed if each["account"] == ada.account)

    assert "not yet" not in str(row())
    ada.run('from meshcourse import lab\nlab.chapter("05-canary")\nlab.check("5.1")')
    took = until(lambda: (row()["last"] or {}).get("number") == "5.1", 10)
    assert took < 2
    assert row()["cluster"] == "runs"
    said = instructor.session.post(
        f"{board}message", json={"to": "*", "text": "Break at eleven"}, headers={"X-XSRFToken": xsrf}, timeout=30
    )
    assert said.ok, said.text
    assert set(said.json()["said"].values()) == {""}
    for each in (ada, wang):
        assert each.session.get(f"{each.server}meshcourse/workshop", timeout=30).json()["text"] == "Break at eleven"
    assert "Ada Lovelace,5.1," in instructor.session.get(f"{board}results.csv", timeout=30).text


def test_only_the_instructor_reads_a_learners_notebooks_and_the_learners_server_makes_the_page(
    classroom: Any, pair: Pair, instructor: HubUser
) -> None:
    ada, wang = pair
    board = f"{classroom.workshop.url}services/board/"
    assert instructor.session.get(board, timeout=30).ok
    listed = instructor.session.get(f"{board}notebooks/{ada.account}/", timeout=60).text
    assert "00_start.ipynb" in listed
    shown = instructor.session.get(f"{board}notebooks/{ada.account}/00_start.ipynb", timeout=60)
    assert shown.ok
    assert shown.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    for name in ("none.ipynb", "..%2F..%2Fapi", "words.md"):
        assert instructor.session.get(f"{board}notebooks/{ada.account}/{name}", timeout=60).status_code in {404, 502}, name
    assert "does not run" in instructor.session.get(f"{board}notebooks/nobody/", timeout=60).text
    for path in (f"{ada.account}/", f"{wang.account}/00_start.ipynb"):
        assert ada.session.get(f"{board}notebooks/{path}", timeout=60).status_code == 403


def test_notebooks_that_a_learner_has_deleted_come_back_from_the_board(classroom: Any, pair: Pair, instructor: HubUser) -> None:
    ada, _ = pair

    def listed(folder: str = "") -> set[str]:
        return {each["name"] for each in ada.session.get(f"{ada.server}api/contents/{folder}", timeout=30).json()["content"]}

    before, manifests = listed(), listed("manifests")
    assert "05_canary.ipynb" in before
    ada.run(
        "import pathlib, shutil\nown = pathlib.Path('~/state/notebooks').expanduser()\nshutil.rmtree(own / 'manifests')\n"
        "for each in own.glob('*.ipynb'): each.unlink()"
    )
    assert not [each for each in listed() if each.endswith(".ipynb")]
    page = instructor.session.get(f"{classroom.workshop.url}services/board/", timeout=30)
    xsrf = json.loads(page.text.split("const facts = ", 1)[1].split(";\n", 1)[0])["xsrf"]
    given = {"to": ada.account, "chapter": "05-canary"}
    answer = instructor.session.post(
        f"{classroom.workshop.url}services/board/catch-up", json=given, headers={"X-XSRFToken": xsrf}, timeout=200
    )
    assert answer.json() == {"said": {ADA: ""}, "absent": []}
    assert listed() >= {each for each in before if ".before-" not in each}
    assert listed("manifests") == manifests


def test_a_preflight_code_reaches_the_board_without_a_login(classroom: Any, instructor: HubUser) -> None:
    board = f"{classroom.workshop.url}services/board/"
    assert "is not a code" in requests.post(f"{board}preflight", {"name": "Eve", "code": "MC-XXXX"}, timeout=30).text
    code = preflight.code(preflight.Report((True, False), 8, 4))
    preflight.send(classroom.workshop.url, "<b>Eve", code)
    assert instructor.session.get(board, timeout=30).ok

    def codes() -> list[object]:
        return list(instructor.session.get(f"{board}learners", timeout=30).json()["preflight"])

    until(lambda: codes() == [{"name": "<b>Eve", "ready": False, "says": "no: line 2; 8 GB free, 4 cores"}], 10)
    assert "/hub/api/oauth2/authorize" in requests.get(f"{board}learners", timeout=30, allow_redirects=False).headers["Location"]


def test_a_killed_cluster_is_seen_on_the_board_and_a_chapter_starts_it_again(classroom: Any, pair: Pair, instructor: HubUser) -> None:
    _, wang = pair
    board = f"{classroom.workshop.url}services/board/"
    assert instructor.session.get(board, timeout=30).ok

    def cluster() -> str:
        listed = instructor.session.get(f"{board}learners", timeout=30).json()["learners"]
        return str(next(each["cluster"] for each in listed if each["account"] == wang.account))

    assert cluster() == "runs"
    wang.run(
        "import os, pathlib\n"
        "for file in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    if b'meshcourse.cluster.daemon' in file.read_bytes(): os.kill(int(file.parent.name), 9)"
    )
    until(lambda: cluster().startswith("not running"), 20)
    assert "the ingress gateway is at" in wang.run("from meshcourse import lab\nlab.chapter('00-start')", 300)
    until(lambda: cluster() == "runs", 20)


def test_limits_hold_in_every_kernel(pair: Pair) -> None:
    ada, _ = pair
    said = ada.run("try: bytearray(5 << 30)\nexcept MemoryError: print('refused')\nprint(open('/proc/self/oom_score_adj').read())")
    assert said.split() == ["refused", str(limits.OOM_SCORE)]


def test_after_the_hub_is_killed_learners_go_on_within_thirty_seconds(classroom: Any, pair: Pair, instructor: HubUser) -> None:
    ada, _ = pair
    assert instructor.session.get(f"{classroom.workshop.url}services/board/", timeout=30).ok
    assert ada.account in running.sandboxes()
    made = ada.send("POST", f"{ada.server}api/kernels", json={}).json()["id"]
    (hub,) = _hubs(classroom.folder)
    os.kill(hub, signal.SIGKILL)
    until(lambda: hub not in _hubs(classroom.folder), 5)
    took = until(lambda: _served(ada), 30)
    assert took < 30
    assert made in ada.session.get(f"{ada.server}api/kernels", timeout=30).text
    assert ada.account in running.sandboxes()
    assert ada.run("print(6 * 7)") == "42\n"
    board = f"{classroom.workshop.url}services/board/learners"
    until(lambda: _answered(instructor, board), 30)  # without a new login
    assert instructor.session.get(board, timeout=30).json()["learners"]


def test_a_hub_that_is_killed_while_a_server_starts_starts_it_again(classroom: Any, pair: Pair) -> None:
    _, wang = pair
    wang.run("open('kept.txt', 'w').write('kept')")
    wang.send("DELETE", f"{classroom.workshop.url}hub/api/users/{wang.account}/server").raise_for_status()
    until(lambda: wang.account not in running.sandboxes(), 60)
    wang.start()
    until(lambda: wang.account in running.sandboxes(), 60)
    (hub,) = _hubs(classroom.folder)
    os.kill(hub, signal.SIGKILL)
    until(lambda: hub not in _hubs(classroom.folder), 5)
    until(lambda: _answered(wang, f"{classroom.workshop.url}hub/health"), 60)
    wang.start()
    until(lambda: _served(wang), 120)
    assert wang.run("print(open('kept.txt').read())") == "kept\n"


def test_down_keep_and_up_in_the_middle_of_the_day_keep_names_codes_and_work(classroom: Any, pair: Pair) -> None:
    ada, _ = pair
    ada.run('from meshcourse import lab\nlab.chapter("05-canary")\nlab.check("5.1")')
    learners, work = classroom.workshop.learners, classroom.folder / "learners" / ada.account / "state"
    assert classroom.command("down", "--keep").returncode == 0
    assert not _hubs(classroom.folder)
    assert not running.sandboxes()
    done = classroom.command("up", "--base-url", "/class/", "--port", str(classroom.workshop.port))
    assert done.returncode == 0, done.stderr
    assert record.require().learners[: len(learners)] == learners
    assert '"5.1"' in (work / "progress-attempts.jsonl").read_text(encoding="utf-8")
    assert (work / "notebooks" / "05_canary.ipynb").is_file()
    classroom.user(ADA)


def _answered(user: HubUser, url: str) -> bool:
    """Whether the hub's proxy leads somewhere again: it refuses or cuts connections while it starts."""
    try:
        return bool(user.session.get(url, timeout=30, allow_redirects=False).ok)
    except OSError:
        return False


def _served(user: HubUser) -> bool:
    try:
        return user.is_served()
    except OSError:
        return False


def _hubs(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
            if b"jupyterhub" in words and (entry.parent / "cwd").readlink() == folder:
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def test_down_leaves_no_process_and_no_file(classroom: Any, pair: Pair) -> None:
    """The last test: it ends the class."""
    done = classroom.command("down", "--yes")
    assert done.returncode == 0, done.stderr
    assert "results: " in done.stderr
    assert not classroom.folder.exists()
    assert not _hubs(classroom.folder)
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(classroom.folder).encode() in _words(entry)]


def _words(entry: Path) -> bytes:
    try:
        return entry.read_bytes()
    except OSError:
        return b""
