"""The API reference, from signatures and docstrings of ``sceneminer.api`` and ``sceneminer.model.identity``."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Open": (
        *("open_log", "open_logs", "OpenOptions", "LogSet", "Log", "Rig", "Sensor", "Series"),
        *("Frame", "frame_at", "iter_frames", "Clip", "clips_of"),
    ),
    "Labels": ("clip_risk", "log_risk", "label_tags"),
    "Mine": ("mine", "MiningPlan", "MineReport", "Embedder", "EmbedderTower", "SceneModel"),
    "Keep": ("open_index", "Index", "index_info", "optimize", "delete_logs", "move_root"),
    "Search": (
        *("search", "hardest", "run_query", "Hit", "Query", "make_query", "read_query", "write_query"),
        *("facets", "Facets"),
    ),
    "Select": (
        *("select", "Rule", "Selection", "Selected", "excluding", "read_selection", "write_selection"),
        *("replay", "Replay", "Report"),
    ),
    "Export": ("export_selection", "ExportReport"),
    "Heads": (
        *("add_head", "upgrade_head", "drop_head", "list_heads", "adopt_head", "backfill", "export_head"),
        *("HeadReport", "mark", "read_labels", "read_values"),
    ),
}
"""Every name of ``sceneminer.api``, in the order in which it is met."""
IDENTITY = (
    *("isolated", "isolate", "check_optimiser", "prove", "named", "zero_last", "Upgraded"),
    *("Proof", "Leak", "IdentityBroken"),
)
_START = """# Python

Made from the code by `make docs`. Everything here is imported from `sceneminer.api`, except the last part. What a user
can get wrong raises a `ValueError` that says what was expected and what was found. Shapes are explained in the
[conventions](conventions.md).
"""
_IDENTITY = """## Identity

From `sceneminer.model.identity`: for any torch model, whether sceneminer's or not ([guide](../guides/verify.md)).
"""
_WIDTH = 100


def api_reference() -> str:
    """All public names in groups, as one page of Markdown. AssertionError where a name has no group."""
    from sceneminer import api
    from sceneminer.model import identity

    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(api.__all__), (
        f"expected each public name in one group: {set(grouped) ^ {*api.__all__}}"
    )
    public = {name for name, value in vars(identity).items() if _is_public(name, value, identity.__name__)}
    assert public == set(IDENTITY), f"expected the public names of identity: {public ^ {*IDENTITY}}"
    parts = [_START]
    for title, names in GROUPS.items():
        parts += [f"## {title}\n", *(_entry(name, getattr(api, name)) for name in names)]
    parts += [_IDENTITY, *(_entry(name, getattr(identity, name)) for name in IDENTITY)]
    return "\n".join(parts)


def _is_public(name: str, value: Any, module: str) -> bool:
    return not name.startswith("_") and getattr(value, "__module__", "") == module and callable(value)


def _entry(name: str, value: Any) -> str:
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(value)))
    node = ast.parse(source).body[0]
    lines = [f"### {name}\n"]
    if isinstance(node, ast.ClassDef):
        lines += _class(node)
    elif isinstance(node, ast.FunctionDef):
        lines += [_code(_signature(node)), _words(ast.get_docstring(node))]
    return "\n".join(lines).rstrip() + "\n"


def _class(node: ast.ClassDef) -> Iterator[str]:
    yield _words(ast.get_docstring(node))
    fields = [(item, _said(node.body, k)) for k, item in enumerate(node.body) if _is_field(item)]
    if fields:
        yield "| field | type | default | what |\n|---|---|---|---|"
        yield from (_field(item, said) for item, said in fields)
        yield ""
    for item in node.body:
        if not isinstance(item, ast.FunctionDef) or (item.name.startswith("_") and item.name != "__init__"):
            continue
        if item.name == "__init__":
            yield _code(_signature(item, name=node.name))
            continue
        told = _words(ast.get_docstring(item)).strip()
        kind = "property" if _is_property(item) else "method"
        shown = f"{item.name}: {ast.unparse(item.returns)}" if kind == "property" and item.returns else _line(item)
        yield f"- {kind} `{shown}`" + (f": {_indented(told)}" if told else "")


def _is_field(item: ast.stmt) -> bool:
    return isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not item.target.id.startswith("_")


def _is_property(item: ast.FunctionDef) -> bool:
    return any(ast.unparse(mark) in ("property", "cached_property") for mark in item.decorator_list)


def _said(body: Sequence[ast.stmt], k: int) -> str:
    """The text below a field, which is its docstring."""
    after = body[k + 1] if k + 1 < len(body) else None
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
        return _words(inspect.cleandoc(after.value.value)).strip()
    return ""


def _field(item: ast.stmt, said: str) -> str:
    assert isinstance(item, ast.AnnAssign)
    default = "" if item.value is None else f"`{_default(item.value)}`"
    cells = f"`{ast.unparse(item.target)}`", f"`{ast.unparse(item.annotation)}`", default, " ".join(said.split())
    return f"| {' | '.join(cell.replace('|', '&#124;') if k == 3 else _bar(cell) for k, cell in enumerate(cells))} |"


def _bar(code: str) -> str:
    """A bar inside code inside a table is escaped for Markdown's tables."""
    return code.replace("|", "\\|")


def _default(value: ast.expr) -> str:
    """``field(default_factory=dict)`` is an empty dict."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        for keyword in value.keywords:
            if keyword.arg == "default_factory":
                return {"dict": "{}", "list": "[]", "tuple": "()"}.get(ast.unparse(keyword.value), "made anew")
            if keyword.arg == "default":
                return ast.unparse(keyword.value)
        return ""
    return ast.unparse(value)


def _line(node: ast.FunctionDef, name: str | None = None) -> str:
    return f"{name or node.name}({', '.join(_arguments(node.args))}){_back(node, name)}"


def _signature(node: ast.FunctionDef, name: str | None = None) -> str:
    """On one line, or an argument a line."""
    line = _line(node, name)
    if len(line) <= _WIDTH:
        return line
    inside = "".join(f"    {text},\n" for text in _arguments(node.args))
    return f"{name or node.name}(\n{inside}){_back(node, name)}"


def _back(node: ast.FunctionDef, name: str | None) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns is not None and name is None else ""


def _arguments(args: ast.arguments) -> list[str]:
    """As they are written in a call's order, without self."""
    first = len(args.args) - len(args.defaults)
    out = [_with(arg, args.defaults[k - first] if k >= first else None) for k, arg in enumerate(args.args)]
    if args.args and args.args[0].arg in ("self", "cls"):
        out = out[1:]
    if args.vararg or args.kwonlyargs:
        out.append(f"*{ast.unparse(args.vararg) if args.vararg else ''}")
    out += [_with(arg, value) for arg, value in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return [*out, f"**{ast.unparse(args.kwarg)}"] if args.kwarg else out


def _with(argument: ast.arg, value: ast.expr | None) -> str:
    return ast.unparse(argument) + ("" if value is None else f" = {ast.unparse(value)}")


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _words(docstring: str | None) -> str:
    """A docstring as Markdown: code in single backticks."""
    return "" if not docstring else docstring.replace("``", "`") + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line and k else line for k, line in enumerate(text.split("\n")))
