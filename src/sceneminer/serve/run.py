"""Start a server, say where it is, and stop it."""

import re
import socket

from sceneminer.data.errors import DataError
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index
from sceneminer.serve.settings import EVERYWHERE, LOOPBACK, Settings

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?/?", re.IGNORECASE)


def serve(settings: Settings) -> None:
    """Serve until interrupted. IndexFault for no index, or no token beyond loopback; DataError without the extra."""
    try:
        import uvicorn

        from sceneminer.serve.app import make_app
        from sceneminer.serve.gate import Gate
    except ImportError as error:
        told = f"expected the extra for the page, found no {error.name}: pip install 'sceneminer[serve]'"
        raise DataError(told) from error
    _require_names(settings)
    _require_free(settings)
    config = uvicorn.Config(
        Gate(make_app(open_index(settings.index), settings), settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # A browser's connection that was idle while others were answered is not closed under its next request.
        timeout_keep_alive=120,
    )
    print(f"serving {settings.index} at {settings.url}", flush=True)
    print("the address holds a token: it is for you alone" if settings.token else "no token is asked for", flush=True)
    uvicorn.Server(config).run()


def _require_names(settings: Settings) -> None:
    """IndexFault where nobody could reach the server by a name, or others could without a token."""
    wrong = [origin for origin in settings.origins if not _ORIGIN.fullmatch(origin)]
    if wrong:
        raise IndexFault(
            f"expected an origin such as https://scenes.example or http://localhost:9000, found {wrong[0]}"
        )
    if settings.token is None and (settings.host not in LOOPBACK or settings.origins):
        beyond = f"--origin {settings.origins[0]}" if settings.origins else f"--host {settings.host}"
        raise IndexFault(f"expected a token beyond loopback, found --no-token with {beyond}")
    if settings.host in EVERYWHERE and not settings.origins:
        told = f"--origin http://NAME:{settings.port}, the address that browsers will use"
        raise IndexFault(f"expected, with --host {settings.host}, {told}; found none")


def _require_free(settings: Settings) -> None:
    """IndexFault where the port is taken, rather than a server that ends without a word."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            place = f"port {settings.port} of {settings.host}"
            raise IndexFault(f"expected {place} to be free, found {error.strerror}; try another --port") from error
