"""How a server was started, and the limits it keeps."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

MAX_BODY = 1 << 20
MAX_IMAGE_BODY = 24 << 20
"""Of a search, which may carry an image in base64."""
MAX_TOP = 200
MAX_WAITING = 512
"""Requests at once; one more is told to come again (503)."""
MAX_BODY_SECONDS = 120.0
"""From a request's head to the end of its body; a slower one is given up (408)."""
WORKERS = 8
"""Requests that are worked on at the same time; the others wait their turn."""
MAX_MEMORY = 8 << 30
"""Of clips held in memory; a larger index is read from disk at each search."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")
"""Hosts that stand for all addresses of this machine, and are no name that a browser could use."""


@dataclass(frozen=True)
class Settings:
    """Of one server."""

    index: Path
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Exchanged for a session cookie; None: none is asked for, on loopback only."""
    exports: Path | None = None
    """Where exports and selections go; by default beside the index."""
    can_write: bool = True
    """Whether heads may be saved, selections made and exported."""
    origins: tuple[str, ...] = ()
    """Other addresses under which browsers reach the server, through a tunnel or a proxy: ``https://scenes.example``."""
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def own_hosts(self) -> frozenset[str]:
        """Names and port that it listens under, in small letters."""
        host = self.host.lower()
        names = {*LOOPBACK, host} if host in LOOPBACK else {host}
        shown = {_in_url(name) for name in names - set(EVERYWHERE)}
        return frozenset({f"{name}:{self.port}" for name in shown} | (shown if self.port == 80 else set()))

    @property
    def hosts(self) -> frozenset[str]:
        """What a Host header may say. A page of another name that resolves to this machine is not answered."""
        return self.own_hosts | {urlsplit(origin).netloc for origin in self.allowed_origins}

    @property
    def allowed_origins(self) -> frozenset[str]:
        """What an Origin header may say."""
        told = {origin.lower().rstrip("/") for origin in self.origins}
        return frozenset({f"http://{name}" for name in self.own_hosts} | told)

    @property
    def url(self) -> str:
        """What to open in a browser, with the token in it."""
        own = f"http://{_in_url(self.host)}:{self.port}"
        address = self.origins[0].rstrip("/") if self.origins else own
        return f"{address}/" + (f"?token={self.token}" if self.token else "")

    @property
    def work(self) -> Path:
        """Folder of selections and exports."""
        if self.exports is not None:
            return self.exports
        # ``.`` has no name of its own.
        index = self.index.resolve()
        return index.with_name(index.name + "-exports")


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name
