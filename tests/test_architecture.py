"""The house: which package may import which, and what importing the command line may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "sceneminer"

# package: what it may import of ours (docs/decisions/0001-house.md).
ALLOWED = {
    "geometry": set(),
    "data": {"geometry"},
    "labels": {"geometry", "data"},
    "model": {"geometry", "data", "labels"},
    "train": {"geometry", "data", "labels", "model"},
    "recipes": {"geometry", "data", "labels", "model", "train"},
    "index": {"geometry", "data", "labels", "model"},
    "mine": {"geometry", "data", "labels", "model", "index"},
    "export": {"geometry", "data", "labels", "model", "index", "mine"},
    "serve": {"geometry", "data", "labels", "model", "index", "mine", "export"},
}
ALLOWED["evals"] = {*ALLOWED}
ALLOWED["cli"] = {*ALLOWED, "api"}
ALLOWED["api"] = {*ALLOWED} - {"evals", "cli"}
ALLOWED["__init__"] = set()
ALLOWED["__main__"] = {"cli"}

# vendor: the only places that may import it.
VENDORS = {
    "lancedb": {"index/store.py"},
    "lance": {"index/store.py"},
    "sqlglot": {"index/where"},
    "numba": {"data/synth"},
    "av": {"data/adapters/video_decoder.py"},
    "mcap": {"data/adapters/mcap", "export/mcap.py"},
    "mcap_protobuf": {"data/adapters/mcap", "export/mcap.py"},
    "rerun": {"export/rerun.py"},
    "ray": {"mine/ray_executor.py"},
    "transformers": {"model/tower.py", "recipes/tiny_clip.py"},
}


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} uses a relative import"
            if node.module == "sceneminer":
                yield from ((f"sceneminer.{alias.name}", node.lineno) for alias in node.names)
            elif node.module:
                yield node.module, node.lineno


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path):
    relative = path.relative_to(ROOT)
    package = relative.parts[0].removesuffix(".py")
    for name, line in imports(path):
        parts = name.split(".")
        if parts[0] == "sceneminer" and len(parts) > 1 and not parts[1].startswith("__"):
            target = parts[1]
            assert target == package or target in ALLOWED[package], f"{relative}:{line} {package} imports {target}"
        allowed = VENDORS.get(parts[0])
        if allowed is not None:
            assert any(str(relative).startswith(place) for place in allowed), f"{relative}:{line} imports {parts[0]}"


def test_nothing_unpickles_or_evaluates():
    forbidden = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {name.split(".")[0] for name, _ in imports(path)}
        assert not names & forbidden, path
        calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not calls & {"eval", "exec", "compile", "__import__"}, path


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from sceneminer.cli import app; "
        "heavy = {'torch','transformers','lancedb','numba','pyarrow','shapely','matplotlib','PIL','sqlglot'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
