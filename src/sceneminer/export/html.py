"""HTML as text that is escaped unless it was made here."""

import base64
import io
from html import escape

from PIL import Image

_VOID = frozenset({"meta", "img", "source", "br"})


class Html(str):
    """Markup: built by ``tag`` and ``joined`` only, so that no text of others becomes an element."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | int | float | None) -> Html:
    """One element. Children that are no ``Html`` are escaped; attributes that are None are left out.

    ``class_`` is class, ``aria_label`` aria-label and so on.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{joined(*children)}</{name}>")


def joined(*children: str | None) -> Html:
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def styled(css: str) -> Html:
    """A style element of our own text."""
    assert "</" not in css
    return Html(f"<style>{css}</style>")


def image_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png_uri(image: Image.Image) -> str:
    """A drawing; its few colours make a palette image half as large."""
    out = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return image_uri(out.getvalue(), "png")


def jpeg_uri(image: Image.Image, *, quality: int = 82) -> str:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality, optimize=True)
    return image_uri(out.getvalue(), "jpeg")
