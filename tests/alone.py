"""Tests at the same time in processes of pytest-xdist (-n), and afterwards those that are marked `alone`.

The processes leave out the tests that are alone; when they are through and gone, the session itself runs
these one by one, with nothing beside them. Without -n all run here, in their order.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest


class AloneAfterwards:
    """A plugin for the session that starts the processes, and for each of them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._given: dict[str, None] = {}
        """What the processes were given to run, in order."""
        self._told = set[str]()
        """That of which a report came."""
        self._alone: list[str] | None = None
        """What they left out; None until one ended and told."""

    @property
    def _distributes(self) -> bool:
        return bool(self._config.pluginmanager.hasplugin("dsession"))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if hasattr(self._config, "workerinput"):
            self._config.workeroutput["alone"] = [item.nodeid for item in items if _is_alone(item)]
            items[:] = [item for item in items if not _is_alone(item)]
            # Whole files are given out: the longest first, or one process waits long for the other's last.
            slow = {item.path for item in items if item.get_closest_marker("slow")}
            items.sort(key=lambda item: item.path not in slow)
        elif self._distributes:
            items[:] = [item for item in items if _is_alone(item)]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._given.update(dict.fromkeys(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        self._alone = getattr(node, "workeroutput", {}).get("alone", self._alone)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._told.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        done = yield
        if self._distributes:
            self._fail_the_untold(session)
            self._run_alone(session)
        return done

    def _fail_the_untold(self, session: pytest.Session) -> None:
        """A process that dies takes its tests along: they must not be missed in silence."""
        for name in self._given:
            if name not in self._told:
                path, _, test = name.partition("::")
                why = "was not run: the process that was to run it died"
                report = pytest.TestReport(name, (path, None, test), {}, "failed", why, "call")
                session.config.hook.pytest_runtest_logreport(report=report)

    def _run_alone(self, session: pytest.Session) -> None:
        session.config.pluginmanager.getplugin("dsession").nodemanager.teardown_nodes()
        if self._alone == []:
            return
        places = [str(session.config.rootpath / name) for name in self._alone or ()]
        items = session.perform_collect(places or None)  # without a word of what is alone, all is looked at
        session.testscollected = len(items) + len(self._given)
        for number, item in enumerate(items, 1):
            following = items[number] if number < len(items) else None
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None
