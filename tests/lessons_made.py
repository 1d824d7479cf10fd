"""Crops of people who do not exist, painted in no time, to train on in tests."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np

from streamfx.lab.training.crops import FaceCrops, MouthCrops, save_arrays
from streamfx.lab.training.library import Pictures, origin

TRAIN = ("ada", "bea", "cal", "dan")
VAL = ("eve", "fay")
FACE_TIERS = ("matched", "shown", "back", "same", "cycle", "ratio")
MOUTH_TIERS = ("drawn", "own", "wide")


def face_crops(side: int = 64) -> FaceCrops:
    """Faces `side` px wide; the truth is the warp, paler, and lighter where M is large: it can be learned."""
    subjects, splits, tiers = _people(FACE_TIERS)
    count = len(tiers)
    random = np.random.default_rng(3)
    warped = _smooth(random, count, side, 3)
    mask = np.zeros((count, side, side), np.uint8)
    mask[:, side * 5 // 8 : side * 3 // 4, side * 3 // 8 : side * 5 // 8] = 255
    face = np.zeros_like(mask)
    cv2.circle(face[0], (side // 2, side // 2), side * 3 // 8, 255, -1)
    face[:] = face[0]
    moved = (_smooth(random, count, side, 2).astype(np.int16) - 128).astype(np.int8)
    truth = np.clip(warped * 0.8 + 40 + moved[..., :1] * 0.3, 0, 255).astype(np.uint8)
    blanked = np.where(mask[..., None] > 0, 0, warped).astype(np.uint8)
    previous = np.where(np.arange(count) % len(FACE_TIERS) == 1, np.arange(count) - 1, -1).astype(np.int32)
    return FaceCrops(
        photo=warped, warped=blanked, truth=truth, mask=mask, face=face, moved=moved,
        light=np.zeros_like(mask, np.int8), previous=previous, sharp=_sharp(count), tier=tiers,
        subject=subjects, split=splits,
    )  # fmt: skip


def mouth_crops(side: int = 48) -> MouthCrops:
    """Mouths `side` px wide, whose truth is the drawn one with another colour."""
    subjects, splits, tiers = _people(MOUTH_TIERS)
    count = len(tiers)
    random = np.random.default_rng(4)
    around, drawn = (_smooth(random, count, side, 3) for _ in range(2))
    mask = np.zeros((count, side, side), np.uint8)
    mask[:, side // 3 : side * 2 // 3, side // 4 : side * 3 // 4] = 255
    truth = np.clip(drawn * 0.7 + (60, 20, 10), 0, 255).astype(np.uint8)
    previous = np.where(np.arange(count) % len(MOUTH_TIERS) == 1, np.arange(count) - 1, -1).astype(np.int32)
    return MouthCrops(
        around=around, truth=truth, mask=mask, moved=np.zeros((*mask.shape, 2), np.int8), drawn=drawn,
        own=np.zeros_like(mask), previous=previous, sharp=_sharp(count), tier=tiers, subject=subjects,
        split=splits,
    )  # fmt: skip


def save(crops: FaceCrops | MouthCrops, folder: Path, made_from: str = "") -> Path:
    """The crops as a folder of arrays."""
    save_arrays(folder, {one.name: getattr(crops, one.name) for one in fields(crops)}, made_from)
    return folder


def pictures_folder(root: Path) -> Path:
    """A folder with index.csv, its pictures (empty of any face), and crops that pass for built from them."""
    data = root / "pictures"
    data.mkdir()
    with (data / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "subject", "source", "split", "label", "is_rest"))
        for subject in (*TRAIN, *VAL):
            for label, rest in (("neutral", 1), ("smile", 0)):
                name = f"{subject}_{label}.png"
                cv2.imwrite(str(data / name), np.zeros((8, 8, 3), np.uint8))
                table.writerow((name, subject, "made", "train" if subject in TRAIN else "val", label, rest))
    pictures = Pictures.of(data)
    save(face_crops(), root / "crops" / "faces", origin(pictures, FaceCrops))
    save(mouth_crops(), root / "crops" / "mouths", origin(pictures, MouthCrops))
    return data


def _people(tiers: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whose each row is, of which split, how made: every person in every tier."""
    people = [*TRAIN, *VAL]
    subjects = np.repeat(people, len(tiers))
    splits = np.repeat(["train"] * len(TRAIN) + ["val"] * len(VAL), len(tiers))
    return subjects, splits, np.tile(tiers, len(people))


def _sharp(count: int) -> np.ndarray:
    """All but the first person."""
    sharp = np.ones(count, np.uint8)
    sharp[: count // (len(TRAIN) + len(VAL))] = 0
    return sharp


def _smooth(random: np.random.Generator, count: int, side: int, channels: int) -> np.ndarray:
    """u8 [count,side,side,channels]: soft noise of full contrast."""
    coarse = random.integers(0, 256, (count, 8, 8, channels), np.uint8)
    grown = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse]
    return np.stack(grown).astype(np.uint8)
