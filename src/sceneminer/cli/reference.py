"""The CLI reference, from the commands themselves: ``python -m sceneminer.cli.reference docs/reference``.

What it writes is the same on every machine; ``tests/test_docs.py`` fails where the pages have fallen behind.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_START = """# Command line

Made from the commands by `make docs`; `sceneminer COMMAND --help` says the same. An option that is marked *several
times* may be given more than once. Exit codes are 0 (done), 2 (input that cannot be used, said in one sentence), 130
(interrupted) and those that a command names.
"""
_KINDS = {str: "text", int: "whole number", float: "number", Path: "path", bool: "yes or no"}


def cli_reference() -> str:
    """Every command with its help, arguments and options, as one page of Markdown."""
    from typer.main import get_command

    from sceneminer.cli import app

    root = get_command(app)
    parts = [_START]
    for name, command in _commands(root, "sceneminer"):
        parts.append("\n".join(_command(name, command)))
    return "\n".join(parts)


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Groups and commands, by name, those of a group after it."""
    for word, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        yield f"{name} {word}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {word}")


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{_plain(command.help)}\n"
    if hasattr(command, "commands"):
        return
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option" and not item.hidden]
    used = [item.metavar or item.name.upper() for item in arguments]
    yield f"```\n{' '.join([name, *used, *(['[OPTIONS]'] if options else [])])}\n```\n"
    if arguments:
        yield "| argument | kind | what |\n|---|---|---|"
        yield from (f"| `{_cell(a.metavar or a.name.upper())}` | {_kind(a)} | {_told(a)} |" for a in arguments)
        yield ""
    if options:
        yield "| option | kind | default | what |\n|---|---|---|---|"
        yield from (f"| {_names(o)} | {_kind(o)} | {_default(o)} | {_told(o)} |" for o in options)
        yield ""


def _kind(item: Any) -> str:
    annotation = item.type_descriptor.annotation
    many = get_origin(annotation) is list
    (annotation,) = get_args(annotation) if many else (annotation,)
    if get_origin(annotation) is Literal:
        kind = ", ".join(f"`{value}`" for value in get_args(annotation))
    elif getattr(item, "is_flag", False):
        kind = "flag"
    else:
        kind = _KINDS[annotation]
    low, high = item.min, item.max
    if low is not None and high is not None:
        kind += f", {low:g} to {high:g}"
    elif low is not None or high is not None:
        kind += f", at least {low:g}" if low is not None else f", at most {high:g}"
    return kind + (", several times" if many and item.param_type_name == "option" else "")


def _default(item: Any) -> str:
    if item.required:
        return "required"
    if item.default is None or item.default == "" or item.is_flag:
        return ""
    value = item.default
    return f"`{f'{value:g}' if isinstance(value, float) else value.as_posix() if isinstance(value, Path) else value}`"


def _names(item: Any) -> str:
    return " ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))


def _told(item: Any) -> str:
    return _cell(_plain(item.help or ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Help as it was written: paragraphs, without the line breaks inside them."""
    paragraphs = (" ".join(part.split()) for part in (text or "").split("\n\n"))
    return "\n\n".join(part.replace("<", "&lt;") for part in paragraphs if part)


def main(folder: Path) -> None:
    """Write ``cli.md`` and ``api.md`` into a folder that is there."""
    from sceneminer.cli.api_reference import api_reference

    for name, page in (("cli.md", cli_reference()), ("api.md", api_reference())):
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
