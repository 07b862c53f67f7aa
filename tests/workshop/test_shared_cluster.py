"""A workshop on one shared cluster: the gateway's page through the hub, before a learner's Gateway exists, after it, and after a fault."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from hub_user import HubUser
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@pytest.fixture(scope="module")
def ada(shared: Any) -> HubUser:
    """Her place runs."""
    found: HubUser = shared.user("Ada Lovelace")
    found.start()
    found.wait()
    return found


def _gateway(user: HubUser) -> tuple[int, str]:
    answer = user.session.get(f"{user.server}gateway/", timeout=60)
    return answer.status_code, answer.text


def test_before_there_is_a_gateway_its_page_says_so_and_comes_by_itself_afterwards(ada: HubUser) -> None:
    for _ in range(3):  # a connection that is closed, and none at all while it is forwarded again
        status, page = _gateway(ada)
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "Its port opens when you have applied a Gateway" in page
        assert 'http-equiv="refresh"' in page
    files = ("01-web", "02-service", "05-destinationrule", "03-gateway", "04-virtualservice-90-10")
    applied = "".join(f"\nlab.apply('manifests/05_canary/{name}.yaml')" for name in files)
    said = ada.run(f"from meshcourse import lab\nlab.chapter('05-canary'){applied}", 200)
    assert "virtualservice/web applied" in said
    until(lambda: _gateway(ada)[0] == HTTPStatus.OK, 60)
    assert "This is version v" in _gateway(ada)[1]


def test_the_gateways_page_comes_again_after_the_forwarder_was_killed(ada: HubUser) -> None:
    said = ada.run(
        "import os, pathlib\npid = pathlib.Path('~/state/clusters/meshcourse/forward.pid').expanduser().read_text()\n"
        "os.killpg(int(pid), 9)\nprint('killed')"
    )
    assert said == "killed\n"
    until(lambda: _gateway(ada)[0] == HTTPStatus.OK, 30)
