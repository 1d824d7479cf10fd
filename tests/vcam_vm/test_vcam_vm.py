"""The virtual camera with the real v4l2loopback: one machine is booted, and all scenarios run inside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("v4l2loopback is Linux's", allow_module_level=True)

from scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
VM = ROOT / "scripts" / "vcam-vm"
LIMIT_S = 700
NOT_HERE = 77

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 300)]


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every scenario reported, by name."""
    out = tmp_path_factory.mktemp("vm")
    program = [sys.executable, str(Path(__file__).with_name("scenarios.py")), str(out / "report.jsonl")]
    machine = [str(VM), "-t", str(LIMIT_S), "-o", str(out), "env", f"PYTHONPATH={ROOT}", *program]
    done = subprocess.run(machine, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    report = out / "report.jsonl"
    lines = report.read_text("utf-8").splitlines() if report.exists() else []
    assert lines, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    return {line["name"]: line for line in map(json.loads, lines)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_the_machine(reports: dict[str, dict[str, Any]], name: str):
    assert name in reports, f"the machine ended before {name}; it reported {', '.join(reports)}"
    report = reports[name]
    assert not report["failure"], report["failure"]
    if "skipped" in report["figures"]:
        pytest.skip(report["figures"]["skipped"])
    sys.stdout.write(json.dumps(report["figures"]))  # pytest -rP shows it
