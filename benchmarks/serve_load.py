"""Many people at once: parallel searches against a running server, none lost.

    python benchmarks/serve_load.py --clips 100000 --requests 200 --out docs/results/serve.md

A server is started on a synthetic index (``search_speed.make``) whose text tower is sceneminer-tiny. Each request is a
POST /api/search over HTTP with a text of its own and a filter, all sent at once, three rounds.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np

from sceneminer.evals.mining_report import machine
from sceneminer.index.store import Store
from sceneminer.model.zoo import TINY, load_model_tower
from sceneminer.serve.gate import COOKIE
from sceneminer.train.loop import git_commit
from search_speed import WIDTH, make

FILTERS = (None, "risk > 0.5", "risk > 0.99", "tag.rain > 0.9 and hardness > 0.3")
ROUNDS = 3


def main() -> None:
    """Start, ask, stop, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("runs/serve-load"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    index = made(args.folder / str(args.clips), args.clips)
    port = free_port()
    command = [sys.executable, "-m", "sceneminer", "serve", str(index), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split(" at ")[1].strip()
        alone, rounds = asyncio.run(ask(address, args.requests))
    finally:
        server.terminate()
        server.wait(timeout=20)
    text = page(args, alone, rounds)
    print(text)
    if args.out:
        args.out.write_text(text)


def made(folder: Path, clips: int) -> Path:
    """An index whose vectors are of the width and space of the tiny tower."""
    if not Store.exists(folder):
        tower = load_model_tower(TINY)
        assert tower.embed_dim == WIDTH, f"expected a tower of width {WIDTH}, found {tower.embed_dim}"
        make(folder, clips)
        store = Store.open(folder)
        model = {
            "source": TINY,
            "space": tower.space,
            "precision": "fp32",
            "stream_fingerprint": "s",
            "embed_dim": WIDTH,
        }
        store.set_manifest({"model": model})
        store.optimize()
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ask(address: str, requests: int) -> tuple[list[float], list[tuple[list[float], list[int], float]]]:
    """Times of 50 searches one after another; then of each round's, all at once, with their statuses."""
    base, limits = address.split("?")[0], httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=120) as client:
        for _ in range(100):
            try:
                entered = await client.get(address)
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
        assert entered.status_code == 303 and any(name.startswith(COOKIE) for name in client.cookies)

        async def one(k: int) -> tuple[float, int]:
            body = {"text": f"a street with {k} cars", "where": FILTERS[k % len(FILTERS)], "top": 20}
            begun = time.perf_counter()
            try:
                answer = await client.post("/api/search", json=body)
            except httpx.HTTPError:
                return 1000 * (time.perf_counter() - begun), 0
            good = answer.status_code == 200 and len(answer.json()["hits"]) == 20
            return 1000 * (time.perf_counter() - begun), answer.status_code if good else -answer.status_code

        for k in range(8):
            await one(k)
        alone = [(await one(k))[0] for k in range(50)]
        rounds = []
        for number in range(ROUNDS):
            begun = time.perf_counter()
            found = await asyncio.gather(*(one(1000 * number + k) for k in range(requests)))
            took = time.perf_counter() - begun
            rounds.append(([ms for ms, _ in found], [status for _, status in found], took))
        return alone, rounds


def page(args: argparse.Namespace, alone: list[float], rounds: list[tuple[list[float], list[int], float]]) -> str:
    """Markdown."""
    lost = sum(status != 200 for _, statuses, _ in rounds for status in statuses)
    lines = [
        f"# {args.requests} searches at once on {args.clips:,} clips",
        "",
        f"`python benchmarks/serve_load.py --clips {args.clips} --requests {args.requests}` at commit {git_commit()}, "
        f"{datetime.now(UTC).date()}, {machine()}, fixed seeds: server and asking program share it. Each request "
        "has a text of its own, which is encoded, and one of four filters; "
        "an answer counts if it has status 200 and 20 hits.",
        "",
        f"Of {ROUNDS * args.requests} requests **{lost} were lost**.",
        "",
        "| | requests a second | p50 ms | p95 ms | longest ms |",
        "| --- | --- | --- | --- | --- |",
        row("one after another", alone, 1000 / float(np.mean(alone))),
        *(row(f"all at once, round {k + 1}", ms, len(ms) / took) for k, (ms, _, took) in enumerate(rounds)),
        "",
    ]
    return "\n".join(lines)


def row(name: str, ms: list[float], rate: float) -> str:
    """One line of the table."""
    p50, p95, most = np.percentile(ms, (50, 95, 100))
    return f"| {name} | {rate:.0f} | {p50:.0f} | {p95:.0f} | {most:.0f} |"


if __name__ == "__main__":
    main()
