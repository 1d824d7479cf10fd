"""`python -m trt_build`: build, list, inspect, verify and clean TensorRT engines of the shipped networks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from time import perf_counter

from streamfx.errors import ModelError, StreamfxError, UsageError
from streamfx.models.engines import PRECISIONS, USUAL_PRECISION, EngineManifest, Engines
from streamfx.models.weights import NetworkName, Profile, shipped_weights
from trt_build.libraries import ALL, RTX, Library

_THIS = "this"
_NAME_IT = "Name the card: --target sm_89"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; 0, or the error's exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(Engines.default(), options)
    except StreamfxError as error:
        print(f"trt_build: error: {error}", file=sys.stderr)
        return error.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trt_build", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="ACTION", title="actions")
    build = actions.add_parser("build", help="build engines; on a machine without a card, too")
    build.add_argument("--profile", choices=[str(one) for one in Profile], default=str(Profile.LITE))
    names = [str(one) for one in NetworkName]
    what = "build this one only; again for another"
    build.add_argument("--network", action="append", choices=names, metavar="NAME", help=what)
    build.add_argument("--precision", choices=PRECISIONS, default=USUAL_PRECISION)
    what = "what builds and runs them (tensorrt-rtx); tensorrt builds for the card at hand only"
    build.add_argument("--library", choices=tuple(ALL), default=RTX.name, help=what)
    what = f"cards: {', '.join(RTX.ahead)}, or this; all that gain by the precision, by default"
    build.add_argument("--target", metavar="SM,SM", help=what)
    what = "build only what is not there, or is stale"
    build.add_argument("--missing", action="store_true", help=what)
    build.set_defaults(run=_build)
    for name, run, text in (
        ("list", _list, "the engines that are there"),
        ("inspect", _inspect, "what is said of an engine, as JSON"),
        ("verify", _verify, "whether engines are what was built here, for what is here"),
        ("clean", _clean, "delete engines"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if name != "list":
            one = "+" if name == "inspect" else "*"
            action.add_argument("stems", nargs=one, metavar="NAME", help="as `list` shows it; none: all")
        action.set_defaults(run=run)
    return parser


def _build(engines: Engines, options: argparse.Namespace) -> int:
    library, precision = ALL[options.library], options.precision
    named = ",".join(library.cards(precision)) or _THIS if options.target is None else options.target
    targets = library.in_order(_targets(named), precision)
    names = options.network or [f"{place}-{options.profile}" for place in ("refine", "mouth")]
    with engines.alone(lambda: print("waiting for another process that builds engines ...", flush=True)):
        for name in map(NetworkName, names):
            lacking = _lacking(engines, name, precision, targets, library) if options.missing else targets
            if lacking:
                _build_one(engines, name, precision, lacking, library)
            else:
                print(f"{name} in {precision} is there", flush=True)
    print(f"kept in {engines.folder}", flush=True)
    return 0


def _lacking(
    engines: Engines, name: NetworkName, precision: str, targets: Sequence[str], library: Library
) -> Sequence[str]:
    """For what to build so that these cards have an engine and others keep theirs; empty: for nothing."""
    from trt_build.building import purpose_of

    wanted = purpose_of(name, precision, shipped_weights(), library)
    if not any(engines.lacks(wanted, target) for target in targets):
        return ()
    try:
        kept = engines.manifest(wanted.stem)
        return library.in_order({*targets, *(kept.targets if kept.purpose == wanted else ())}, precision)
    except (ModelError, UsageError):  # there was none, or they cannot be in one file
        return targets


def _build_one(
    engines: Engines, name: NetworkName, precision: str, targets: Sequence[str], library: Library
) -> None:
    from trt_build.building import build_engine

    print(f"building {name} in {precision} for {', '.join(targets)} ...", flush=True)
    start = perf_counter()
    made = build_engine(name, precision, targets, shipped_weights(), engines, library)
    took, grey = perf_counter() - start, 255 * made.error
    said = f"{made.size / 1e6:.1f} MB in {took:.1f} s, {grey:.3f} grey levels off"
    print(f"made {made.purpose.stem}: {said}", flush=True)


def _targets(text: str) -> list[str]:
    return [_this_card()] if text == _THIS else [one.strip() for one in text.split(",") if one.strip()]


def _this_card() -> str:
    """Compute capability of the card in this machine."""
    try:
        import torch
    except ImportError as error:
        raise UsageError("torch, which knows the card, is not installed", _NAME_IT) from error
    if not torch.cuda.is_available():
        raise UsageError("There is no NVIDIA card here, or no driver", _NAME_IT)
    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def _list(engines: Engines, _options: argparse.Namespace) -> int:
    stems = engines.stems()
    if not stems:
        print(f"no engine in {engines.folder}; python -m trt_build build")
    for stem in stems:
        try:
            found = engines.manifest(stem)
        except ModelError as error:
            print(f"{stem}  refused: {error}")
        else:
            print(f"{stem}  {found.size / 1e6:.1f} MB  {found.purpose.library}  {','.join(found.targets)}")
    return 0


def _inspect(engines: Engines, options: argparse.Namespace) -> int:
    for stem in options.stems:
        print(json.dumps(asdict(engines.manifest(stem)), indent=1))
    return 0


def _verify(engines: Engines, options: argparse.Namespace) -> int:
    """Read all, and compare them with the networks and the TensorRT that are installed."""
    failed = False
    for stem in options.stems or engines.stems():
        try:
            trouble = _trouble(engines, engines.manifest(stem))
        except StreamfxError as error:
            trouble = str(error)
        failed = failed or trouble != ""
        print(f"{stem}  {trouble or 'as it was built; no card has run it here'}")
    return int(failed)


def _trouble(engines: Engines, found: EngineManifest) -> str:
    """What is wrong with an engine; empty if it is what was built, for what is installed."""
    from trt_build.building import purpose_of

    library = ALL[found.purpose.library.partition(" ")[0]]
    wanted = purpose_of(found.purpose.network, found.purpose.precision, shipped_weights(), library)
    engines.load(wanted, found.targets[0], len)
    return ""


def _clean(engines: Engines, options: argparse.Namespace) -> int:
    stems = options.stems or engines.stems()
    unknown = sorted(set(stems).difference(engines.stems()))
    if unknown:
        raise UsageError(f"There is no engine {unknown[0]}", "python -m trt_build list")
    with engines.alone(lambda: print("waiting for a process that builds engines ...", flush=True)):
        for stem in stems:
            engines.remove(stem)
    print(f"deleted {len(stems)} from {engines.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
