"""Motion templates: what is recorded is what is played, and a hostile file is refused in one clear line."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfx.driving import template_format
from streamfx.driving.template import MotionTemplate
from streamfx.driving.template_format import COLUMNS, FRAME_BYTES, MAX_FRAMES, Content
from streamfx.errors import MotionUnreadable, OutputError, StreamfxError, UsageError
from streamfx.frames import Motion
from streamfx.models.face_basis import load_face_basis

BASIS = load_face_basis()


def motions(count: int, seed: int = 0) -> list[Motion]:
    """A lively head at an uneven 30 frames a second."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(size=(count, 48)), axis=0) * BASIS.std * 0.1
    times = 5_000_000_000 + np.cumsum(rng.integers(25_000, 40_000, count)) * 1000
    return [
        Motion(
            expression=BASIS.expand(drift[i].astype(np.float32)),
            rotation=rng.uniform(-0.4, 0.4, 3).astype(np.float32),
            translation=rng.uniform(-20, 20, 3).astype(np.float32),
            scale=float(rng.uniform(0.9, 1.1)),
            gaze=rng.uniform(-0.2, 0.2, 2).astype(np.float32),
            lip_gaps=rng.uniform(0, 4, 9).astype(np.float32),
            lid_closure=rng.uniform(-0.6, 1, 2).astype(np.float32),
            captured_ns=int(times[i]),
            seq=i,
            presence=1.0 if i % 7 else 0.4,
            held=i % 7 == 0,
        )
        for i in range(count)
    ]


def template(count: int = 20) -> MotionTemplate:
    return MotionTemplate.from_motions(motions(count), 30, origin="made by a test, CC0", source="numbers")


def content() -> Content:
    return template_format.decode(template(4).encode())


def test_what_is_saved_is_what_is_loaded(tmp_path: Path):
    path = tmp_path / "motion.sfxm"
    recorded = motions(20)
    MotionTemplate.from_motions(recorded, 29.97, origin="Ich · CC0", source="Kamera ö").save(path)
    loaded = MotionTemplate.load(path)
    assert (loaded.origin, loaded.source, loaded.basis_sha256) == ("Ich · CC0", "Kamera ö", BASIS.sha256)
    assert loaded.fps == pytest.approx(29.97)
    played = list(loaded.frames())
    assert len(played) == len(loaded) == 20
    for before, after in zip(recorded, played, strict=True):
        assert after.captured_ns == before.captured_ns - recorded[0].captured_ns
        assert (
            np.abs(after.expression - before.expression).max() < 0.003
        )  # cm: a third of the tracker's noise
        assert np.abs(after.rotation - before.rotation).max() < 1e-6
        assert np.abs(after.translation - before.translation).max() < 1e-5
        assert after.scale == pytest.approx(before.scale, abs=1e-6)
        assert np.abs(after.gaze - before.gaze).max() < 2e-4
        assert np.abs(after.lip_gaps - before.lip_gaps).max() < 2e-3
        assert np.abs(after.lid_closure - before.lid_closure).max() < 5e-4
        assert (after.held, after.seq) == (before.held, before.seq)
        assert after.presence == pytest.approx(before.presence, abs=0.003)


def test_closed_lips_stay_exactly_closed():
    rest = replace(Motion.rest(), expression=motions(1)[0].expression)
    played = next(MotionTemplate.decode(MotionTemplate.from_motions([rest], 30).encode()).frames())
    assert not played.lip_gaps.any()
    assert not played.lid_closure.any()
    assert played.scale == 1.0


def test_ten_seconds_take_at_most_60_kb():
    assert len(template(300).encode()) <= 60_000


def test_equal_motions_give_equal_bytes():
    assert template().encode() == template().encode()


def test_resampling_interpolates_on_true_times():
    ramp = [replace(m, translation=np.full(3, m.captured_ns / 1e9, np.float32)) for m in motions(40)]
    even = MotionTemplate.from_motions(ramp, 30).resample(60)
    assert even.fps == 60
    assert np.abs(np.diff(even.times_ns) - 1e9 / 60).max() <= 1
    assert np.abs(even.translation[:, 0] - (ramp[0].captured_ns + even.times_ns) / 1e9).max() < 1e-5
    assert even.duration_ns <= MotionTemplate.from_motions(ramp, 30).duration_ns < even.duration_ns + 1e9 / 60


def test_resampling_an_even_template_at_its_own_rate_changes_nothing():
    even = template(31).resample(25)
    again = even.resample(25)
    assert np.abs(again.coefficients - even.coefficients).max() < 1e-4
    assert (again.held == even.held).all()


def test_resampling_a_single_frame_keeps_it():
    assert len(template(1).resample(30)) == 1


@pytest.mark.parametrize("fps", [0, -5, 1e6, float("nan")])
def test_impossible_rates_are_refused(fps: float):
    with pytest.raises(UsageError, match="frames a second"):
        template().resample(fps)


def test_no_motion_makes_no_template():
    with pytest.raises(MotionUnreadable, match="0 frames"):
        MotionTemplate.from_motions([], 30)


def test_times_that_fall_make_no_template():
    with pytest.raises(MotionUnreadable, match="rising times"):
        MotionTemplate.from_motions(motions(3)[::-1], 30)


def test_a_motion_longer_than_the_clock_holds_is_refused():
    long = template(2)
    with pytest.raises(OutputError, match="too long"):
        replace(long, times_ns=np.array([0, 10**13])).encode()


def test_wild_numbers_are_clipped_when_written():
    wild = replace(template(2), scale=np.array([1e9, -3], np.float32))
    assert MotionTemplate.decode(wild.encode()).scale.tolist() == pytest.approx([10, 0.1])


def test_a_template_of_another_basis_is_not_played():
    other = MotionTemplate.decode(replace(template(), basis_sha256="00" * 32).encode())
    with pytest.raises(MotionUnreadable, match="needs expression basis"):
        other.frames()


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(MotionUnreadable, match=r"absent\.sfxm"):
        MotionTemplate.load(tmp_path / "absent.sfxm")


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(MotionUnreadable, match="folder"):
        MotionTemplate.load(tmp_path)


def signed(data: bytes) -> bytes:
    """`data` with a checksum that fits, as a hostile writer would put it."""
    at = template_format._CRC_AT
    crc = zlib.crc32(data[at + 4 :], zlib.crc32(data[:at] + bytes(4)))
    return data[:at] + struct.pack("<I", crc) + data[at + 4 :]


def patched(at: int, layout: str, value: float) -> bytes:
    data = bytearray(template(4).encode())
    struct.pack_into(layout, data, at, value)
    return signed(bytes(data))


def with_body(body: bytes) -> bytes:
    """A template of 4 frames and no texts around any body."""
    data = bytearray(replace(template(4), origin="", source="").encode()[: template_format._HEADER.size])
    struct.pack_into("<I", data, template_format._CRC_AT - 4, len(body))
    return signed(bytes(data) + body)


def with_value(name: str, value: float) -> bytes:
    """A template with one number out of place, written past the writer's own clipping."""
    parts = []
    for column, spec in COLUMNS.items():
        values = np.array(content().columns[column], spec.dtype)
        if column == name:
            values[2] = np.array(value).astype(spec.dtype)
        parts.append(np.ascontiguousarray(values.T).tobytes())
    return with_body(zlib.compress(b"".join(parts)))


RAW = 4 * FRAME_BYTES
HOSTILE = {
    "empty": (b"", "0 bytes"),
    "header cut": (b"SFXM" + bytes(40), "44 bytes, fewer"),
    "pickle": (b"\x80\x04\x95" + bytes(200), "no motion template"),
    "npz": (b"PK\x03\x04" + bytes(200), "no motion template"),
    "version 2": (patched(4, "<H", 2), "version 2"),
    "reserved": (patched(6, "<H", 1), "reserved field is 1"),
    "no frames": (patched(8, "<I", 0), "0 frames"),
    "a billion frames": (patched(8, "<I", 10**9), f"1000000000 frames, allowed are 1 to {MAX_FRAMES}"),
    "one frame too many": (patched(8, "<I", 5), "its frames need"),
    "one frame too few": (patched(8, "<I", 3), "more than"),
    "tick 0": (patched(12, "<I", 0), "clock tick is 0"),
    "fps nan": (patched(16, "<f", float("nan")), "nan frames a second"),
    "fps 0": (patched(16, "<f", 0), "0.0 frames a second"),
    "long text": (patched(68, "<H", 5000), "text of 5000 bytes"),
    "long body": (patched(72, "<I", 2**31), "body of 2147483648 bytes"),
    "no body": (patched(72, "<I", 0), "body of 0 bytes"),
    "truncated": (template(4).encode()[:-1], "header says"),
    "trailing": (template(4).encode() + b"x", "header says"),
    "flipped bit": (template(4).encode()[:-1] + b"\xff", "checksum"),
    "text not UTF-8": (patched(80, "<B", 0xFF), "origin is not UTF-8"),
    "basis not UTF-8": (patched(20, "<B", 0xFF), "basis version is not UTF-8"),
    "not compressed": (with_body(b"plain"), "cannot be decompressed"),
    "bomb": (with_body(zlib.compress(bytes(30_000_000), 9)), "more than"),
    "short body": (with_body(zlib.compress(bytes(RAW - 1))), f"holds {RAW - 1} bytes"),
    "stream cut": (with_body(zlib.compress(bytes(RAW))[:-2]), "does not end"),
    "two streams": (with_body(zlib.compress(bytes(RAW)) + b"more"), "does not end"),
    "time stands still": (with_value("ticks", 0), "times do not rise"),
    "held 2": (with_value("held", 2), "held holds 2"),
    "nan": (with_value("coefficients", float("nan")), "coefficients holds nan"),
    "infinite": (with_value("rotation", float("inf")), "rotation holds inf"),
    "too far": (with_value("translation", 1e6), "translation holds 1e"),
    "scale 0": (with_value("scale", 0), "scale holds 0"),
    "negative gap": (with_value("lip_gaps", -1), "lip_gaps holds -1"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_each_malformation_has_its_own_message(fault: str):
    data, message = HOSTILE[fault]
    with pytest.raises(MotionUnreadable, match=message) as caught:
        MotionTemplate.decode(data)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_the_untouched_template_is_accepted():
    """The control of the cases above: they fail by what they change."""
    assert len(MotionTemplate.decode(signed(template(4).encode()))) == 4
    assert len(MotionTemplate.decode(with_value("none", 0))) == 4


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut, repeated or appended; half of them signed again to pass the checksum."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(out)))
        match rng.integers(5):
            case 0:
                out[at] = int(rng.integers(256))
            case 1:
                out[at] ^= 1 << int(rng.integers(8))
            case 2:
                del out[at : at + int(rng.integers(1, 20))]
            case 3:
                out[at:at] = out[at : at + int(rng.integers(1, 20))]
            case _:
                out[at % 80] = int(rng.integers(256))
        out = out or bytearray(1)
    return signed(bytes(out)) if rng.integers(2) and len(out) > 80 else bytes(out)


def test_two_thousand_mutations_are_refused_or_sane():
    data = template(6).encode()
    rng = np.random.default_rng(7)
    accepted = 0
    for _ in range(2000):
        try:
            result = MotionTemplate.decode(mutated(data, rng))
        except MotionUnreadable:
            continue
        accepted += 1
        for name in COLUMNS.keys() - {"ticks", "held"}:
            assert np.isfinite(getattr(result, name)).all()
        assert (np.diff(result.times_ns) > 0).all()
    assert 0 < accepted < 2000


def test_random_bodies_with_the_right_checksum_are_refused_or_sane():
    rng = np.random.default_rng(11)
    for _ in range(300):
        try:
            result = MotionTemplate.decode(with_body(zlib.compress(rng.bytes(RAW))))
        except StreamfxError as error:
            assert isinstance(error, MotionUnreadable)  # noqa: PT017
            continue
        assert np.isfinite(result.coefficients).all()
