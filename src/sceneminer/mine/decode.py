"""Decoding ahead of the model: images in order, read by worker threads, at most a fixed number in flight."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from jaxtyping import UInt8
from numpy import ndarray

from sceneminer.data.errors import Issue, MediaError
from sceneminer.data.log import Log
from sceneminer.model.tower import Tower
from sceneminer.model.whole_image import fit_tower

LOOK_AHEAD = 64
"""Images at the tower's size: more than a group of frames takes at once, so that decoders work while the model does."""
ImageKey = tuple[str, int]
"""(camera, row of its Series)"""
Decoded = UInt8[ndarray, "h w 3"] | Issue


def read_for_tower(log: Log, key: ImageKey, tower: Tower) -> Decoded:
    """One image at the tower's input size, whole; an Issue where it is unusable."""
    camera, i = key
    series = log.series[camera]
    calibration = series.sensor(i).camera
    try:
        if calibration is not None and tower.resample == "bicubic":
            height, width = tower.input_size(calibration.width_px, calibration.height_px)
            return log.store.read_image(series, i, size=(width, height))
        image = log.store.read_image(series, i)
    except MediaError as error:
        return error.issue
    return fit_tower(image, tower)


def iter_images(
    log: Log, keys: Iterable[ImageKey], tower: Tower, *, workers: int
) -> Iterator[tuple[ImageKey, Decoded]]:
    """Each image in the order asked for. Workers are threads: decoding and resizing release the interpreter.

    No more than LOOK_AHEAD images wait.
    """
    waiting: deque[tuple[ImageKey, Future[Decoded]]] = deque()
    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="decode") as pool:
        try:
            for key in keys:
                waiting.append((key, pool.submit(read_for_tower, log, key, tower)))
                if len(waiting) >= LOOK_AHEAD:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
