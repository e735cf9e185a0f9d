"""Folders point one way: what each may import, read from the syntax trees and the includes; exceptions stand here by name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "twinrack"

# From the bottom to the top: a folder or module imports from its own row and from the rows above it in this list.
PYTHON = [
    ["_engine", "version", "moved"],
    ["checks"],
    ["audio", "perceptual"],
    ["system"],
    ["formats"],
    ["files"],
    ["resources"],
    ["rack"],
    ["effects", "measure"],
    ["hosting"],
    ["render"],
    ["twins"],
    ["functional"],
    ["session"],
    ["exchange"],
    ["plugin_files"],
    ["pages"],
    ["stage"],
    ["room"],
    ["train"],
    ["explain"],
    ["validation"],
    ["cloning"],
    ["listening"],
    ["review"],
    ["bench"],
    ["projects"],
    ["cli"],
    ["__main__"],
]
ALONE = ["build"]  # runs before there is a package

# Methods that are there for convenience and reach up, or into the module that builds on theirs: module, function, module.
# (The function is "TYPE_CHECKING" for what only annotations name.)
CONVENIENT = {
    ("rack.rack", "Rack.save", "rack.patch"),
    ("rack.rack", "Rack._repr_html_", "pages.drawing"),
    ("rack.effect", "Effect._repr_html_", "pages.drawing"),
    ("rack.card", "Card._repr_html_", "pages.drawing"),
    ("rack.rack", "Rack.twin", "twins.rack_twin"),
    ("rack.rack", "TYPE_CHECKING", "twins.rack_twin"),
    ("rack.rack", "TYPE_CHECKING", "twins.recursions"),
    ("resources.network", "Network.read", "resources.nam"),
    ("resources.network", "Network.write", "resources.nam"),
    ("rack.patch", "_entry", "hosting.effect"),
    ("rack.patch", "_item", "hosting.effect"),
    ("session.session", "Session.load", "session.file"),
    ("session.session", "Session.render", "session.render"),
    ("session.session", "Session.render_to", "session.output"),
    ("session.session", "Session.report", "session.measure"),
    ("session.session", "Session.save", "session.file"),
    ("session.session", "Session.stems", "session.render"),
    ("session.session", "Session.twin", "session.twin"),
    ("session.session", "TYPE_CHECKING", "session.measure"),
    ("session.session", "TYPE_CHECKING", "session.twin"),
    ("session.measure", "MixReport.write", "explain.mix_page"),
    ("explain.overview", "Explanation.report", "explain.overview_page"),
    ("train.result", "FitResult.explain", "explain.account"),
    ("validation.validate", "Validation.report", "validation.page"),
    ("train.result", "FitResult.report", "explain.report"),
}

# C++, likewise; `plugins` meets `engine` only in generated code. What trains, `*_sweep.h`, may build on `adjoint`.
CPP = {
    "rt": set[str](),
    "abi": {"rt"},
    "dsp": {"rt"},
    "plugins": {"dsp", "rt"},
    "engine": {"dsp", "rt"},
    "adjoint": {"dsp", "rt"},
    "live": {"dsp", "engine", "rt"},
    "export": {"abi", "engine", "dsp", "rt"},
    "web": {"engine"},
    "host": {"abi", "rt"},
    "bind": {"engine", "adjoint", "live", "export", "dsp", "rt"},
}


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if "plugins" not in path.parts}


def imports(module: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a module imports, within functions and for type checkers too, and the function that does so."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module[:-1]

    def of(node: ast.ImportFrom) -> Iterator[tuple[str, ...]]:
        if node.level:
            base = package[: len(package) - node.level + 1] + tuple((node.module or "").split(".") if node.module else ())
        elif (node.module or "").partition(".")[0] == "twinrack":
            base = tuple((node.module or "").split(".")[1:])
        else:
            return
        for alias in node.names:
            deeper = (*base, alias.name)
            yield deeper if deeper in MODULES or base == () else base

    def walk(node: ast.AST, where: str) -> Iterator[tuple[tuple[str, ...], str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ImportFrom):
                for target in of(child):
                    yield target, where
            elif isinstance(child, ast.Import):
                for alias in child.names:
                    if alias.name.partition(".")[0] == "twinrack":
                        yield tuple(alias.name.split(".")[1:]), where
            inner = where
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inner = "TYPE_CHECKING"
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inner = f"{where}.{child.name}" if where else child.name
            yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def arrows() -> list[tuple[str, str, str]]:
    """(module, function, module) for every import inside the package that is not on the list of conveniences."""
    every = []
    for module in MODULES:
        if not module:  # the package's own face
            continue
        every += [(".".join(module), where, ".".join(target)) for target, where in imports(module)]
    return [arrow for arrow in every if arrow not in CONVENIENT]


def row_of(module: str) -> int:
    top = module.partition(".")[0]
    return next(i for i, row in enumerate(PYTHON) if top in row)


def test_every_module_has_its_place():
    tops = {module[0] for module in MODULES if module}
    assert tops - {name for row in PYTHON for name in row} == set(ALONE)


def test_python_points_one_way():
    back = [a for a in arrows() if a[0].partition(".")[0] not in ALONE and row_of(a[2]) > row_of(a[0])]
    assert not back


def test_what_runs_at_build_time_stands_alone():
    for source, _, target in arrows():
        assert (source.partition(".")[0] in ALONE) == (target.partition(".")[0] in ALONE), (source, target)


def circles(edges: list[tuple[str, str, str]]) -> list[list[str]]:
    """Modules that import one another, by Tarjan's algorithm."""
    after = defaultdict(set)
    for source, _, target in edges:
        if source != target:
            after[source].add(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    rings: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(after[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            ring = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(ring) > 1:
                rings.append(sorted(ring))

    for node in sorted(after):
        if node not in index:
            visit(node)
    return rings


def test_no_circle_of_imports():
    assert circles(arrows()) == []


# Private names that a module uses of another one. Libraries: what has no public door.
BORROWED_OF_LIBRARIES = {
    "stage.jack_server": {"_ffi", "_lib", "_libname", "_ptr"},  # JACK-Client: callbacks in C, latencies
    "stage.portaudio": {
        "_exit_handler",
        "_ffi",
        "_initialize",
        "_initialized",
        "_lib",
        "_StreamBase",
        "_terminate",
    },  # sounddevice
    "stage.recorder": {"_ffi", "_file", "_snd"},  # soundfile: a header that fits after a crash
    "system.forking": {"_at_fork_reinit", "_is_owned"},  # RLock
    "system.interrupt": {"_exit"},  # os
    "twins.curves": {"_C", "_functorch"},  # torch
    "twins.networks": {"_VF"},  # torch
}
# Our own, by name: what pickles call it.
BORROWED = {"rack": {"_rebuild_rack"}}


def borrowed(source: str) -> set[str]:
    """Private names that a module uses of other modules: attributes of anything but self and cls, and imports."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if of_self and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif not of_self:
                used.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            used |= {alias.name for alias in node.names if alias.name != "_engine"}
    return {name for name in used - own if name.startswith("_") and not name.endswith("__")}


def test_no_module_uses_private_names_of_another():
    for module, path in MODULES.items():
        name = ".".join(module)
        allowed = {*BORROWED_OF_LIBRARIES.get(name, ()), *BORROWED.get(name, ())}
        assert borrowed(path.read_text(encoding="utf-8")) - allowed == set(), name


def test_the_lists_of_private_names_hold_no_more_than_is_used():
    for uses in (BORROWED_OF_LIBRARIES, BORROWED):
        for name, names in uses.items():
            assert borrowed(MODULES[tuple(name.split("."))].read_text(encoding="utf-8")) >= names, name


def test_a_borrowed_private_name_would_be_seen():
    source = "from .a import _b\nclass C:\n    def f(self, other):\n        self._x = other._x + self._y + other._z.w\n"
    assert borrowed(source) == {"_b", "_z"}


def test_the_conveniences_are_there():
    every = {(".".join(m), where, ".".join(t)) for m in MODULES if m for t, where in imports(m)}
    assert every >= CONVENIENT


def test_a_circle_would_be_seen():
    assert circles([("a", "", "b"), ("b", "f", "c"), ("c", "", "a"), ("d", "", "a")]) == [["a", "b", "c"]]


def test_few_modules_lie_loose():
    assert len([module for module, path in MODULES.items() if len(module) == 1 and path.name != "__init__.py"]) <= 8


@pytest.mark.parametrize("folder", CPP)
def test_cpp_points_one_way(folder):
    base = ROOT / "plugins" if folder == "plugins" else ROOT / "cpp" / folder
    files = [path for ending in ("*.h", "*.cc") for path in base.rglob(ending)]
    assert files
    for path in files:
        for name in re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8")):
            top = name.partition("/")[0]
            if "/" in name and top != "hwy":
                trains = folder == "plugins" and path.name.endswith("_sweep.h")
                allowed = CPP[folder] | {folder} | ({"adjoint"} if trains else set())
                assert top in allowed, f"{path.relative_to(ROOT)} includes {name}"


def test_inl_is_what_is_compiled_for_every_instruction_set():
    """`-inl.h` in cpp/: included once for each instruction set by Highway. All headers of plugins are."""
    for path in (ROOT / "cpp").rglob("*.h"):
        assert ("HWY_TARGET_TOGGLE" in path.read_text(encoding="utf-8")) == path.name.endswith("-inl.h"), path
