"""The nodes of a running cluster: an agent for each, and which of them are stopped.

A file with a node's name in the folder `stopped` stops its agent, as if the machine were switched off: its pods' processes end, its address
is removed, and its lease is no longer renewed. Kubernetes is not told. SIGHUP makes the daemon read the folder again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshcourse.cluster.node_power import RUNNING, STARTING, STOPPED
from meshcourse.node import network
from meshcourse.node.agent import Agent

if TYPE_CHECKING:
    from meshcourse.node.agent import NodeConfig
    from meshcourse.node.machine import Machine


class Nodes:
    """Runs the agents. `told` is called with the state of each node, by name, whenever one changes. `ready`: all have been Ready once."""

    def __init__(self, machine: Machine, configs: Sequence[NodeConfig], stopped: Path, told: Callable[[Mapping[str, str]], None]) -> None:
        self.ready = asyncio.Event()
        self._machine = machine
        self._configs = configs
        self._stopped = stopped
        self._told = told
        self._states: dict[str, str] = {config.name: STARTING for config in configs}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._look = asyncio.Event()

    async def run(self) -> None:
        """Run all nodes until cancelled; an agent that fails ends them all."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._look.set)
        async with self._machine:
            try:
                while True:
                    self._look.clear()
                    await self._settle()
                    looking = asyncio.create_task(self._look.wait())
                    await asyncio.wait({looking, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
                    looking.cancel()
                    for task in self._tasks.values():
                        if task.done():
                            await task
            finally:
                await self._end(*self._tasks)

    async def _settle(self) -> None:
        """Start and end agents as wanted. The first node has the control plane, and always runs."""
        stopped = {path.name for path in self._stopped.glob("*")} - {self._configs[0].name}
        await self._end(*(self._tasks.keys() & stopped))
        for config in self._configs:
            if config.name not in self._tasks and config.name not in stopped:
                self._tasks[config.name] = asyncio.create_task(self._live(config), name=f"node {config.name}")

    async def _end(self, *names: str) -> None:
        ending = [self._tasks.pop(name) for name in names]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _live(self, config: NodeConfig) -> None:
        """Run one node until cancelled."""
        self._tell(config.name, STARTING)
        has_own_address = config is not self._configs[0]
        if has_own_address:
            await asyncio.to_thread(network.change_address, "add", config.ip)
        try:
            async with Agent(config, self._machine) as agent:
                running = asyncio.create_task(agent.run(), name=f"agent of {config.name}")
                ready = asyncio.create_task(agent.ready.wait())
                try:
                    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
                    if ready.done():
                        self._tell(config.name, RUNNING)
                    await running
                finally:
                    running.cancel()
                    ready.cancel()
                    await asyncio.gather(running, ready, return_exceptions=True)
        finally:
            if has_own_address:
                await asyncio.to_thread(network.change_address, "del", config.ip)
            self._tell(config.name, STOPPED)

    def _tell(self, name: str, state: str) -> None:
        self._states[name] = state
        self._told(self._states)
        if all(each == RUNNING for each in self._states.values()):
            self.ready.set()
