from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from waiting import until

from meshcourse.core.errors import MeshError, PanelError, TrafficError
from meshcourse.traffic import recording
from meshcourse.widgets.panels.weights import WeightPanel


@pytest.fixture
def panel(canary: Any) -> Iterator[WeightPanel]:
    with WeightPanel(canary.connection, namespace=canary.namespace, virtual_service="web", route="split", window=3.0) as made:
        yield made


def shown(panel: WeightPanel) -> dict[str, int]:
    return {version: slider.value for version, slider in panel.widgets.sliders.items()}


@pytest.mark.cluster
def test_weights_and_load_move_real_traffic(panel: WeightPanel, canary: Any) -> None:
    panel.start(rate=150)
    panel.wait_observed("v2", share=0.1, within=20)
    panel.set_weights({"v1": 50, "v2": 50})
    found = panel.wait_observed("v2", share=0.5, within=20)
    assert found.low <= 0.5 <= found.high
    panel.set_weights({"v1": 0, "v2": 100})
    panel.wait_observed("v2", share=1.0, within=20)
    now = panel.snapshot()
    assert now.running
    assert now.weights == canary.held() == shown(panel) == {"v1": 0, "v2": 100}
    assert now.counts.answered > 100
    assert now.counts.failed == 0
    assert now.summary.latency.p50 is not None
    panel.stop()
    assert not panel.running


@pytest.mark.cluster
def test_dragging_a_slider_keeps_the_sum_and_writes_the_last_weights(panel: WeightPanel, canary: Any) -> None:
    slider = panel.widgets.sliders["v2"]
    before = canary.cluster.get("-n", canary.namespace, "virtualservice", "web")["metadata"]["generation"]
    for weight in range(10, 51):
        began = time.perf_counter()
        slider.value = weight
        assert time.perf_counter() - began < 0.1, "a drag never waits for the network"
        assert sum(shown(panel).values()) == 100
    until(lambda: canary.held() == {"v1": 50, "v2": 50})
    until(lambda: panel.snapshot().weights == {"v1": 50, "v2": 50})
    after = canary.cluster.get("-n", canary.namespace, "virtualservice", "web")["metadata"]["generation"]
    assert 1 <= after - before < 40, "patches between are left out"


@pytest.mark.cluster
def test_the_picture_and_the_labels_follow_the_traffic(panel: WeightPanel) -> None:
    panel.start(rate=100)
    until(lambda: "v1 observed " in panel.widgets.observed["v1"].value and "% (n=" in panel.widgets.observed["v1"].value)
    until(lambda: "answered" in panel.widgets.numbers.value and "p95" in panel.widgets.numbers.value)
    until(lambda: any(y is not None for y in panel.widgets.figure.data[3].y))
    assert "v2: 10 % wanted" in panel.widgets.alt.value
    assert panel.widgets.steering.start.disabled
    assert not panel.widgets.steering.stop.disabled
    panel.stop()
    assert not panel.widgets.steering.start.disabled


@pytest.mark.cluster
def test_presets_and_roll_back(panel: WeightPanel, canary: Any) -> None:
    preset = {button.description: button for button, _ in panel.widgets.presets}
    preset["50/50"].click()
    until(lambda: panel.snapshot().weights == {"v1": 50, "v2": 50})
    panel.widgets.rollback.click()
    until(lambda: canary.held() == {"v1": 90, "v2": 10})
    assert shown(panel) == {"v1": 90, "v2": 10}


@pytest.mark.cluster
def test_a_change_by_kubectl_moves_the_sliders(panel: WeightPanel, canary: Any) -> None:
    path = "/spec/http/0/route"
    patch = json.dumps([{"op": "replace", "path": f"{path}/{at}/weight", "value": weight} for at, weight in enumerate((70, 30))])
    canary.cluster.kubectl("-n", canary.namespace, "patch", "virtualservice", "web", "--type=json", "-p", patch)
    until(lambda: shown(panel) == {"v1": 70, "v2": 30})
    assert canary.held() == {"v1": 70, "v2": 30}


@pytest.mark.cluster
def test_a_destination_that_was_renamed_gets_a_slider_of_its_own_and_nothing_is_written_to_the_old_one(
    panel: WeightPanel, canary: Any
) -> None:
    rename = '[{"op":"replace","path":"/spec/http/0/route/1/destination/subset","value":"v3"}]'
    canary.cluster.kubectl("-n", canary.namespace, "patch", "virtualservice", "web", "--type=json", "-p", rename)
    until(lambda: shown(panel) == {"v1": 90, "v3": 10})
    with pytest.raises(MeshError, match="no destination v2"):
        panel.set_weights({"v1": 40, "v2": 60})
    assert 'role="alert"' in panel.widgets.error.value
    assert canary.held() == shown(panel) == {"v1": 90, "v3": 10}


@pytest.mark.cluster
def test_weights_that_do_not_sum_are_refused_and_the_sliders_stay(panel: WeightPanel) -> None:
    with pytest.raises(MeshError, match="do not sum"):
        panel.set_weights({"v1": 50, "v2": 40})
    assert shown(panel) == {"v1": 90, "v2": 10}
    assert "do not sum" in panel.widgets.error.value
    panel.set_weights({"v1": 50, "v2": 50})
    assert panel.widgets.error.value == ""


@pytest.mark.cluster
def test_stopping_closes_every_socket(panel: WeightPanel, canary: Any) -> None:
    port = urlsplit(canary.connection.ingress_url).port

    def sockets() -> list[Any]:
        return [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]

    panel.widgets.steering.start.click()
    until(lambda: sockets() and panel.snapshot().counts.answered > 5)
    panel.widgets.steering.stop.click()
    until(lambda: not panel.running)
    assert not sockets()


@pytest.mark.cluster
def test_a_second_panel_for_the_route_stops_the_first(canary: Any) -> None:
    first = WeightPanel(canary.connection, namespace=canary.namespace, virtual_service="web")
    first.start(rate=20)
    with WeightPanel(canary.connection, namespace=canary.namespace, virtual_service="web") as second:
        assert not first.running
        with pytest.raises(PanelError, match="closed"):
            first.start()
        second.start(rate=20)
        assert second.running
    assert not second.running
    with pytest.raises(PanelError, match="closed"):
        second.start()
    second.close()


@pytest.mark.cluster
def test_waiting_for_a_share_that_does_not_come_says_what_was_seen(panel: WeightPanel) -> None:
    with pytest.raises(PanelError, match="did not reach 50%") as caught:
        panel.wait_observed("v2", share=0.5, within=0.2)
    assert "panel.start" in caught.value.next
    with pytest.raises(PanelError, match="no version v9"):
        panel.wait_observed("v9", share=0.5)


@pytest.mark.cluster
def test_a_target_that_is_down_shows_its_fault(canary: Any) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        with WeightPanel(canary.connection, namespace=canary.namespace, virtual_service="web", url=url) as panel:
            panel.start(rate=50)
            until(lambda: "refused" in panel.widgets.error.value and "refused ×" in panel.widgets.numbers.value)  # noqa: RUF001 - times
            assert panel.snapshot().summary.part("no answer") == 1.0


@pytest.mark.cluster
def test_a_run_is_saved_and_replayed_into_a_panel(panel: WeightPanel, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    panel.start(rate=100, record=path)
    until(lambda: panel.snapshot().counts.answered >= 60)
    panel.stop()
    saved = recording.load(path)
    assert len(saved.results) >= 60
    assert saved.pacing["shape"] == "dial"
    panel.replay(path, speed=2.0)
    assert panel.running
    until(lambda: not panel.running)
    assert panel.snapshot().summary.n == len(saved.results)
    path.write_text("broken")
    with pytest.raises(TrafficError, match="Line 1"):
        panel.replay(path)


@pytest.mark.cluster
def test_a_full_disk_ends_the_run_and_says_so(panel: WeightPanel) -> None:
    panel.start(rate=500, record="/dev/full")
    until(lambda: not panel.running)
    until(lambda: "cannot be saved" in panel.widgets.error.value)


@pytest.mark.cluster
def test_a_browser_can_find_every_control(panel: WeightPanel) -> None:
    for version in ("v1", "v2"):
        assert f"mc-weight-{version}" in panel.widgets.sliders[version]._dom_classes
        assert panel.widgets.sliders[version].description == version
        assert {"mc-observed", f"mc-observed-{version}"} <= set(panel.widgets.observed[version]._dom_classes)
    assert "mc-start" in panel.widgets.steering.start._dom_classes


@pytest.mark.cluster
def test_a_kernel_that_ends_takes_its_load_along_and_says_nothing(canary: Any) -> None:
    words = [str(canary.connection.kubeconfig), canary.connection.ingress_url, canary.namespace]
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("exiting.py"), *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert int(done.stdout.split()[1]) >= 50
    assert done.stderr == ""
