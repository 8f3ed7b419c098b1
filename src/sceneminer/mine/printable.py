"""Names as others wrote them, on a terminal."""


def one_line(text: str) -> str:
    """Without what would break the line, move the cursor or change colours."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
