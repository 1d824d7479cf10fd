"""Thousands of damaged files through the real readers, in processes that are watched.

As a program (scripts/mutate): 10,000 images, 10,000 videos and as many settings files, by a seed, two
processes at a time. What it finds is kept, under a name from which `mutations.case` makes it again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from examined import ACCEPTED, MARK, WRONG, Verdict, is_allowed
from mutations import Case, case, seeds

LIMIT_S = 20.0
"""Of the wall's clock, for one file, after which its process counts as hung: machines that test are busy."""
CPU_S = {"images": 1.0, "videos": 2.0, "settings": 1.0, "planted": 1.0}
"""Until a photo is read, or a video's first picture, or either is refused; told, and no failure by itself."""
MOST_MB = {"images": 1000.0, "videos": 1000.0, "settings": 300.0, "planted": 300.0}
"""Of memory, the reader included (100), while one file is read."""
_TRACER = ("strace", "-f", "-qq", "--seccomp-bpf")
_CALLS = "open,openat,openat2,creat,socket,connect,bind,execve,execveat,fork,vfork"
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Finding:
    """A file that came out as none may."""

    case: Case
    what: str


@dataclass
class Tally:
    """What many files came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0
    pictures: int = 0
    traced: bool = False

    def count(self, kind: str, done: Case, verdict: Verdict) -> None:
        refusal = verdict.told.partition(":")[0]
        self.outcomes[ACCEPTED if verdict.outcome == ACCEPTED else refusal] += 1
        self.slowest_s, self.peak_mb = max(self.slowest_s, verdict.cpu_s), max(self.peak_mb, verdict.peak_mb)
        self.pictures += verdict.pictures
        if verdict.cpu_s > CPU_S[kind]:
            self.slow.append((verdict.cpu_s, done.name))
        if verdict.outcome == ACCEPTED:
            self.accepted.append(done.name)
        if verdict.outcome == WRONG:
            self.findings.append(Finding(done, verdict.told))
        elif verdict.peak_mb > MOST_MB[kind]:
            self.findings.append(Finding(done, f"it took {verdict.peak_mb:.0f} MB"))

    def line(self, kind: str) -> str:
        """All figures in a line."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        watch = "traced" if self.traced else "not traced"
        return (
            f"{sum(self.outcomes.values())} {kind}: {len(self.findings)} findings; {counts}; "
            f"{self.pictures} pictures; slowest {self.slowest_s:.2f} s of CPU, {len(self.slow)} above "
            f"{CPU_S[kind]:.0f}; most memory {self.peak_mb:.0f} MB; {watch}"
        )


class Broken(Exception):  # noqa: N818 - says how
    """The process that read a file crashed or hung."""


class Reader:
    """One process that reads files, traced where that can be."""

    def __init__(self, kind: str, folder: Path, number: int, *, traced: bool, limit_s: float) -> None:
        self._limit_s = limit_s
        self._trace = folder / f"trace-{number}" if traced else None
        self._said = folder / f"said-{number}"
        tracer = (*_TRACER, "-s", "300", "-e", f"trace={_CALLS}", "-o", str(self._trace))
        command = [sys.executable, str(Path(__file__).with_name("examined.py"))]
        for seed in seeds(kind):
            command += [kind, str(seed)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "MALLOC_ARENA_MAX": "2"}
        with self._said.open("w+b") as said:
            self._process = subprocess.Popen(
                [*(tracer if traced else ()), *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True,
                env=environment,
            )  # fmt: skip
        if self._answer(120.0) != "ready\n":
            self.close()
            raise Broken(f"no reader: {self._said.read_text()}")

    def read(self, kind: str, path: Path) -> Verdict:
        """Have a file read.

        Raises:
            Broken: it crashed or hung; this reader is of no more use.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps((kind, str(path))) + "\n")
            self._process.stdin.flush()
        answer = self._answer(self._limit_s)
        if answer is None:
            self.close()
            raise Broken(f"it was not done after {self._limit_s:.0f} s")
        if not answer:
            code = self._process.wait()
            self.close()
            raise Broken(f"it crashed (code {code}): {self._said.read_text()[-500:]}")
        return Verdict(**json.loads(answer))

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def reached(self) -> list[str]:
        """Calls of the system that no file may cause, by the trace; after `close`."""
        if self._trace is None:
            return []
        return list(_foreign(self._trace.read_text(errors="replace").splitlines()))

    def _answer(self, limit_s: float) -> str | None:
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], limit_s)[0]
        return self._process.stdout.readline() if ready else None


def _foreign(lines: Iterable[str]) -> Iterator[str]:
    begun, named = False, ""
    for line in lines:
        begun = begun or MARK in line
        call, path = line.partition("(")[0].split()[-1], _PATH.search(line)
        opened = path[1] if path else ""
        if not begun or MARK in line or "resumed>" in line or call.startswith(("+++", "---")):
            continue
        if call.startswith(("open", "creat")) and "/case-" in opened:
            named = opened
        elif not call.startswith("open") or not is_allowed(opened, named):
            yield f"{line.strip()} (at {Path(named).name})"


class Trial:
    """Cases, shared among readers; each writes into a folder of its own."""

    def __init__(
        self, kind: str, cases: Iterable[Case], folder: Path, *, traced: bool, limit_s: float
    ) -> None:
        self.tally = Tally(traced=traced)
        self._limit_s = limit_s
        self._kind, self._cases, self._folder = kind, iter(cases), folder
        self._lock = threading.Lock()
        self._readers = 0

    def run(self, jobs: int) -> Tally:
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.tally

    def _work(self, number: int) -> None:
        own = self._folder / f"case-{number}"
        own.mkdir()
        reader: Reader | None = None
        while (one := self._next()) is not None:
            path = own / one.name
            path.write_bytes(one.data)
            reader = reader or self._reader()
            try:
                verdict = reader.read(self._kind, path)
            except Broken as broken:
                verdict = Verdict(WRONG, str(broken))
                self._done_with(reader)
                reader = None
            path.unlink()
            with self._lock:
                self.tally.count(self._kind, one, verdict)
        if reader is not None:
            self._done_with(reader)

    def _next(self) -> Case | None:
        with self._lock:
            return next(self._cases, None)

    def _reader(self) -> Reader:
        with self._lock:
            self._readers += 1
            number = self._readers
        return Reader(self._kind, self._folder, number, traced=self.tally.traced, limit_s=self._limit_s)

    def _done_with(self, reader: Reader) -> None:
        reader.close()
        if self._kind == "settings":
            return  # `~` is looked up among the accounts
        with self._lock:
            self.tally.findings += [Finding(Case("trace", b""), call) for call in reader.reached()]


def can_trace() -> bool:
    """Whether strace is there and may trace."""
    command = (*_TRACER, "-e", "trace=openat", "-o", os.devnull, "true")
    with suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    return False


def tried(kind: str, cases: Iterable[Case], *, jobs: int = 2, limit_s: float = LIMIT_S) -> Tally:
    """Have all cases read; what they came to."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="sfx-mutated-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return Trial(kind, cases, folder, traced=can_trace(), limit_s=limit_s).run(jobs)


def damaged(kind: str, seed: int, count: int) -> Iterator[Case]:
    """The first so many mutations of a seed."""
    return (case(kind, seed, number) for number in range(count))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    for kind in ("images", "videos", "settings"):
        parser.add_argument(f"--{kind}", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where files that were found are kept")
    chosen = parser.parse_args()
    found = 0
    for kind in ("images", "videos", "settings"):
        tally = tried(kind, damaged(kind, chosen.seed, getattr(chosen, kind)), jobs=chosen.jobs)
        sys.stdout.write(f"seed {chosen.seed}: {tally.line(kind)}\n")
        for seconds, name in sorted(tally.slow, reverse=True)[:10]:
            sys.stdout.write(f"  {seconds:.2f} s: {name}\n")
        for finding in tally.findings:
            sys.stdout.write(f"  {kind}/{finding.case.name}: {finding.what}\n")
            if chosen.keep:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                (chosen.keep / finding.case.name).write_bytes(finding.case.data)
        sys.stdout.flush()
        found += len(tally.findings)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
