"""Recordings and outputs in an object store: the same rows as from a disk, whatever the store answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import axlstm
from axlstm.cli import main
from axlstm.errors import ConfigError, StoreError
from axlstm.parts.accounts import read_events, rows_name
from axlstm.parts.drive import Report
from axlstm.parts.opening import open_folder
from axlstm.parts.plan import Limits
from axlstm.parts.run import PartOf
from axlstm.parts.runners import Outcome, in_turn
from axlstm.remote import Store, count_retries
from axlstm.store import planned
from axlstm.store.dataset import embed_dataset
from axlstm.store.formats import read_records
from axlstm.store.records import ClipRecord
from tests.parts.bucket import KEY, SECRET, Bucket, serve_bucket
from tests.parts.corpora import write_hub, write_tar
from tests.parts.made import one_by_one
from tests.shards.made import write_sound

pytest.importorskip("moto")
pytest.importorskip("s3fs")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of botocore and moto, which change with their versions


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.fixture(scope="module")
def served() -> Iterator[Bucket]:
    with serve_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(served: Bucket, sounds: Path) -> Iterator[Bucket]:
    """The bucket with the sounds below ``in/``."""
    files = served.files()
    for path in sounds.rglob("*.*"):
        files.put_file(str(path), f"sounds/in/{path.relative_to(sounds)}")
    served.requests.clear()
    yield served
    served.faults = lambda *_: None
    files.rm("sounds/", recursive=True) if files.ls("sounds", refresh=True) else None
    files.mkdir("sounds") if not files.exists("sounds") else None


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    for number in range(7):
        write_sound(folder / ("deep" if number % 2 else "") / f"{number}.wav", 1.0 + 0.3 * number, number)
    (folder / "broken.wav").write_text("no sound")
    (folder / "notes.txt").write_text("rain")
    return folder


def embed(source: str, out: str, model: str, runner: object = one_by_one) -> Report:
    return embed_dataset(model, [source], out, runner=runner, limits=Limits(3, 100.0))  # type: ignore[arg-type]


def rows_of(out: str, tmp_path: Path) -> dict[str, ClipRecord]:
    """The rows of an output by the digest of their recording; each is there once."""
    folder = open_folder(out)
    found: list[ClipRecord] = []
    for name in folder.names(""):
        if name.endswith(".parquet"):
            copy = tmp_path / "copy.parquet"
            copy.write_bytes(folder.read(name))
            found += read_records(copy)
    assert len({row.origin.digest for row in found}) == len(found)
    return {row.origin.digest: row for row in found}


def same(ours: dict[str, ClipRecord], theirs: dict[str, ClipRecord]) -> None:
    assert ours.keys() == theirs.keys()
    for digest, row in ours.items():
        assert (row.get("scene") == theirs[digest].get("scene")).all()
        assert row.duration_s == theirs[digest].duration_s


@pytest.mark.parametrize("long_s", [600.0, 2.0], ids=["short", "some long"])
def test_a_bucket_gives_the_rows_of_a_folder(
    bucket: Bucket, sounds: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_s: float
) -> None:
    monkeypatch.setattr(planned, "LONG_SECONDS", long_s)
    embed(str(sounds), str(tmp_path / "here"), model)
    report = embed(f"{bucket.url}/in", f"{bucket.url}/out", model)
    summary = report.summary
    assert (summary.asked, summary.embedded, summary.skipped, summary.not_sound) == (8, 7, 1, {".txt": 1})
    there = rows_of(f"{bucket.url}/out", tmp_path)
    same(there, rows_of(str(tmp_path / "here"), tmp_path))
    assert {row.path for row in there.values()} == {
        f"s3://sounds/in/{'deep/' * (number % 2)}{number}.wav" for number in range(7)
    }
    assert all((row.origin.modified, row.origin.quick_digest) == (-1, "") for row in there.values())
    again = embed(f"{bucket.url}/in", f"{bucket.url}/out", model)
    assert (again.there, again.summary) == (8, summary)


def test_tars_and_tables_in_a_bucket_give_the_rows_of_a_folder(
    bucket: Bucket, sounds: Path, model: str, tmp_path: Path
) -> None:
    embed(str(sounds), str(tmp_path / "here"), model)
    contents = {path.name: path.read_bytes() for path in sorted(sounds.rglob("*.wav"))}
    names = list(contents)
    for shard in range(2):
        half = {name: contents[name] for name in names[shard::2]}
        bucket.files().put_file(str(write_tar(tmp_path / "a.tar", half)), f"sounds/shards/{shard}.tar")
    bucket.files().put_file(str(write_hub(tmp_path / "a.parquet", contents)), "sounds/hub/a.parquet")
    for source in ("shards/*.tar", "hub/a.parquet"):
        out = str(tmp_path / source[:3])
        assert embed(f"{bucket.url}/{source}", out, model).summary.embedded == 7
        same(rows_of(out, tmp_path), rows_of(str(tmp_path / "here"), tmp_path))


def test_faults_of_the_store_are_tried_again_and_counted(bucket: Bucket, model: str, tmp_path: Path) -> None:
    embed(f"{bucket.url}/in", str(tmp_path / "undisturbed"), model)
    kinds = ["500", "503", "half", "slow"]
    seen: Counter[tuple[str, str]] = Counter()

    def faults(method: str, path: str) -> str | None:
        """Let the first request of each kind to each file fail, each in another way."""
        seen[method, path] += 1
        kind = kinds[len(seen) % len(kinds)]
        return kind if seen[method, path] == 1 and not (kind == "half" and method != "GET") else None

    bucket.faults = faults
    before = count_retries()
    report = embed(f"{bucket.url}/in", f"{bucket.url}/out", model)
    bucket.faults = lambda *_: None
    assert (report.summary.embedded, report.summary.missing, report.failed) == (7, (), {})
    assert count_retries() - before > 20
    folder = open_folder(f"{bucket.url}/out")
    assert sum(event["retries"] for event in read_events(folder)) > 10
    for part in range(report.summary.parts):
        assert folder.read(rows_name(part)) == (tmp_path / "undisturbed" / rows_name(part)).read_bytes()


def test_a_store_that_is_down_fails_parts_and_no_recording(bucket: Bucket, model: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    bucket.faults = lambda method, path: "503" if method == "GET" and path.endswith("4.wav") else None
    report = embed(f"{bucket.url}/in", out, model, in_turn)
    assert len(report.failed) == 1
    assert "4.wav: the store fails" in next(iter(report.failed.values()))
    assert "4.wav" not in (tmp_path / "out/_skipped.jsonl").read_text()
    bucket.faults = lambda *_: None
    summary = embed(f"{bucket.url}/in", out, model, in_turn).summary
    assert (summary.embedded, summary.skipped, summary.missing) == (7, 1, ())


def test_recordings_that_are_not_as_they_were_planned_are_skipped(
    bucket: Bucket, sounds: Path, model: str, tmp_path: Path
) -> None:
    def changing(part_of: PartOf, parts: object) -> Iterator[Outcome]:
        files = bucket.files()
        files.put_file(str(sounds / "2.wav"), "sounds/in/4.wav")
        files.rm_file("sounds/in/6.wav")
        bucket.faults = lambda _, path: "403" if path.endswith("deep/1.wav") else None
        return in_turn(part_of, parts)  # type: ignore[arg-type]

    summary = embed(f"{bucket.url}/in", str(tmp_path / "out"), model, changing).summary
    assert (summary.embedded, summary.skipped, summary.missing) == (4, 4, ())
    assert summary.reasons["changed since it was planned"] == 1
    assert summary.reasons["not there any more"] == 1
    assert summary.reasons["the store refuses it"] == 1


def test_expired_credentials_skip_nothing(bucket: Bucket, model: str, tmp_path: Path) -> None:
    def expiring(part_of: PartOf, parts: object) -> Iterator[Outcome]:
        bucket.faults = lambda *_: "expired"
        return in_turn(part_of, parts)  # type: ignore[arg-type]

    report = embed(f"{bucket.url}/in", str(tmp_path / "out"), model, expiring)
    assert (report.summary.embedded, report.summary.skipped) == (0, 0)
    assert "does not take the credentials" in report.failed[0]


def test_the_command_with_processes_leaves_no_credentials_anywhere(
    bucket: Bucket, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    out = f"{bucket.url}/out"
    command = ["embed", f"{bucket.url}/in", "-o", out, "-m", model, "--part-files", "4", "--workers", "2"]
    assert main([*command, "--debug"]) == 0
    assert main(["status", out]) == 0
    told = capfd.readouterr()
    assert "7 embedded in 2 parts, 1 skipped (s3://sounds/out/_skipped.jsonl), 1 not sound (1 .txt)" in told.out
    assert "s3://sounds/out: complete, 2 of 2 parts" in told.out
    files = bucket.files()
    contents = [files.cat_file(path) for path in files.find("sounds/out")]
    assert len(contents) == 2 + 2 + 3 + 2 + 2  # rows, accounts, events, plan, summary and list
    for content in (*contents, told.out.encode(), told.err.encode()):
        assert SECRET.encode() not in content
        assert KEY.encode() not in content
    assert not json.loads(files.cat_file("sounds/out/_summary.json"))["missing"]


def test_what_is_not_there_is_told(bucket: Bucket, model: str, tmp_path: Path) -> None:
    with pytest.raises(axlstm.errors.AudioError, match="s3://sounds/nothing: no such file or folder"):
        embed(f"{bucket.url}/nothing", str(tmp_path / "out"), model)
    bucket.faults = lambda *_: "500"
    with pytest.raises(StoreError, match=r"s3://sounds/in: the store fails .*, 5 times"):
        embed(f"{bucket.url}/in", str(tmp_path / "out2"), model)
    with pytest.raises(ConfigError, match="nosuch://: fsspec cannot open it"):
        Store("nosuch://a/b")


def test_a_url_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "s3://sounds/in", "-o", "out.parquet"]) == 1
    assert "s3://sounds/in: a URL needs a folder for OUT" in capsys.readouterr().err
