"""A run that is killed: forks a child a kill point, each of which mines two roots and dies by SIGKILL at its point.

``python killed_run.py TOWER ROOT_A ROOT_B OUT EVERY`` writes OUT/whole (never killed), OUT/<k> (killed before its k-th
write, then continued) for each EVERY-th k, and OUT/late<i> (killed after a while, wherever that is, then continued).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from make_mined_log import make_model

from sceneminer.data.open import open_logs
from sceneminer.index import quarantine
from sceneminer.index.store import Store
from sceneminer.mine import run

WRITES = (
    (Store, "append"),
    (Store, "upsert"),
    (Store, "delete"),
    (Store, "merge_columns"),
    (Store, "set_manifest"),
    (Store, "compact"),
    (quarantine, "_write"),
    (quarantine.os, "fsync"),
)


def watch(at_write: Callable[[str], None]) -> None:
    """Call ``at_write`` before every write to an index, and before each of its tables is made."""
    for owner, name in WRITES:
        setattr(owner, name, _watched(getattr(owner, name), name, at_write))
    init = Store.__init__

    def connect(self, folder):
        init(self, folder)
        self._db.create_table = _watched(self._db.create_table, "create_table", at_write)

    Store.__init__ = connect


def _watched(inner, name, at_write):
    def write(*args, **kwargs):
        at_write(name)
        return inner(*args, **kwargs)

    return write


def in_child(work: Callable[[], None]) -> int:
    """Run in a fork; returns its exit status (negative: the signal that ended it)."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(tower: Path, roots: list[Path], out: Path, every: int) -> None:
    torch.set_num_threads(1)
    model = make_model(tower)
    run.COMMIT_CLIPS = 2

    def mine_all(folder: Path) -> None:
        for root in roots:
            run.mine(root, folder, model=model, workers=1)

    def whole() -> None:
        writes: list[str] = []
        watch(writes.append)
        started = time.monotonic()
        mine_all(out / "whole")
        (out / "writes.txt").write_text("\n".join(writes))
        (out / "seconds.txt").write_text(str(time.monotonic() - started))

    def killed(folder: Path, k: int) -> None:
        left = iter(range(k))
        watch(lambda name: os.kill(os.getpid(), signal.SIGKILL) if next(left, None) is None else None)
        mine_all(folder)

    def killed_late(folder: Path, after_s: float) -> None:
        threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        mine_all(folder)

    for root in roots:  # tables are cached the first time a root is opened; those writes are not mining's
        open_logs(root)
    assert in_child(whole) == 0
    writes = len((out / "writes.txt").read_text().splitlines())
    points = {str(k): lambda f, k=k: killed(f, k) for k in range(0, writes, every)}
    seconds = float((out / "seconds.txt").read_text())
    points |= {f"late{i}": lambda f, i=i: killed_late(f, seconds * (i + 0.5) / 4) for i in range(4)}
    for name, work in points.items():
        status = in_child(lambda name=name, work=work: work(out / name))
        assert status == -signal.SIGKILL or name.startswith("late"), (name, status)
        assert in_child(lambda name=name: mine_all(out / name)) == 0, name


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(sys.argv[2]), Path(sys.argv[3])], Path(sys.argv[4]), int(sys.argv[5]))
