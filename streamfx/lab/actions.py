"""Facial actions authored on the canonical mesh: what the photos lack (blinks, brows, wide mouths, cheeks).

Each action is a displacement field f64 [468,3] cm at a typical strength, made by pinning a few vertices and
letting the skin follow smoothly. They follow the Facial Action Coding System; sizes are priors, not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from streamfx.lab.mesh_prior import F64, Mesh, interpolate, laplacian, mirror_of
from streamfx.topology import FACE_OVAL, INNER_MOUTH, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER, RIGHT_EYE

Pins = dict[int, tuple[float, float, float]]

_REST = (0.0, 0.0, 0.0)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 64, 294, 48, 278)
_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_LIP_RIM = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_UPPER_RIM = (185, 40, 39, 37, 0, 267, 269, 270, 409)
_LOWER_RIM = (146, 91, 181, 84, 17, 314, 405, 321, 375)
_JAW = (152, 148, 176, 149, 150, 136, 377, 400, 378, 379, 365, 199, 175, 200, 18)
_TEMPLES = (10, 338, 297, 332, 284, 251, 389, 356, 454, 109, 67, 103, 54, 21, 162, 127, 234)
_CHEEK = (205, 50, 187, 207)
_HINGE = (0.0, -0.6, 2.0)
"""The axis of the jaw joint in front of the ears, cm."""


class Actions:
    """Builds the actions of one mesh; sides are the subject's, `right` lies at negative x."""

    def __init__(self, mesh: Mesh) -> None:
        self._vertices = mesh[0]
        self._mirror = mirror_of(mesh[0])
        self._operator = laplacian(mesh)
        self._rest: Pins = dict.fromkeys((*_TEMPLES, *_NOSE), _REST)
        self._jaw_rest: Pins = self._rest | dict.fromkeys(FACE_OVAL, _REST)

    def all(self) -> dict[str, F64]:
        """Every action by name; those of one side once for each side."""
        actions = {name: make() for name, make in self._symmetric().items()}
        for name, make in self._one_sided().items():
            right = make()
            actions[f"{name}_right"], actions[f"{name}_left"] = right, self._mirrored(right)
        return actions

    def _symmetric(self) -> dict[str, Callable[[], F64]]:
        return {
            "jaw_open": self.jaw_open,
            "jaw_side": lambda: self._jaw((0.5, 0.0, 0.0)),
            "jaw_forward": lambda: self._jaw((0.0, 0.0, -0.4)),
            "pucker": lambda: self._mouth(lambda v: (-0.35 * v[0], -0.25 * (v[1] - 4.3), -0.5)),
            "stretch": lambda: self._mouth(lambda v: (0.2 * v[0], 0.0, 0.05 * abs(v[0]))),
            "mouth_side": lambda: self._mouth(lambda _: (0.4, 0.0, 0.0)),
            "funnel": lambda: self._mouth(lambda v: (-0.2 * v[0], 0.25 * np.sign(v[1] - 4.27), -0.4)),
            "upper_lip_roll": lambda: self._lip((*LIP_UPPER, *_UPPER_RIM), (0.0, 0.15, 0.2)),
            "lower_lip_roll": lambda: self._lip((*LIP_LOWER, *_LOWER_RIM), (0.0, -0.15, 0.2)),
            "chin_raise": lambda: self._lip((*LIP_LOWER, *_LOWER_RIM, 18, 200), (0.0, -0.25, -0.1)),
            "brow_inner_up": self.brow_inner_up,
        }

    def _one_sided(self) -> dict[str, Callable[[], F64]]:
        return {
            "blink": self.blink,
            "squint": lambda: self._eye(dict.fromkeys(LID_LOWER[0], (0.0, -0.15, 0.0))),
            "brow_outer_up": lambda: self._brow(lambda share: (0.0, -0.55 * (1 - share), 0.0)),
            "brow_down": lambda: self._brow(lambda share: (0.12 * share, 0.35, 0.0)),
            "cheek_puff": lambda: self._cheek((-0.45, 0.0, -0.4)),
            "cheek_raise": lambda: self._cheek((0.0, -0.3, -0.1)),
            "sneer": lambda: self._upper_side((0.05, -0.3, 0.0), (129, 64, 98)),
            "upper_lip_up": lambda: self._upper_side((0.0, -0.35, 0.0), ()),
            "lower_lip_down": lambda: self._lip((95, 88, 178, 146, 91, 181), (0.0, 0.35, 0.0)),
            "smile": self.smile,
            "frown": lambda: self._corner((-0.1, 0.4, 0.0)),
        }

    def _solve(self, pins: Pins) -> F64:
        return interpolate(self._operator, pins)

    def _mirrored(self, field: F64) -> F64:
        return field[self._mirror] * (-1.0, 1.0, 1.0)

    def jaw_open(self, degrees: float = 12.0) -> F64:
        """The jaw turned down about its joint; the upper lip stays, the corners follow by a third."""
        angle = np.radians(degrees)
        turn = np.array([[1, 0, 0], [0, np.cos(angle), np.sin(-angle)], [0, np.sin(angle), np.cos(angle)]])
        arm = self._vertices - np.array(_HINGE)
        moved = arm @ turn.T - arm
        pins = dict(self._rest)
        pins |= _at(moved, (*_JAW, *LIP_LOWER, *_LOWER_RIM), 1.0)
        pins |= _at(moved, (61, 78, 291, 308), 0.35)
        pins |= dict.fromkeys((*LIP_UPPER, *_UPPER_RIM), _REST)
        return self._solve(pins)

    def _jaw(self, shift: tuple[float, float, float]) -> F64:
        pins = dict(self._rest) | dict.fromkeys((*_JAW, *LIP_LOWER, *_LOWER_RIM), shift)
        return self._solve(pins | dict.fromkeys(LIP_UPPER, _REST))

    def _mouth(self, shift: Callable[[F64], Iterable[float]]) -> F64:
        pins = self._jaw_rest | dict.fromkeys((175, 205, 425), _REST)
        for vertex in (*_LIP_RIM, *INNER_MOUTH):
            x, y, z = shift(self._vertices[vertex])
            pins[vertex] = (float(x), float(y), float(z))
        return self._solve(pins)

    def _lip(self, moving: Iterable[int], shift: tuple[float, float, float]) -> F64:
        pins = self._jaw_rest | dict.fromkeys((*_LIP_RIM, *INNER_MOUTH, 175), _REST)
        return self._solve(pins | dict.fromkeys(moving, shift))

    def _corner(self, shift: tuple[float, float, float]) -> F64:
        pins = self._jaw_rest | dict.fromkeys((0, 17, 13, 14, 291, 308), _REST)
        return self._solve(pins | dict.fromkeys((61, 78), shift))

    def smile(self) -> F64:
        """One corner of the mouth pulled out and up, the cheek lifted."""
        pins = self._jaw_rest | dict.fromkeys((0, 17, 13, 14, 291, 308), _REST)
        pins |= dict.fromkeys((61, 78), (-0.6, -0.45, 0.25))
        return self._solve(pins | dict.fromkeys((205, 50), (-0.12, -0.2, -0.1)))

    def _upper_side(self, shift: tuple[float, float, float], wing: Iterable[int]) -> F64:
        pins = self._jaw_rest | dict.fromkeys((17, 13, 291, 61, *LIP_LOWER), _REST)
        return self._solve(pins | dict.fromkeys((191, 80, 81, 40, 39, *wing), shift))

    def blink(self) -> F64:
        """The right eye closed: the upper lid goes three quarters of the way, as eyes do."""
        upper, lower = LID_UPPER[0], LID_LOWER[0]
        gap = self._vertices[list(lower)] - self._vertices[list(upper)]
        pins = {u: (0.0, float(0.75 * g[1]), float(0.75 * g[2])) for u, g in zip(upper, gap, strict=True)}
        pins |= {v: (0.0, float(-0.25 * g[1]), 0.0) for v, g in zip(lower, gap, strict=True)}
        return self._eye(pins)

    def _eye(self, pins: Pins) -> F64:
        rest = dict(self._rest) | dict.fromkeys((*RIGHT_EYE, *_BROW, 50, 101, 118, 229), _REST)
        return self._solve(rest | pins)

    def brow_inner_up(self) -> F64:
        """Both brows raised, the inner ends most."""
        right = self._brow(lambda share: (0.0, -0.25 - 0.35 * share, 0.0))
        return right + self._mirrored(right)

    def _brow(self, shift: Callable[[float], tuple[float, float, float]]) -> F64:
        pins = dict(self._rest) | dict.fromkeys((*RIGHT_EYE, 9, 152), _REST)
        outer, inner = self._vertices[70, 0], self._vertices[107, 0]
        for vertex in _BROW:
            share = float((self._vertices[vertex, 0] - outer) / (inner - outer))
            pins[vertex] = shift(share)
        return self._solve(pins)

    def _cheek(self, shift: tuple[float, float, float]) -> F64:
        pins = self._jaw_rest | dict.fromkeys((*_LIP_RIM, 118, 229, 31), _REST)
        return self._solve(pins | dict.fromkeys(_CHEEK, shift))


def _at(field: F64, where: Iterable[int], share: float) -> Pins:
    return {v: (share * field[v, 0], share * field[v, 1], share * field[v, 2]) for v in where}
