"""The OBS plugin's reader of rings, in C: hostile headers, torn pictures, what compilers and tools say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "plugins" / "obs"
HEADERS = int(os.environ.get("STREAMFX_RING_HEADERS", "10000"))
TEAR_S = 3.0
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
STRICT = ("-std=gnu17", "-Wall", "-Wextra", "-Werror")
ALONE = ("ring.c", "handover.c")
"""What uses nothing of OBS."""
COMPILERS = ("cc", "gcc", "clang")
OBS_HEADERS = Path("/usr/include/obs")


def run(*command: str, limit_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PLUGIN, capture_output=True, text=True, timeout=limit_s, check=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The C harness, with sanitizers."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, on Linux")
    built = str(tmp_path_factory.mktemp("ring") / "ring-test")
    sources = ["test/ring-test.c", *(f"src/{name}" for name in ALONE)]
    done = run(compiler, *STRICT, *SANITIZERS, "-o", built, *sources, "-pthread")
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    return built


def figures(done: subprocess.CompletedProcess[str]) -> list[int]:
    """The numbers a clean run printed; a sanitizer's report ends the program with an error."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    sys.stdout.write(done.stdout)
    return [int(number) for number in re.findall(r"\d+", done.stdout)]


def test_hostile_headers_are_refused_and_nothing_beyond_the_memory_is_read(program: str):
    count, opened, *refused = figures(run(program, "headers", str(HEADERS), "1"))
    assert count == HEADERS
    assert opened + sum(refused) == HEADERS
    assert opened > HEADERS / 20, "valid ones, and those with harmless mutations, open"
    assert all(refused[:-1]), "each reason to refuse was met, but for a system that cannot map"


def test_no_torn_picture_is_accepted(program: str):
    accepted, refused, written = figures(run(program, "tear", str(TEAR_S)))
    assert accepted > 1000
    assert refused > 0
    assert written > accepted


def test_strange_handovers_are_refused_and_leave_no_descriptor_open(program: str):
    count, given = figures(run(program, "handover", "500", "1"))
    assert 0 < given < count


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's messages in C, as the build makes them."""
    protoc = shutil.which("protoc-c")
    if protoc is None:
        pytest.skip("not installed: protoc-c")
    folder = tmp_path_factory.mktemp("messages")
    done = run("cmake/make-messages", protoc, str(ROOT / "protos"), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_have_nothing_to_say(compiler: str, messages: Path, tmp_path: Path):
    if not shutil.which(compiler):
        pytest.skip(f"not installed: {compiler}")
    own = ALONE if not OBS_HEADERS.exists() else [path.name for path in sorted((PLUGIN / "src").glob("*.c"))]
    own = [
        name for name in own if not name.startswith(("daemon-", "grpc-"))
    ]  # have headers of their own needs
    for name in own:
        options = (
            "-fPIC",
            f"-isystem{OBS_HEADERS}",
            "-Isrc",
            f"-isystem{messages}",
            '-DPLUGIN_VERSION="0"',
            "-O2",
            "-Wshadow",
        )
        done = run(compiler, *STRICT, *options, "-c", f"src/{name}", "-o", str(tmp_path / "object"))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_code_is_formatted():
    if not shutil.which("clang-format"):
        pytest.skip("not installed: clang-format")
    files = [str(path) for folder in ("src", "test") for path in sorted((PLUGIN / folder).glob("*.[ch]"))]
    done = run("clang-format", "--dry-run", "--Werror", *files)
    assert done.returncode == 0, done.stderr


def test_cppcheck_finds_nothing():
    if not shutil.which("cppcheck"):
        pytest.skip("not installed: cppcheck")
    defines = ("-D__BYTE_ORDER__=1", "-D__ORDER_LITTLE_ENDIAN__=1", "-DOBS_DECLARE_MODULE()=")
    macros = ("-DOBS_MODULE_USE_DEFAULT_LOCALE(a,b)=", "-DOBS_MODULE_AUTHOR(a)=", "-DMODULE_EXPORT=")
    options = ("--enable=warning,performance,portability", "--std=c11", "--quiet", "--error-exitcode=1")
    protobuf = ("-DPROTOBUF_C_VERSION_NUMBER=1004001", "-DPROTOBUF_C_MIN_COMPILER_VERSION=1000000")
    done = run("cppcheck", *options, *defines, *macros, *protobuf, "src", "test")
    assert done.returncode == 0, done.stderr


def test_clang_tidy_finds_nothing(tmp_path: Path):
    if not shutil.which("clang-tidy"):
        pytest.skip("not installed: clang-tidy")
    if not OBS_HEADERS.exists():
        pytest.skip("not installed: libobs-dev")
    run("cmake", "-S", ".", "-B", str(tmp_path))
    run("cmake", "--build", str(tmp_path), "--target", "messages")
    files = [str(path) for path in sorted((PLUGIN / "src").glob("*.c"))]
    done = run("clang-tidy", "-p", str(tmp_path), "--quiet", *files, limit_s=170)
    assert done.returncode == 0, done.stdout


def test_every_file_names_its_licence():
    files = [*PLUGIN.glob("src/*.[ch]"), *PLUGIN.glob("test/*.[ch]"), PLUGIN / "CMakeLists.txt"]
    for path in files:
        assert "SPDX-License-Identifier: GPL-2.0-or-later" in path.read_text("utf-8")[:200], path
    assert "GNU GENERAL PUBLIC LICENSE" in (PLUGIN / "LICENSE").read_text("utf-8")[:200]


def test_every_language_has_every_text():
    texts = {
        path.stem: set(re.findall(r"^([\w.]+)=\"", path.read_text("utf-8"), re.MULTILINE))
        for path in (PLUGIN / "data" / "locale").glob("*.ini")
    }
    assert set(texts) == {"en-US", "de-DE", "fr-FR"}
    assert texts["de-DE"] == texts["en-US"] == texts["fr-FR"]
    english = (PLUGIN / "data" / "locale" / "en-US.ini").read_text("utf-8")
    assert 'Source.Name="Animated Portrait"' in english
    code = "".join(path.read_text("utf-8") for path in (PLUGIN / "src").glob("*.c"))
    literals = set(re.findall(r'"([^"\\\n]*)"', code))
    assert texts["en-US"] <= literals, "a text that nothing shows"
    named = {text for text in literals if re.fullmatch(r"[A-Z][a-zA-Z]+\.[A-Z][a-zA-Z]+", text)}
    titles = set(re.findall(r'\b(?:T|obs_module_text)\("([\w.]+)"\)', code))
    keys = {text for text in named if not text.startswith("StreamFX.")}
    assert keys | titles <= texts["en-US"], "a text that is missing"


def test_the_script_installs_for_one_user_and_makes_a_package(tmp_path: Path):
    for tool in ("cmake", "cc", "make", "protoc-c", "dpkg-shlibdeps"):
        if not shutil.which(tool):
            pytest.skip(f"not installed: {tool}")
    if not OBS_HEADERS.exists():
        pytest.skip("not installed: libobs-dev")
    root = tmp_path / "streamfx"
    shutil.copytree(PLUGIN, root / "plugins" / "obs", ignore=shutil.ignore_patterns("build"))
    shutil.copytree(ROOT / "protos", root / "protos")
    script = shutil.copy(ROOT / "scripts" / "install-obs-plugin", root / "install")
    (root / "scripts").mkdir()
    script = shutil.move(script, root / "scripts" / "install-obs-plugin")
    world = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def install(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(script), *options],
            env=world | variables, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    plugins = tmp_path / ".config" / "obs-studio" / "plugins"
    for name, content in (("streamfx", "\0streamfx_portrait_source\0"), ("StreamFX", "another author's")):
        (plugins / name / "bin" / "64bit").mkdir(parents=True)
        (plugins / name / "bin" / "64bit" / f"{name}.so").write_text(content)
    done = install()
    assert done.returncode == 0, done.stderr
    assert "earlier name" in done.stdout
    assert {path.name for path in plugins.iterdir()} == {"StreamFX", "streamfx-portrait"}
    plugin = plugins / "streamfx-portrait"
    assert (plugin / "bin" / "64bit" / "streamfx-portrait.so").exists()
    assert (plugin / "data" / "locale" / "en-US.ini").exists()
    done = install("--deb")
    assert done.returncode == 0, done.stderr
    package = next((root / "dist").glob("streamfx-portrait_*.deb"))
    held = run("dpkg-deb", "-c", str(package)).stdout
    assert re.search(r"\./usr/lib/\S+/obs-plugins/streamfx-portrait\.so", held)
    assert "./usr/share/obs/obs-plugins/streamfx-portrait/locale/en-US.ini" in held
    few = tmp_path / "few"  # a system without compilers
    few.mkdir()
    for tool in ("dirname", "uname"):
        (few / tool).symlink_to(str(shutil.which(tool)))
    refused = install(PATH=str(few))
    assert refused.returncode == 1
    assert "apt install cmake gcc make" in refused.stderr
