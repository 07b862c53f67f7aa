"""A pulled image without a cluster: its config, its accounts, its links, its unpacking, and the meaning of crane's output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from meshcourse.core.errors import ClusterError
from meshcourse.node import images
from meshcourse.node.container import runs
from meshcourse.node.images.passwd import Accounts, inside
from meshcourse.node.pulling import crane, store, unpacking
from meshcourse.node.spec import security_context
from meshcourse.node.spec.security_context import LinuxUser

DIGEST = "sha256:" + "5" * 64


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHCOURSE_CACHE", str(tmp_path))
    return tmp_path / "images"


def test_an_images_config_says_what_runs(cache: Path) -> None:
    config = {"Entrypoint": ["/a"], "Cmd": None, "Env": ["A=b=c"], "WorkingDir": "/w", "User": "u:g", "StopSignal": "SIGQUIT"}
    image = store.Pulled(DIGEST, {"config": config}, 1, 0.0).image("example.com/x")
    assert (image.entrypoint, image.command, image.environment, image.working_dir) == (("/a",), (), {"A": "b=c"}, "/w")
    assert (image.identity, image.user, image.root) == (f"example.com/x@{DIGEST}", "u:g", cache / ("5" * 64) / "root")
    assert [runs.stop_signal(life, image).name for life in ({}, {"stopSignal": "SIGINT"})] == ["SIGQUIT", "SIGINT"]
    assert store.Pulled(DIGEST, {}, 1, 0.0).image("x").working_dir == "/"


def test_an_image_is_there_whole_or_not_at_all(cache: Path) -> None:
    lock = store.hold(DIGEST, alone=True)
    store.begin(DIGEST).joinpath("file").write_text("1234")
    store.name("example.com/x:1", DIGEST)
    assert (store.find(DIGEST), store.named("example.com/x:1"), store.listed()) == (None, None, ())
    assert not store.begin(DIGEST).joinpath("file").exists()  # a pull that broke off leaves nothing to the next one
    store.complete(DIGEST, {"config": {}}, 4)
    found = store.named("example.com/x:1")
    assert found is not None
    assert found == store.named(f"example.com/x@{DIGEST}")
    assert store.listed() == ((("example.com/x:1",), found),)
    assert store.prune() == (0, 1)
    os.close(lock)
    assert store.prune()[1] == 0
    assert store.listed() == ()


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc", "sha256:" + "Z" * 64, "5" * 64])
async def test_what_is_no_digest_names_no_folder(cache: Path, digest: str) -> None:
    assert store.find(digest) is None
    if digest:
        with pytest.raises(crane.PullFailed, match="is not a sha256 digest"):
            await crane.pull(f"example.com/x@{digest}", lambda _: None)
    assert not cache.exists()


def accounts(tmp_path: Path) -> Accounts:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\ndamaged\n\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\nanalysts:x:1234:bob,ada\n")
    return Accounts.of(tmp_path)


@pytest.mark.parametrize(
    ("user", "context", "identity"),
    [
        ("ada", {}, LinuxUser(1000, 1001, (1234,))),
        ("ada:analysts", {}, LinuxUser(1000, 1234, (1234,))),
        ("1000", {}, LinuxUser(1000, 1001, (1234,))),
        ("1000:5", {}, LinuxUser(1000, 5, (1234,))),
        ("77", {}, LinuxUser(77, 0)),
        ("ada", {"runAsUser": 77}, LinuxUser(77, 0)),
        ("", {"runAsUser": 1000, "runAsGroup": 3, "supplementalGroupsPolicy": "Strict"}, LinuxUser(1000, 3)),
    ],
)
def test_names_are_those_of_the_image(tmp_path: Path, user: str, context: dict[str, int], identity: LinuxUser) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"securityContext": context}}
    assert security_context.security(pod, {"name": "c"}, user, accounts(tmp_path)).identity == identity


@pytest.mark.parametrize(("user", "words"), [("bob", "unable to find user bob"), ("ada:bobs", "unable to find group bobs")])
def test_a_name_that_the_image_does_not_know_is_refused(tmp_path: Path, user: str, words: str) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
    with pytest.raises(security_context.InvalidSecurity, match=words):
        security_context.security(pod, {"name": "c"}, user, accounts(tmp_path))


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/var/run/secrets", "run/secrets"),
        ("/up/x", "x"),
        ("/../../x", "x"),
        ("/chain/x", "run/x"),
        ("/plain/new/deep", "plain/new/deep"),
        ("/", "."),
    ],
)
def test_links_of_an_image_never_lead_out_of_it(tmp_path: Path, path: str, where: str) -> None:
    for folder in ("var", "run", "plain"):
        (tmp_path / folder).mkdir()
    for link, to in {"var/run": "/run", "up": "../../../..", "chain": "var/run", "circle": "circle"}.items():
        (tmp_path / link).symlink_to(to)
    assert inside(tmp_path, path) == tmp_path / where
    with pytest.raises(ClusterError, match="circle"):
        inside(tmp_path, "/circle/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot and owners need root")
def test_an_archive_is_unpacked_into_its_folder_and_nowhere_else(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, more in (
            (str(outside), tarfile.DIRTYPE, {"mode": 0o1777}),
            ("way", tarfile.SYMTYPE, {"linkname": str(outside)}),
            ("way/out", tarfile.REGTYPE, {"size": 3, "uid": 1337, "gid": 1338, "mode": 0o4750}),
            ("../up", tarfile.REGTYPE, {"size": 3}),
            ("hard", tarfile.LNKTYPE, {"linkname": "up"}),
            ("device", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3}),
        ):
            member = tarfile.TarInfo(name)
            member.type = kind
            for field, value in more.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(b"abc"))
    words = [sys.executable, "-m", "meshcourse.node.pulling.unpacking", str(root)]
    done = subprocess.run(words, input=packed.getvalue(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split()[-1] == b"6"
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "up").exists()
    found = (root / str(outside).lstrip("/") / "out").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1337, 1338, 0o4750)
    assert (root / "hard").samefile(root / "up")
    assert not (root / "device").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_an_archive_that_cannot_be_unpacked_is_refused_in_one_line(tmp_path: Path) -> None:
    """A traceback would make Python import modules, by then from the archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.pax_headers = {"mtime": "inf"}
        tar.addfile(member)
    words = [sys.executable, "-m", "meshcourse.node.pulling.unpacking", str(tmp_path)]
    done = subprocess.run(words, input=packed.getvalue(), capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"OverflowError: ")
    assert done.stderr.count(b"\n") == 1


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = 100_000
        tar.addfile(member, io.BytesIO(b"x" * member.size))
    with pytest.raises(tarfile.TarError):
        unpacking.unpack(io.BytesIO(packed.getvalue()[:50_000]), 1, 1, str(tmp_path))


@pytest.mark.parametrize(
    ("said", "reached"),
    [
        ('Error: Get "https://index.docker.io/v2/": dial tcp: lookup index.docker.io: no such host', False),
        ('Error: Get "https://a.example/v2/": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused', False),
        ("Error: GET https://index.docker.io/v2/library/x/manifests/1: TOOMANYREQUESTS: You have reached your pull rate limit.", False),
        ("Error: GET https://a.example/v2/x/manifests/1: unexpected status code 503 Service Unavailable", False),
        ("HEAD request failed, falling back on GET: x\nError: GET http://localhost:5/v2/x/manifests/1: MANIFEST_UNKNOWN: no", True),
        ("Error: GET https://index.docker.io/v2/x/y/manifests/1: UNAUTHORIZED: authentication required", True),
        ("", True),
    ],
)
def test_silence_is_told_from_a_refusal(said: str, reached: bool) -> None:  # noqa: FBT001 - a table's column
    failure = crane.failure(said)
    assert failure.reached is reached
    assert str(failure).startswith((said.splitlines() or ["crane printed nothing"])[-1].removeprefix("Error: "))
    assert ("check its name and its tag" in str(failure)) is reached


def test_the_parts_of_the_cluster_are_never_pulled() -> None:
    assert images.part_of("docker.io/istio/proxyv2:1.18.2") == "istio"
    assert images.part_of("registry.istio.io/release/pilot") == "istio"
    assert images.part_of("registry.k8s.io/coredns/coredns:v1") == "cluster"
    assert not images.part_of("istio/examples-helloworld-v1")
