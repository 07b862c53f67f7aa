"""Bookinfo, helloworld and tomcat in pods: every result that Istio's documentation describes for them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[3] / "notebooks" / "manifests" / "04_bookinfo"
PAGE = "http://productpage:9080/productpage"
API = "http://productpage:9080/api/v1/products/0"
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  http: {rules}
"""


class Shop:
    """Bookinfo in a namespace of its own, with a client pod whose requests carry the user's name as productpage's would."""

    def __init__(self, cluster: Any, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *words: str, **more: Any) -> str:
        said: str = self.cluster.kubectl("-n", self.namespace, *words, **more)
        return said

    def get(self, url: str, *words: str) -> tuple[str, float]:
        """curl's output, and its duration in seconds."""
        printed = self.kubectl("exec", "client", "-c", "client", "--", "curl", "-s", "-w", "\n%{time_total}", *words, url)
        text, _, seconds = printed.rpartition("\n")
        return text, float(seconds)

    def rule(self, name: str, rules: str) -> None:
        self.kubectl("apply", "-f", "-", stdin=RULE.format(name=name, rules=rules))

    def stars(self, *words: str) -> str:
        """The colour of the stars in one answer, "none" without stars."""
        first = json.loads(self.get(f"{API}/reviews", *words)[0])["reviews"][0]
        return str(first.get("rating", {}).get("color", "none"))

    def until_page(self, fits: Callable[[str], bool], *words: str) -> tuple[str, float]:
        """The first page that matches, and its duration in seconds."""
        found: list[tuple[str, float]] = []

        def look() -> bool:
            found.append(self.get(PAGE, *words))
            return fits(found[-1][0])

        self.until(look, "no page fits", 40)
        return found[-1]

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Wait until istiod's push is visible in answers."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends, what


@pytest.fixture(scope="module")
def shop(cluster: Any) -> Iterator[Shop]:
    name = f"bookinfo-{uuid.uuid4().hex[:6]}"
    made = Shop(cluster, name)
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "istio-injection=enabled")
    made.kubectl("apply", "-f", str(MANIFESTS / "01-bookinfo.yaml"))
    made.kubectl("apply", "-f", str(MANIFESTS / "03-destinationrules.yaml"))
    made.kubectl("run", "client", "--image=curlimages/curl", "--command", "--", "sleep", "infinity")
    made.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s", timeout=70)
    yield made
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(autouse=True)
def _no_rules(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves no VirtualService."""
    yield
    if "shop" in request.fixturenames:
        request.getfixturevalue("shop").kubectl("delete", "virtualservices", "--all")


def test_six_pods_have_a_sidecar_each(shop: Shop) -> None:
    pods = [pod for pod in shop.cluster.get("-n", shop.namespace, "pods")["items"] if pod["metadata"]["name"] != "client"]
    assert len(pods) == 6
    for pod in pods:
        states = [*pod["status"]["containerStatuses"], *pod["status"].get("initContainerStatuses", ())]
        assert {"istio-proxy", pod["metadata"]["labels"]["app"]} <= {state["name"] for state in states if state["ready"]}


def test_every_service_answers_in_the_mesh(shop: Shop) -> None:
    assert "<title>Simple Bookstore App</title>" in shop.get(PAGE)[0]
    assert json.loads(shop.get("http://details:9080/details/0")[0])["author"] == "William Shakespeare"
    assert json.loads(shop.get("http://ratings:9080/ratings/0")[0]) == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    assert json.loads(shop.get("http://reviews:9080/reviews/0")[0])["podname"].startswith("reviews-v")
    assert json.loads(shop.get(API)[0])["year"] == 1595


def test_without_rules_all_three_kinds_of_stars_come_in_turn(shop: Shop) -> None:
    seen: set[str] = set()
    shop.until(lambda: seen.add(shop.stars()) or len(seen) == 3, "not all versions of reviews answered")  # type: ignore[func-returns-value]
    assert seen == {"none", "black", "red"}


def test_the_users_name_travels_from_productpage_to_reviews(shop: Shop) -> None:
    shop.kubectl("apply", "-f", str(MANIFESTS / "05-reviews-jason-v2.yaml"))
    jason = ("-b", "session=jason")
    shop.until(lambda: [shop.stars() for _ in range(5)] == ["none"] * 5, "reviews v1 for everybody")
    assert [shop.stars(*jason) for _ in range(5)] == ["black"] * 5
    assert [shop.stars("-b", "session=jane") for _ in range(5)] == ["none"] * 5


JASONS_DELAY = """
  - match: [{{headers: {{end-user: {{exact: jason}}}}}}]
    fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: {delay}}}}}
    route: [{{destination: {{host: ratings, subset: v1}}}}]
  - route: [{{destination: {{host: ratings, subset: v1}}}}]"""
TO = "[{{route: [{{destination: {{host: reviews, subset: {0}}}}}]{1}}}]"


def test_seven_seconds_of_ratings_break_the_page_after_six_and_two_do_not_with_v3(shop: Shop) -> None:
    """Istio's task "Fault Injection": v2 would wait 10 s for ratings, but productpage gives reviews 3 s, twice."""
    jason = ("-b", "session=jason")
    shop.rule("reviews", TO.format("v2", ""))
    shop.until(lambda: [shop.stars() for _ in range(3)] == ["black"] * 3, "reviews v2 for everybody")
    shop.rule("ratings", JASONS_DELAY.format(delay="7s"))
    text, seconds = shop.until_page(lambda text: "Sorry, product reviews are currently unavailable for this book." in text, *jason)
    assert "Error fetching product reviews" in text
    assert 5.9 <= seconds < 7.5
    assert shop.get(PAGE)[1] < 2, "everybody else sees no delay"
    shop.rule("reviews", TO.format("v3", ""))
    shop.rule("ratings", JASONS_DELAY.format(delay="2s"))
    text, seconds = shop.until_page(lambda text: "color:red" in text, *jason)
    assert 2 <= seconds < 3
    assert text.count("color:red") == 2


def test_aborted_ratings_cost_the_stars_only(shop: Shop) -> None:
    shop.rule("reviews", TO.format("v2", ""))
    shop.rule("ratings", "[{fault: {abort: {percentage: {value: 100}, httpStatus: 500}}, route: [{destination: {host: ratings}}]}]")
    shop.until(lambda: shop.get(PAGE)[0].count("Ratings service is currently unavailable") == 2, "the abort did not come")
    text, seconds = shop.get(PAGE)
    assert "Book Reviews" in text
    assert seconds < 2


def test_timeout_of_half_a_second_for_reviews_takes_a_second(shop: Shop) -> None:
    """Istio's task "Request Timeouts": productpage tries twice."""
    shop.rule("ratings", "[{fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}}, route: [{destination: {host: ratings}}]}]")
    shop.rule("reviews", TO.format("v2", ", timeout: 0.5s"))
    shop.until(lambda: "Sorry, product reviews are currently unavailable" in shop.get(PAGE)[0], "the timeout did not come")
    assert 0.9 <= shop.get(PAGE)[1] < 2
    text, _ = shop.get("http://reviews:9080/reviews/0")
    assert text == "upstream request timeout"


def test_pod_of_ours_ends_at_once(shop: Shop) -> None:
    began = time.monotonic()
    shop.kubectl("delete", "pod", "-l", "app=details", "--wait=true")
    assert time.monotonic() - began < 10, "a program that ignores SIGTERM would take 30 s"
    shop.kubectl("rollout", "status", "deployment/details-v1", "--timeout=30s")


def test_python_works_inside_and_nothing_of_the_host_but_python_is_seen(shop: Shop) -> None:
    inside = ("exec", "deploy/productpage-v1", "-c", "productpage", "--")
    assert shop.kubectl(*inside, "python3", "-c", "import json, http.client; print(6 * 7)") == "42\n"
    homes = shop.kubectl(*inside, "sh", "-c", "find /root /home -maxdepth 1 -mindepth 1 -not -name '.*'").split()
    assert all("ython" in shop.kubectl(*inside, "find", home, "-name", "python3*", "-print", "-quit") for home in homes)


def test_helloworld_says_its_version(cluster: Any, namespace: str, wait_for: Callable[..., str]) -> None:
    for version in ("v1", "v2"):
        cluster.kubectl("-n", namespace, "run", version, f"--image=docker.io/istio/examples-helloworld-{version}:1.0")
        wait_for(namespace, f"pod/{version}")
        script = "for i in 1 2 3 4 5 6 7 8 9; do curl -sf http://127.0.0.1:5000/hello && exit; sleep 0.2; done; exit 1"
        said = cluster.kubectl("-n", namespace, "exec", version, "--", "sh", "-c", script)
        assert said == f"Hello version: {version}, instance: {version}\n"


def test_tomcat_answers_serves_files_is_slow_on_demand_and_says_what_it_is(
    cluster: Any, namespace: str, wait_for: Callable[..., str]
) -> None:
    cluster.kubectl("-n", namespace, "run", "tomcat", "--image=tomcat", "--port=8080", "--expose")
    cluster.kubectl("-n", namespace, "run", "slow", "--image=tomcat:9", "--env=DELAY_SECONDS=1.5")
    cluster.kubectl("-n", namespace, "run", "box", "--image=busybox", "--command", "--", "sleep", "600")
    for pod in ("tomcat", "slow", "box"):
        wait_for(namespace, f"pod/{pod}")
    ask = "for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://tomcat:8080/ && exit; sleep 0.2; done; exit 1"
    assert "not Apache Tomcat" in cluster.kubectl("-n", namespace, "exec", "box", "--", "sh", "-c", ask)
    write = "cat webapps/ROOT/index.html && ls conf && echo mine > webapps/ROOT/index.html"
    cluster.kubectl("-n", namespace, "exec", "tomcat", "--", "sh", "-c", write)
    assert cluster.kubectl("-n", namespace, "exec", "box", "--", "sh", "-c", ask) == "mine\n"
    for pod, path, least in (("tomcat", "/slow?seconds=1.5", 1.5), ("slow", "/", 1.5), ("tomcat", "/", 0.0)):
        words = ("exec", pod, "--", "curl", "-s", "-o", "/dev/null", "-w", "%{time_total}", f"http://127.0.0.1:8080{path}")
        assert least <= float(cluster.kubectl("-n", namespace, *words)) < least + 1
    status = cluster.get("-n", namespace, "pod", "tomcat")["status"]["containerStatuses"][0]
    assert "stand-in" in status["imageID"]
