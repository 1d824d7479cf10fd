"""`streamfx models list|pull|verify`: the model files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamfx.cli import add_json
from streamfx.cli.progress import bars
from streamfx.cli.show import megabytes, print_columns, print_json
from streamfx.models.store import ModelStatus, State, Store
from streamfx.models.weights import NetworkRow, shipped_weights

if TYPE_CHECKING:
    from streamfx.cli import Subparsers

DESCRIPTION = """\
The model files that streamfx uses: fetched once, checked by their sha256 before every use.
They lie in ~/.cache/streamfx/models; STREAMFX_MODELS_DIR names another folder.
STREAMFX_OFFLINE=1 forbids fetching."""


def add_parser(subparsers: Subparsers) -> None:
    """Describe `models` and its three actions."""
    parser = subparsers.add_parser(
        "models",
        help="list, fetch and check the model files",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, action, text in (
        ("list", list_models, "show each model, its state and its licence"),
        ("pull", pull, "fetch what is missing or damaged (all, or the named ones)"),
        ("verify", verify, "read every file again and compare its sha256; exit 1 unless all are right"),
    ):
        one = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        one.add_argument(
            "names", nargs="*", metavar="NAME", help="a model's name as `list` shows it; none: all"
        )
        add_json(one, reads=name != "pull")
        one.set_defaults(run=run, action=action)


def run(arguments: argparse.Namespace) -> int:
    """Do one of the three actions."""
    code: int = arguments.action(Store.default(), arguments)
    return code


def list_models(store: Store, arguments: argparse.Namespace) -> int:
    """Show the models; a missing one is no failure. With none named, the networks that ship, too."""
    networks = () if arguments.names else shipped_weights().rows
    _show(store, store.list(arguments.names), networks, as_json=arguments.json)
    return 0


def pull(store: Store, arguments: argparse.Namespace) -> int:
    """Fetch what is missing or damaged, then show the models."""
    with bars() as progress:
        store.pull(arguments.names, progress)
    _show(store, store.list(arguments.names), as_json=arguments.json)
    return 0


def verify(store: Store, arguments: argparse.Namespace) -> int:
    """Hash every file anew; 1 unless all are right."""
    found = store.verify(arguments.names)
    _show(store, found, as_json=arguments.json)
    return 0 if all(status.state is State.OK for status in found) else 1


def _show(
    store: Store, found: Sequence[ModelStatus], networks: Sequence[NetworkRow] = (), *, as_json: bool
) -> None:
    if as_json:
        models = [_document(status) for status in found]
        shipped = [_network_document(row) for row in networks]
        print_json({"folder": str(store.root), "models": models, "networks": shipped})
        return
    rows = [
        (
            status.row.name,
            status.state.value,
            megabytes(status.row.size),
            status.row.licence,
            status.row.about,
        )
        for status in found
    ]
    print_columns([("NAME", "STATE", "SIZE", "LICENCE", "WHAT IT IS FOR"), *rows])
    print(f"in {store.root}")
    if any(status.state is not State.OK for status in found):
        print("fetch what is missing or corrupt: streamfx models pull")
    if networks:
        print()
        _show_networks(networks)


def _show_networks(networks: Sequence[NetworkRow]) -> None:
    """Those that ship with streamfx, and how this processor runs them. (OpenVINO is imported late.)"""
    from streamfx.models.network import best_precision

    rows = [(row.name, row.version, megabytes(row.size), best_precision(row)) for row in networks]
    print_columns([("NETWORK", "VERSION", "SIZE", "RUNS IN"), *rows])
    print("shipped with streamfx")


def _document(status: ModelStatus) -> dict[str, object]:
    row = status.row
    return {
        "name": row.name,
        "version": row.version,
        "state": status.state.value,
        "path": str(status.path),
        "size": row.size,
        "sha256": row.sha256,
        "licence": row.licence,
        "licence_url": row.licence_url,
        "attribution": row.attribution,
        "origins": [origin.label for origin in row.origins],
    }


def _network_document(row: NetworkRow) -> dict[str, object]:
    from streamfx.models.network import best_precision

    return {
        "name": row.name,
        "version": row.version,
        "size": row.size,
        "precision": best_precision(row),
        "files": {file.file: file.sha256 for file in row.files},
    }
