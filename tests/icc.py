"""ICC profiles made by hand, and the colours that they mean by textbook formulas."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
_FROM_D50 = np.array(  # Lindbloom: XYZ adapted to D50, to linear sRGB
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
     [0.0719453, -0.2289914, 1.4052427]]
)  # fmt: skip


@dataclass(frozen=True)
class Space:
    """An RGB space by its matrix to XYZ (D50) and its gamma."""

    to_xyz: np.ndarray
    gamma: float

    def shown(self, rgb: np.ndarray) -> np.ndarray:
        """What sRGB shows of codes [...,3] 0..255."""
        return srgb_code((rgb / 255.0) ** self.gamma @ (_FROM_D50 @ self.to_xyz).T)

    def profile(self) -> bytes:
        columns = zip(("rXYZ", "gXYZ", "bXYZ"), self.to_xyz.T, strict=True)
        curves = {name: _curve(self.gamma) for name in ("rTRC", "gTRC", "bTRC")}
        return _profile("RGB ", {"wtpt": _xyz(D50), **{k: _xyz(v) for k, v in columns}, **curves})


# Bruce Lindbloom's tables, adapted to D50.
ADOBE = Space(np.array([[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197],
                        [0.0194811, 0.0608902, 0.7448387]]), 2.2)  # fmt: skip
PROPHOTO = Space(np.array([[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857],
                           [0.0, 0.0, 0.8252100]]), 1.8)  # fmt: skip
DISPLAY_P3 = Space(np.array([[0.515102, 0.291965, 0.157153], [0.241182, 0.692236, 0.0665819],
                             [-0.00104941, 0.0418818, 0.784378]]), 2.2)  # fmt: skip


def grey_profile(gamma: float) -> bytes:
    return _profile("GRAY", {"wtpt": _xyz(D50), "kTRC": _curve(gamma)})


def grey_shown(grey: np.ndarray, gamma: float) -> np.ndarray:
    return srgb_code((grey / 255.0) ** gamma)


INKS_LAB = {  # an invented press: L*, a*, b* of paper, of each ink alone, and of all
    (0, 0, 0, 0): (95, 0, 0), (1, 0, 0, 0): (55, -36, -48), (0, 1, 0, 0): (48, 74, -4),
    (0, 0, 1, 0): (89, -5, 92), (0, 0, 0, 1): (14, 0, 0),
}  # fmt: skip


def ink_lab(inks: np.ndarray) -> np.ndarray:
    """L*a*b* of inks [...,4] 0..1 by that press: lightness multiplies, a and b add and fade in black."""
    paper, alone = np.array(INKS_LAB[0, 0, 0, 0], float), [
        np.array(INKS_LAB[tuple(int(i == k) for i in range(4))], float) for k in range(4)
    ]  # fmt: skip
    light = paper[0] * np.prod([1 - inks[..., k] * (1 - alone[k][0] / paper[0]) for k in range(4)], axis=0)
    ab = sum(inks[..., k, None] * alone[k][1:] for k in range(3)) * (1 - inks[..., 3:])
    return np.concatenate([light[..., None], ab], -1)


def cmyk_profile(steps: int = 9) -> bytes:
    """A table of the press above, `steps` a side, linear between (lut8Type)."""
    axis = np.linspace(0, 1, steps)
    grid = np.stack(np.meshgrid(axis, axis, axis, axis, indexing="ij"), -1).reshape(-1, 4)
    lab = ink_lab(grid) * [2.55, 1, 1] + [0, 128, 128]
    table = np.clip(np.rint(lab), 0, 255).astype(np.uint8).tobytes()
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, steps, 0))
    lut += struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel()) + ramp * 4 + table + ramp * 3
    return _profile("CMYK", {"wtpt": _xyz(D50), "A2B0": lut}, pcs="Lab ", kind="prtr")


def lab_shown(lab: np.ndarray) -> np.ndarray:
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    return srgb_code(xyz @ _FROM_D50.T)


def srgb_code(linear: np.ndarray) -> np.ndarray:
    light = np.clip(linear, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(value: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(float(v)) for v in value)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _profile(space: str, tags: dict[str, bytes], pcs: str = "XYZ ", kind: str = "mntr") -> bytes:
    text = b"made for a test\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78 + (-len(text) - 90) % 4)
    whole = {"desc": desc, "cprt": b"text" + bytes(4) + text, **tags}
    table, body, offset = struct.pack(">I", len(whole)), b"", 128 + 4 + 12 * len(whole)
    for name, data in whole.items():
        padded = data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name.encode(), offset + len(body), len(data))
        body += padded
    head = struct.pack(">I4sI4s4s4s", 128 + len(table + body), b"lcms", 0x02400000, kind.encode(),
                       space.encode(), pcs.encode())  # fmt: skip
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + b"".join(_fixed(v) for v in D50)
    return head + bytes(128 - len(head)) + table + body
