"""A Clip is a time span of a Log: the unit of search."""

from dataclasses import dataclass

from sceneminer.data.log import Log


@dataclass(frozen=True)
class Clip:
    clip_id: str
    """``<log_id>+<offset of its start in ms, 7 digits>``"""
    log_id: str
    start_us: int
    end_us: int


def clips_of(log: Log, *, stride_us: int = 1_000_000, length_us: int = 2_000_000) -> tuple[Clip, ...]:
    """Clips every ``stride_us`` that lie wholly inside the Log; one shorter Clip where the Log is shorter than that."""
    if stride_us <= 0 or length_us <= 0:
        raise ValueError(f"expected positive stride and length, found {stride_us} and {length_us} µs")
    last = max(log.end_us - length_us, log.start_us)
    starts = range(log.start_us, last + 1, stride_us)
    return tuple(
        Clip(
            f"{log.log_id}+{(start - log.start_us) // 1000:07d}",
            log.log_id,
            start,
            min(start + length_us, log.end_us),
        )
        for start in starts
    )
