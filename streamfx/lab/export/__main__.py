"""The command line of the export."""

from __future__ import annotations

import argparse
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.lab.export.shipping import export
from streamfx.models.weights import Fidelity, NetworkName, NetworkRow, Weights

LARGEST_IN_ALL = 40_000_000
"""Bytes that the networks may take in the repository."""


def main(arguments: list[str] | None = None) -> int:
    """Export one network; 0, or the error's exit code."""
    options = _parser().parse_args(arguments)
    try:
        row = export(
            NetworkName(options.name), options.weights, options.samples, options.output, options.version
        )
        total = sum(one.size for one in Weights(options.output).rows)
    except StreamfxError as error:
        print(error)
        return error.exit_code
    _tell(row)
    print(f"all networks: {total / 1e6:.1f} MB of at most {LARGEST_IN_ALL / 1e6:.0f} MB")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m streamfx.lab.export", description=__doc__)
    parser.add_argument("name", choices=[str(name) for name in NetworkName], help="which network")
    parser.add_argument("weights", type=Path, help="its weights as trained, safetensors")
    parser.add_argument(
        "--samples", type=Path, required=True, help="npz: `inputs` [N,C,H,W], `mask` [N,1,H,W]"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the folder of the shipped networks")
    parser.add_argument("--version", default="1", help="what to call these weights (default 1)")
    return parser


def _tell(row: NetworkRow) -> None:
    print(f"{row.name} {row.version} ({row.architecture}): {row.size / 1e6:.1f} MB")
    _tell_fidelity("onnx", row.onnx_fidelity)
    _tell_fidelity("int8", row.int8_fidelity)
    if row.int8 is None:
        print(f"  int8 does not ship: its mean error is above {row.int8_limit:.5f}")
    if row.onnx is None:
        print("  onnx does not ship: the network is large, and int8 does")


def _tell_fidelity(kind: str, fidelity: Fidelity) -> None:
    print(
        f"  {kind}: mean error {fidelity.mean_error:.6f}, largest {fidelity.max_error:.5f}, "
        f"{fidelity.psnr:.1f} dB on {fidelity.samples} samples"
    )


if __name__ == "__main__":
    raise SystemExit(main())
