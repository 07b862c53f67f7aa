"""A person before the hub's pages, without a browser: logs in by the form, starts a place, runs code in a kernel of it."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import websocket


@dataclass
class HubUser:
    url: str
    """`http://127.0.0.1:8000/class/`"""
    account: str
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def server(self) -> str:
        return f"{self.url}user/{self.account}/"

    def xsrf(self, path: str) -> str:
        """The newest cookie for that path: hub, server and services each have one."""
        found = [each for each in self.session.cookies if each.name == "_xsrf" and path.startswith(each.path or "/")]
        newest = max(found, key=lambda each: len(each.path or ""), default=None)
        return newest.value or "" if newest else ""

    def log_in(self, name: str, code: str) -> requests.Response:
        self.session.get(f"{self.url}hub/login", timeout=30)
        form = {"username": name, "password": code, "_xsrf": self.xsrf(urlsplit(f"{self.url}hub/").path)}
        return self.session.post(f"{self.url}hub/login", data=form, timeout=30, allow_redirects=False)

    def start(self) -> None:
        self.session.get(f"{self.url}hub/spawn", timeout=60)

    def is_served(self) -> bool:
        """The first page that a browser asks for goes through the hub's login for this server."""
        answer = self.session.get(f"{self.server}api/status", timeout=60)
        if answer.status_code == 403:
            self.session.get(f"{self.server}lab", timeout=60)
        return answer.ok and "json" in answer.headers["Content-Type"]

    def wait(self, seconds: float = 600) -> None:
        """Until the place answers; asked once a second, as a person's page does."""
        ends = time.monotonic() + seconds
        while not self.is_served():
            assert time.monotonic() < ends, f"{self.account}'s place does not answer within {seconds} s"
            time.sleep(1)

    def send(self, method: str, url: str, **given: Any) -> requests.Response:
        given.setdefault("headers", {})["X-XSRFToken"] = self.xsrf(urlsplit(url).path)
        return self.session.request(method, url, timeout=200, **given)

    def run(self, code: str, seconds: float = 120) -> str:
        """What a new kernel prints for `code`, with the text of its errors."""
        made = self.send("POST", f"{self.server}api/kernels", json={})
        made.raise_for_status()
        kernel = made.json()["id"]
        try:
            return self._run(kernel, code, seconds)
        finally:
            self.send("DELETE", f"{self.server}api/kernels/{kernel}")

    def _run(self, kernel: str, code: str, seconds: float) -> str:
        url = f"{self.server.replace('http', 'ws', 1)}api/kernels/{kernel}/channels"
        cookie = "; ".join(f"{each.name}={each.value}" for each in self.session.cookies if urlsplit(url).path.startswith(each.path or "/"))
        channel = websocket.create_connection(url, cookie=cookie, timeout=seconds, header={"X-XSRFToken": self.xsrf(urlsplit(url).path)})
        mine = uuid.uuid4().hex
        header = {"msg_id": mine, "msg_type": "execute_request", "username": "", "session": uuid.uuid4().hex, "version": "5.3", "date": ""}
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        channel.send(
            json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": content, "buffers": []})
        )
        said = ""
        try:
            while True:
                message = json.loads(channel.recv())
                if message["parent_header"].get("msg_id") != mine:
                    continue
                match message["msg_type"]:
                    case "stream":
                        said += message["content"]["text"]
                    case "error":
                        said += f"{message['content']['ename']}: {message['content']['evalue']}\n"
                    case "status" if message["content"]["execution_state"] == "idle":
                        return said
        finally:
            channel.close()
