"""Decoding ahead of the model: images in order, read by worker threads, at most a fixed number in flight."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import Log

LOOK_AHEAD = 24
ImageKey = tuple[str, int]
"""(camera, row of its Series)"""


def iter_images(
    log: Log,
    keys: Iterable[ImageKey],
    *,
    size_of: Callable[[str, int], tuple[int, int]],
    workers: int,
) -> Iterator[tuple[ImageKey, UInt8[ndarray, "h w 3"] | Issue]]:
    """Each image once, in the order asked for, resized to ``size_of`` (width, height); an Issue where it is unusable.

    Workers are threads: JPEG decoding and resizing release the interpreter. No more than LOOK_AHEAD images wait.
    """

    def read(key: ImageKey) -> ndarray | Issue:
        camera, i = key
        try:
            return log.store.read_image(log.series[camera], i, size=size_of(camera, i))
        except MediaError as error:
            return error.issue

    waiting: deque[tuple[ImageKey, Future[ndarray | Issue]]] = deque()
    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="decode") as pool:
        try:
            for key in keys:
                waiting.append((key, pool.submit(read, key)))
                if len(waiting) >= LOOK_AHEAD:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
