"""Tags that a log's description tells: light and weather. A description speaks for the whole log."""

import re

from sceneminer.labels.situation import Situation

_RAIN = r"rain(?:s|y|ing)?|drizzl(?:e|es|ing|y)|downpour|showers?"
_NO_RAIN = rf"(?:after|no|without|before|stopped|not|past|recent) (?:the |a |any |heavy |light )?(?:{_RAIN})"


def night(at: Situation, span: slice) -> bool | None:
    """The description says night, nighttime, after dark, or midnight. None where there is no description."""
    if not at.description.strip():
        return None
    return at.says("night", "night-?time", "after dark", "after nightfall", "midnight", "at dark")


def rain(at: Situation, span: slice) -> bool | None:
    """The description says that it rains (rain, rainy, raining, drizzle, downpour, shower); after rain is not rain.

    None where there is no description.
    """
    if not at.description.strip():
        return None
    rest = re.sub(rf"\b(?:{_NO_RAIN})\b", " ", at.description)
    rest = re.sub(rf"\b(?:{_RAIN}) (?:has |had |just )*(?:stopped|ended|is over|over)\b", " ", rest)
    return re.search(rf"\b(?:{_RAIN})\b", rest) is not None
