"""Scores and tags in words, for people."""

from sceneminer.export.card import ClipCard, Why, worth_naming

SHOWN_FROM = 0.5
"""A tag of at least this probability is shown."""


def measure_words(measure: str, value: float | None) -> str:
    """A measure behind a risk, as ``labels.risk`` names them, e.g. ``time to collision 1.2 s``."""
    if value is None:
        return measure
    match measure:
        case "ttc_s" | "ttc_turn_s":
            return f"time to collision {value:.1f} s"
        case "drac_mps2":
            return f"must brake by {value:.1f} m/s²"
        case "ttce_s":
            return f"closest in {value:.1f} s"
        case "dce_m":
            return "on paths that touch" if value < 0.05 else f"would pass within {value:.1f} m"
        case "thw_s":
            return f"headway {value:.1f} s"
        case _:
            return f"{measure} {value:.2f}"


def category_words(category: str | None) -> str:
    return (category or "agent").replace("_", " ")


def risk_words(card: ClipCard) -> str:
    """The clip's risk and who, when and which measure is behind it, or why there is none."""
    if card.risk is None:
        return "risk unknown: no tracks with ego poses, and no trained risk head"
    said = f"risk {card.risk:.2f} from {'the cameras' if card.risk_source == 'camera' else 'tracks'}"
    why = why_words(card)
    return f"{said}: {why}" if why else said


def why_words(card: ClipCard) -> str:
    """Who, when and which measure is behind the risk."""
    return _named(card, card.why, card.risk)


def camera_words(card: ClipCard) -> str:
    """What the cameras alone say, beside a risk from tracks; empty where that is all there is, or nothing."""
    if card.risk_source != "tracks" or card.risk_camera is None:
        return ""
    return f"from the cameras alone {card.risk_camera:.2f}: {_named(card, card.why_camera, card.risk_camera)}"


def _named(card: ClipCard, why: Why, risk: float | None) -> str:
    if not worth_naming(why, risk) or why.measure is None or why.time_us is None:
        return "nobody comes close"
    where = ""
    if why.place_m is not None:
        x_m, y_m = why.place_m
        ahead = f"{abs(x_m):.0f} m {'ahead' if x_m >= 0 else 'behind'}"
        where = f" {ahead}" + (
            f" and {abs(y_m):.0f} m to the {'left' if y_m > 0 else 'right'}" if abs(y_m) >= 0.5 else ""
        )
    return (
        f"{category_words(why.category)}{where}, {measure_words(why.measure, why.value)}, "
        f"at {card.offset_s(why.time_us):.1f} s"
    )


def top_tags(card: ClipCard, *, most: int = 6, least: int = 3) -> tuple[tuple[str, float], ...]:
    """The likeliest tags, at most ``most``: those of probability 0.5 and more, or else the first ``least``."""
    known = sorted(((p, tag) for tag, p in card.tags.items() if p is not None), key=lambda pair: (-pair[0], pair[1]))
    sure = [pair for pair in known if pair[0] >= SHOWN_FROM]
    return tuple((tag, p) for p, tag in (sure[:most] if len(sure) >= least else known[:least]))


def label_tag_names(card: ClipCard) -> tuple[str, ...]:
    """Tags that rules on the annotations say hold."""
    return tuple(tag for tag, holds in card.label_tags.items() if holds)


def tag_words(tag: str) -> str:
    return tag.replace("_", " ")


def hardness_parts(card: ClipCard) -> tuple[tuple[str, float | None], ...]:
    """The three parts behind hardness, as values (not percentiles); None where null."""
    return (("risk", card.risk), ("ambiguity", card.ambiguity), ("rarity", card.rarity))


def hardness_words(card: ClipCard) -> str:
    parts = ", ".join(f"{name} {'null' if value is None else f'{value:.2f}'}" for name, value in hardness_parts(card))
    return f"hardness {'null' if card.hardness is None else f'{card.hardness:.2f}'} ({parts})"
