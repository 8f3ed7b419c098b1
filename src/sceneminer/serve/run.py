"""Start a server, say where it is, and stop it."""

import socket

from sceneminer.data.errors import DataError
from sceneminer.index.errors import IndexFault
from sceneminer.index.search import open_index
from sceneminer.serve.settings import LOOPBACK, Settings


def serve(settings: Settings) -> None:
    """Serve until interrupted. IndexFault for no index, or no token beyond loopback; DataError without the extra."""
    try:
        import uvicorn

        from sceneminer.serve.app import make_app
        from sceneminer.serve.gate import Gate
    except ImportError as error:
        told = f"expected the extra for the page, found no {error.name}: pip install 'sceneminer[serve]'"
        raise DataError(told) from error
    if settings.token is None and settings.host not in LOOPBACK:
        raise IndexFault(f"expected a token beyond loopback, found --no-token with --host {settings.host}")
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
