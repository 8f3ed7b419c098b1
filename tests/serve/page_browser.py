"""A browser on the page: Debian's Chromium driven by Playwright, and a real server on a free port."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from sceneminer.index.search import open_index
from sceneminer.serve.app import make_app
from sceneminer.serve.gate import Gate
from sceneminer.serve.settings import Settings

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PATIENCE_MS = 60_000
PICTURES = "SCENEMINER_PAGE_PICTURES"
"""Names a folder: pictures of the steps are written there, for the docs."""


def chromium() -> str:
    """Debian's Chromium, installed where that can be; else the test is skipped, saying why."""
    found = shutil.which("chromium")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", "-qq", *command], check=False, capture_output=True, timeout=600)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("expected chromium (apt-get install chromium, as root), found none on this machine")
    return found


@contextmanager
def a_browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def a_server(index: Path, exports: Path, **settings: Any) -> Iterator[str]:
    """The address that ``sceneminer serve`` would print, answered until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = Settings(index, port=port, exports=exports, **settings)
    config = uvicorn.Config(Gate(make_app(open_index(index), told), told), port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    assert server.started
    yield told.url
    server.should_exit = True
    thread.join(20)


@dataclass
class Visitor:
    """Somebody with a browser window, and everything that went wrong in it."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def go(self, fragment: str = "") -> Page:
        """To the page with a state in its address."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.origin}/{fragment}")
        self.page.wait_for_selector("#grid[aria-busy=false]")
        return self.page

    def picture(self, name: str) -> None:
        folder = os.environ.get(PICTURES)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"page-{name}.png")

    def watch(self) -> None:
        def console(message: Any) -> None:
            if message.type == "error":
                self.faults.append(f"console: {message.text}")

        def request(asked: Any) -> None:
            if not asked.url.startswith((f"{self.origin}/", "data:", "blob:", "about:")):
                self.faults.append(f"left the origin: {asked.url}")

        self.page.on("console", console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", request)


@contextmanager
def a_visitor(
    browser: Browser, address: str, *, width: int = 1280, expected: str | None = None, **context: Any
) -> Iterator[Visitor]:
    """A Visitor who opened the printed address; nothing but what is ``expected`` may have gone wrong at the end."""
    window = browser.new_context(viewport={"width": width, "height": 800}, **context)
    window.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(window.new_page(), address.split("/?")[0])
    visitor.watch()
    visitor.page.goto(address)
    visitor.page.wait_for_selector("#grid[aria-busy=false]")
    yield visitor
    window.close()
    assert [fault for fault in visitor.faults if expected is None or expected not in fault] == []
