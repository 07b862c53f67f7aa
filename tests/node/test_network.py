"""Networks of pods, in namespaces of the test's own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, os, sys, threading
from meshcourse.cluster import namespaces

async def cancel_each():
    from meshcourse.node.network import Network
    network = Network("172.18.0.2", "10.244.0.0/24")
    for number in range(10):
        adding = asyncio.create_task(network.add(f"pod-{number}", "name", of_node=number == 9))
        await asyncio.sleep(0)  # its thread has begun
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
        assert adding.cancelled()

def node():
    from pyroute2 import IPRoute
    from meshcourse.node import network
    network.prepare_node("172.18.0.2", "10.96.0.0/16")
    asyncio.run(cancel_each())
    for thread in threading.enumerate():
        if thread.name == "pod-netns":
            thread.join()
    with IPRoute() as route:
        print([link.get_attr("IFLA_IFNAME") for link in route.get_links()], os.listdir("/run/netns"))
    return 0

sys.exit(namespaces.enter(node))
"""


def test_a_network_that_is_given_up_while_it_is_made_leaves_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("['lo'] []\n", 0), done.stderr
