"""When, where and by what: what recorders write into files and names, and what must not be believed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axlstm.collection.headers import NOTHING, Recorded, read_headers
from axlstm.collection.recorded import read_name, read_recorded

COMMENT = (
    "Recorded at 19:17:30 04/02/2020 ({zone}) by AudioMoth 247475055C2A5D15 at medium-high gain setting while battery "
    "state was 4.6V and temperature was -3.5C."
)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def listed(comment: str) -> bytes:
    info = chunk(b"ICMT", comment.encode().ljust(384, b"\0")) + chunk(b"IART", b"AudioMoth 247475055C2A5D15\0\0")
    return chunk(b"LIST", b"INFO" + info)


def wamd(**values: bytes) -> bytes:
    numbers = {"version": 0, "model": 1, "serial": 2, "start": 5, "gps": 6, "notes": 10, "inside": 21}
    subs = (struct.pack("<HI", numbers[name], len(value)) + value for name, value in values.items())
    return chunk(b"wamd", b"".join(subs))


def guano(text: str) -> bytes:
    return chunk(b"guan", text.encode())


def write_wav(path: Path, before: bytes = b"", behind: bytes = b"") -> Path:
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    data = chunk(b"data", np.zeros(1601, "<i2").tobytes())
    body = b"WAVE" + fmt + before + data + behind
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


@pytest.mark.parametrize(
    ("stem", "recorded_at", "device"),
    [
        ("20200204_191730", "2020-02-04T19:17:30", None),
        ("20200204_191730T", "2020-02-04T19:17:30", None),
        ("247475055C2A5D15_20200204_191730", "2020-02-04T19:17:30", "AudioMoth 247475055C2A5D15"),
        ("5E39C2AA", "2020-02-04T19:14:50+00:00", "AudioMoth"),
        ("S4A02641_20250220_170000", "2025-02-20T17:00:00", "S4A02641"),
        ("ARIZONA-1_20161023$195550", "2016-10-23T19:55:50", "ARIZONA-1"),
        ("WALDEN_0+1_20240601_140505", "2024-06-01T14:05:05", "WALDEN"),
        ("site 3 2024-06-01T14-05-05Z", "2024-06-01T14:05:05+00:00", None),
        ("rec.2024.06.01 14.05.05", "2024-06-01T14:05:05", None),
        ("20240601140505", "2024-06-01T14:05:05", None),
    ],
)
def test_names(stem: str, recorded_at: str, device: str | None) -> None:
    assert read_name(stem) == Recorded(recorded_at, device=device)


@pytest.mark.parametrize(
    "stem",
    [
        "56859001",  # digits alone are a number of any kind
        "20190401",
        "01-06-2024_140505",  # the day or the month
        "2024-06-01",
        "20241301_140505",  # no such month
        "S4A02641_20251301_170000",
        "2024-06-01_140505 2024-06-02_140505",  # two
        "DEADBEEF",  # in the year 2088
        "1234567890123456789012",
        "bird",
    ],
)
def test_names_that_say_nothing_for_sure(stem: str) -> None:
    assert read_name(stem) == NOTHING


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("UTC", "+00:00"), ("UTC+7", "+07:00"), ("UTC-2:30", "-02:30"), ("UTC-0:30", "-00:30"), ("UTC+10", "+10:00")],
)
def test_audiomoth(tmp_path: Path, zone: str, offset: str) -> None:
    found = read_recorded(write_wav(tmp_path / "20200204_171730.WAV", before=listed(COMMENT.format(zone=zone))))
    assert found == Recorded(
        f"2020-02-04T19:17:30{offset}",
        device="AudioMoth 247475055C2A5D15",
        metadata={"gain": "medium-high", "battery_v": "4.6", "temperature_c": "-3.5"},
    )


def test_guano_behind_the_sound(tmp_path: Path) -> None:
    text = (
        "GUANO|Version: 1.0\nTimestamp:  2012-03-29T03:58:01+04:00\nMake: Pettersson\nModel: D1000X\nTE: 1\n"
        "Loc Position:  37.1878016 -86.1057312\nLoc Elevation: 228.6\nNote: by the cave\\nat dusk\n"
        "Temperature Int: 9.5\n\n "
    )
    assert read_recorded(write_wav(tmp_path / "x.wav", behind=guano(text))) == Recorded(
        "2012-03-29T03:58:01+04:00",
        37.1878016,
        -86.1057312,
        "Pettersson D1000X",
        {"note": "by the cave\\nat dusk", "temperature_c": "9.5", "elevation_m": "228.6"},
    )


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        (b"WGS84,42.50000,N,71.25000,W,30", (42.5, -71.25)),
        (b"WGS84, 42.5,S, 71.25,E\0", (-42.5, 71.25)),
        (b"WGS84,-42.5,71.25", (-42.5, 71.25)),
        (b"WGS84,0.0,N,0.0,E", (None, None)),
        (b"WGS84,142.5,N,71.25,W", (None, None)),
        (b"WGS84", (None, None)),
    ],
)
def test_wildlife_acoustics(tmp_path: Path, gps: bytes, place: tuple[float | None, float | None]) -> None:
    note = wamd(
        version=b"\1\0",
        model=b"SM4",
        serial=b"S4A02641",
        start=b"2025-02-20 17:00:00-05:00",
        gps=gps,
        notes=b"by the road\0",
        inside=b"12.3C",
    )
    assert read_recorded(write_wav(tmp_path / "x.wav", behind=note)) == Recorded(
        "2025-02-20T17:00:00-05:00", *place, "SM4 S4A02641", {"note": "by the road", "temperature_c": "12.3"}
    )


def test_notes_fill_each_other(tmp_path: Path) -> None:
    both = wamd(version=b"\1\0", start=b"2025-02-20 17:00:00", gps=b"WGS84,42.5,N,71.25,W")
    both += guano("Timestamp: 2025-02-20T17:00:00-05:00\nMake: Wildlife Acoustics, Inc.\nModel: Song Meter SM4")
    found = read_recorded(write_wav(tmp_path / "S4A02641_20250220_170000.wav", behind=both))
    assert found == Recorded("2025-02-20T17:00:00-05:00", 42.5, -71.25, "Wildlife Acoustics, Inc. Song Meter SM4")


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\xff\xff\xff\xffWAVEguan\xff\xff\xff\xffTimestamp: 2020-01-01T00:00:00",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 5000,
        b"RIFF\0\0\0\0WAVE" + listed("Recorded at 99:99:99 99/99/2020 (UTC) by AudioMoth 247475055C2A5D15"),
        b"RIFF\0\0\0\0WAVE" + listed("Recorded at 19:17:30 04/02/2020 (UTC+99) by AudioMoth 247475055C2A5D15"),
        b"RIFF\0\0\0\0WAVE" + wamd(version=b"\2\0", start=b"2025-02-20 17:00:00"),
        b"RIFF\0\0\0\0WAVE" + chunk(b"wamd", b"\5\0\xff\xff\xff\xff2025"),
        b"RIFF\0\0\0\0WAVE" + chunk(b"LIST", b"INFOICMT\xff\xff\xff\xff"),
        b"RIFF\0\0\0\0WAVE" + guano("Timestamp: yesterday\nLoc Position: 1e5 nan\n:::\n" + "x" * 100_000),
        b"",
        b"fLaC",
    ],
)
def test_notes_that_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    assert read_headers(tmp_path / "x.wav") == NOTHING


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from([b"guan", b"wamd", b"LIST", b"data", b"ds64"]), content=st.binary(max_size=300))
def test_any_chunk_can_be_read(tmp_path_factory: pytest.TempPathFactory, name: bytes, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("x")
    read_headers(write_wav(folder / "x.wav", before=chunk(name, content), behind=chunk(b"LIST", b"INFO" + content)))


def test_only_the_head_of_a_large_chunk_is_read(tmp_path: Path) -> None:
    note = guano("Timestamp: 2020-01-01T00:00:00\nNote: " + "x" * (1 << 20))
    found = read_headers(write_wav(tmp_path / "x.wav", behind=note + guano("Timestamp: 2021-01-01T00:00:00")))
    assert found.recorded_at == "2020-01-01T00:00:00"
    assert len(found.metadata["note"]) == 1000
