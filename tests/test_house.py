"""The rules of the house, read off the source tree: import contracts, banned words, one maker of pictures."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from streamfx import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "streamfx"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "trt_build").rglob("*.py")])
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCES}

BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BANNED_CALLS = {
    "torch.load": "unpickles",
    "time.time": "jumps when the clock is set",
    "time.time_ns": "jumps when the clock is set",
    "datetime.now": "jumps when the clock is set",
}
BANNED_OPTIONS = re.compile(r"--?(raw|passthrough|pass-through|bypass)\b")
BANNED_NAMES = re.compile(r"pass_?through", re.IGNORECASE)
STARTS = re.compile(r"os\.(exec|spawn|posix_spawn)")
LONGEST = 45
"""Lines of a function's body; most have ten."""
BROAD = {"Exception", "BaseException"}
BROAD_ALLOWED = {
    "streamfx/realtime.py": 1,  # a thread's failure is handed to its consumer whole
    "streamfx/sink/publisher.py": 1,  # the next tick must come
    "streamfx/control/rpc_adapter.py": 1,  # a call that fails must not tell clients more than that
}
"""Where anything is caught, and how often."""
LINUX_ONLY = {
    f"streamfx/{name}.py"
    for name in (
        "ipc/handed",
        "lab/live_start",
        "sink/v4l2",
        "sink/loopback",
        "sink/loopback_camera",
        "session/handed",
        "ipc/ring_server",
        "session/sharing",
        "source/feed",
        "worker/sharing/client",
        "worker/sharing/wire",
    )
}
"""Run on Linux alone."""
OTHER_SYSTEMS = """
[mypy]
python_version = 3.11
ignore_missing_imports = True
[mypy-torch.*,mediapipe.*,numba.*,cv2.*,openvino.*,nncf.*,onnx.*,onnxscript.*,dlib.*,tensorrt.*,tensorrt_rtx.*]
follow_imports = skip
follow_imports_for_stubs = True
[mypy-lightning_fabric.*,rich.*,av.*,PIL.*]
follow_imports = skip
follow_imports_for_stubs = True
"""
"""Python's own modules and ours: what others offer takes a minute to read."""
RENDERED_AT = {
    "streamfx/render/composite.py": "drawn from a rig",
    "streamfx/sink/idle.py": "moved from an idle portrait, which was drawn from a rig",
    "streamfx/sink/ring.py": "read as it was written: writing takes nothing but a Rendered",
}
"""The only makers of pictures for sinks, and from what."""


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind in the package, with its place."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{file}:{getattr(node, 'lineno', 0)}", node


def dotted(node: ast.AST) -> str:
    """`a.b` of an attribute or name; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return ""


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_import_contracts_are_kept():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


PLANTED = {
    "sink/film.py": "streamfx.source.file",
    "portrait/rig.py": "mediapipe",
    "cli/demo.py": "streamfx.sink.comparison",
    "render/base.py": "av",
    "track/photo.py": "streamfx.render.base",
    "errors.py": "streamfx.models.store",
    "models/store.py": "torch",
    "pipeline.py": "streamfx.lab.basis",
    "settings/daemon.py": "streamfx.source.base",
    "settings/motion.py": "numba",
    "sink/publisher.py": "grpc",
    "worker/load_governor.py": "streamfx.session.session",
    "models/engines.py": "tensorrt_rtx",
    "models/network.py": "trt_build",
}
"""Imports that break a contract, each in a file of its own."""


def test_broken_contracts_are_noticed(tmp_path: Path):
    """The contracts can fail: each planted import breaks one, and so does a room that no layer names."""
    ignored = shutil.ignore_patterns("__pycache__", "*.npz", "*.sfxm")
    for package in (PACKAGE, ROOT / "trt_build"):
        shutil.copytree(package, tmp_path / package.name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "streamfx" / "a_new_room.py").write_text("import os\n")
    for file, module in PLANTED.items():
        with (tmp_path / "streamfx" / file).open("a", encoding="utf-8") as planted:
            planted.write(f"\nimport {module}\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout
    for file, module in PLANTED.items():
        importer = "streamfx." + file.removesuffix(".py").replace("/", ".")
        assert f"{importer} -> {module} (" in done.stdout, done.stdout
    assert "- streamfx.a_new_room" in done.stdout, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_are_asked_for_nothing_that_they_lack(tmp_path: Path, system: str):
    """There is no such machine here; the types of Python's own modules tell what each has."""
    (tmp_path / "mypy.ini").write_text(OTHER_SYSTEMS)
    command = [
        sys.executable, "-m", "mypy", "-p", "streamfx", "-p", "trt_build", "--platform", system,
        "--config-file", str(tmp_path / "mypy.ini"), "--cache-dir", str(tmp_path), "--no-error-summary",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    found = {line.partition(":")[0] for line in done.stdout.splitlines() if ": error:" in line}
    assert done.stderr == ""
    assert found - LINUX_ONLY == set(), done.stdout
    assert found, "what is missing there is seen"


def test_nothing_can_execute_what_it_loads():
    """Neither pickle and its kin, nor numpy's way to it."""
    found = []
    for place, node in nodes(ast.Import):
        found += [place for alias in node.names if alias.name.partition(".")[0] in BANNED_MODULES]
    for place, node in nodes(ast.ImportFrom):
        found += [place] if (node.module or "").partition(".")[0] in BANNED_MODULES else []
    for place, node in nodes(ast.keyword):
        allows = isinstance(node.value, ast.Constant) and node.value.value is False
        found += [place] if node.arg == "allow_pickle" and not allows else []
    assert found == []


@pytest.mark.parametrize("call", sorted(BANNED_CALLS))
def test_no_banned_call(call: str):
    found = [place for place, node in nodes(ast.Attribute) if dotted(node) == call]
    module, _, name = call.partition(".")
    for place, node in nodes(ast.ImportFrom):
        found += [place for alias in node.names if node.module == module and alias.name == name]
    assert found == [], f"{call} {BANNED_CALLS[call]}"


def test_other_processes_are_started_in_one_place():
    """Where they are kept from the current folder: ipc/spawn.py."""
    starters = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"}
    starters |= {"subprocess.Popen", "os.system", "os.popen", "os.fork", "multiprocessing.Process"}
    found = {place for place, node in nodes(ast.Call) if dotted(node.func) in starters}
    found |= {place for place, node in nodes(ast.Attribute) if STARTS.match(dotted(node))}
    for place, node in nodes(ast.ImportFrom):
        found |= {place} if node.module in ("subprocess", "multiprocessing") else set()
    assert {place.partition(":")[0] for place in found} == {"streamfx/ipc/spawn.py"}, found


def test_nobody_asks_a_path_that_raises_where_nobody_may_look():
    """`Path.exists` and its like raise PermissionError where os.path's say no. Training knows its own."""
    asks = {"exists", "is_dir", "is_file", "is_socket", "is_symlink"}
    found = [
        place for place, node in nodes(ast.Attribute) if node.attr in asks and dotted(node)[:8] != "os.path."
    ]
    assert [place for place in found if "/lab/" not in place] == []


def test_openvino_has_one_core():
    """A second one endangers Ctrl-C: see models/network.CORE."""
    found = [place for place, node in nodes(ast.Attribute) if dotted(node) == "openvino.Core"]
    assert [place.partition(":")[0] for place in found] == ["streamfx/models/network.py"], found


def test_no_way_through_for_camera_pixels():
    """No option, name or key is called raw or passthrough: the real picture cannot be asked for."""
    found = [
        f"{place} {node.value!r}"
        for place, node in nodes(ast.Constant)
        if isinstance(node.value, str) and BANNED_OPTIONS.match(node.value)
    ]
    for kind in (ast.FunctionDef, ast.ClassDef):
        found += [place for place, node in nodes(kind) if BANNED_NAMES.search(node.name)]
    for place, node in nodes(ast.arg):
        a_switch = node.arg == "raw" and node.annotation is not None and dotted(node.annotation) == "bool"
        found += [place] if a_switch or BANNED_NAMES.search(node.arg) else []
    found += [place for place, node in nodes(ast.Name) if BANNED_NAMES.search(node.id)]
    assert found == []


def test_pictures_for_sinks_are_made_where_it_is_said_and_nowhere_else():
    found = [place for place, node in nodes(ast.Call) if dotted(node.func).rpartition(".")[2] == "Rendered"]
    assert sorted(place.partition(":")[0] for place in found) == sorted(RENDERED_AT)


def test_rings_are_written_by_the_sink_alone():
    """What takes nothing but a Rendered: whoever reads camera pictures from a ring cannot write into one."""
    named = {place.partition(":")[0] for place, node in nodes(ast.Name) if dotted(node) == "RingMemory"}
    for place, node in nodes(ast.ImportFrom):
        named |= {place.partition(":")[0] for alias in node.names if alias.name == "RingMemory"}
    assert named == {"streamfx/ipc/ring.py", "streamfx/sink/ring.py"}


def test_no_broad_except():
    """Foreign errors are translated by name; what nobody expected must be seen."""
    found: Counter[str] = Counter()
    for place, node in nodes(ast.ExceptHandler):
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(one is None or dotted(one) in BROAD for one in caught):
            found[place.partition(":")[0]] += 1
    assert found - Counter(BROAD_ALLOWED) == Counter()


def test_version_is_the_newest_in_the_changelog():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == __version__


def test_files_and_functions_stay_readable():
    long_files = [
        f"{file}: {n}" for file in TREES if (n := (ROOT / file).read_text("utf-8").count("\n")) >= 400
    ]
    long_functions = [
        f"{place} {node.name}: {lines} lines"
        for place, node in nodes(ast.FunctionDef)
        if (lines := _body_lines(node)) > LONGEST
    ]
    assert (long_files, long_functions) == ([], [])


def _body_lines(node: ast.FunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    first, *rest = node.body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if documented and not rest:
        return 0
    return (node.end_lineno or 0) - (rest[0] if documented else first).lineno + 1


def test_every_folder_is_a_package():
    """A folder without __init__.py is neither installed nor seen by the import contracts."""
    bare = {path.parent.as_posix() for path in SOURCES if not (path.parent / "__init__.py").exists()}
    assert bare == set()


def included(folder: Path) -> dict[str, set[str]]:
    """The modules of C code, and which of the others each includes; a header and its code are one module."""
    modules: dict[str, set[str]] = {}
    for path in folder.glob("*.[ch]"):
        named = re.findall(r'^#\s*include "([\w-]+)\.h"', path.read_text("utf-8"), re.MULTILINE)
        modules.setdefault(path.stem, set()).update(set(named) - {path.stem})
    return modules


def test_modules_of_the_obs_plugin_include_each_other_in_no_circle():
    modules = included(ROOT / "plugins" / "obs" / "src")
    assert {"session-sync", "portrait-source"} <= modules.keys()
    list(TopologicalSorter(modules).static_order())  # raises CycleError, which names the circle


def test_a_circle_of_c_modules_is_noticed(tmp_path: Path):
    (tmp_path / "one.c").write_text('#include "one.h"\n#include "two.h"\n')
    (tmp_path / "two.h").write_text('#include "three.h"\n')
    (tmp_path / "three.c").write_text('# include "one.h"\n')
    with pytest.raises(CycleError, match="one"):
        list(TopologicalSorter(included(tmp_path)).static_order())


def test_cited_sections_of_the_method_exist():
    """Docstrings cite docs/algorithm.md by its headings."""
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "algorithm.md").read_text("utf-8"), re.MULTILINE)
    known = {heading.lower().replace(" ", "-") for heading in headings}
    cited = {place: anchor for path in SOURCES for place, anchor in _citations(path)}
    assert len(cited) > 20
    assert {place: anchor for place, anchor in cited.items() if anchor not in known} == {}


def _citations(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        for anchor in re.findall(r"algorithm\.md#([a-z-]+)", line):
            yield f"{path.relative_to(ROOT)}:{number} {anchor}", anchor
        assert not re.search(r"ALGORITHM [a-z]|design section", line), (
            f"{path}:{number} cites what is not here"
        )


def test_the_drawing_of_the_rooms_is_current():
    done = subprocess.run(
        ["sh", "scripts/draw-rooms", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_the_architecture_names_what_is_there():
    """Every room, and no file that is gone."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {"assets"}
    assert {room for room in rooms if f"`{room}/" not in page} == set()
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)", page) + re.findall(r"`([a-z_]+\.py)`", page)
    lost = [name for name in named if not any(PACKAGE.glob(name)) and not any(PACKAGE.rglob(name))]
    assert named
    assert lost == []
