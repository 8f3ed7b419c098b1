"""How a server was started, and the limits it keeps."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

MAX_BODY = 1 << 20
MAX_IMAGE_BODY = 24 << 20
"""Of a search, which may carry an image in base64."""
MAX_TOP = 200
MAX_WAITING = 512
"""Requests at once; one more is told to come again (503)."""
WORKERS = 8
"""Requests that are worked on at the same time; the others wait their turn."""
MAX_MEMORY = 8 << 30
"""Of clips held in memory; a larger index is read from disk at each search."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def hosts(self) -> frozenset[str]:
        """What a Host header may say. A page of another name that resolves to this machine is not answered."""
        names = {*LOOPBACK, self.host} if self.host in LOOPBACK else {self.host}
        shown = {f"[{name}]" if ":" in name else name for name in names}
        return frozenset({f"{name}:{self.port}" for name in shown} | (shown if self.port == 80 else set()))

    @property
    def url(self) -> str:
        """What to open in a browser, with the token in it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    @property
    def work(self) -> Path:
        """Folder of selections and exports."""
        return self.exports or self.index.with_name(self.index.name + "-exports")
