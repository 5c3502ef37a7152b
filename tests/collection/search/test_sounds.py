"""Search by sound, with a small model: what a user types, what comes out, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from axlstm.cli import main
from axlstm.collection.collection import Collection, create, open
from axlstm.collection.upkeep import relocate
from axlstm.errors import AudioError, ConfigError
from tests.collection.made import make_sounds, save_model
from tests.seeded import audio


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, sounds and their collection, whose windows of 1 s begin at each half second."""
    folder = tmp_path_factory.mktemp("sounds")
    model = save_model(folder / "small")
    make_sounds(folder / "sounds", 4)
    soundfile.write(folder / "sounds" / "stereo.wav", np.stack([audio(3, 7, 22_050)] * 2, axis=1), 22_050, "PCM_24")
    with create(folder / "c", folder / "sounds") as collection:
        collection.index([folder / "sounds"], model=str(model), window_s=1.0, hop_s=0.5)
    return folder


@pytest.fixture
def collection(made: Path, tmp_path: Path) -> Iterator[Collection]:
    shutil.copytree(made / "c", tmp_path / "c")
    with open(tmp_path / "c") as copied:
        yield copied


@pytest.fixture
def outside(made: Path, tmp_path: Path) -> Path:
    """A recording of the collection under another name, elsewhere."""
    return Path(shutil.copy(made / "sounds" / "02.wav", tmp_path / "outside.wav"))


def test_a_sound_finds_its_own_windows(collection: Collection, outside: Path) -> None:
    hits = collection.search(outside, combine="max", apart_s=0, count=4)
    assert {hit.path for hit in hits} == {"02.wav"}
    assert hits[0].score == pytest.approx(1, abs=1e-4)


def test_a_stretch_is_embedded_by_itself(collection: Collection, outside: Path, tmp_path: Path) -> None:
    samples, rate = soundfile.read(outside, dtype="float32")
    soundfile.write(tmp_path / "cut.wav", samples[rate // 2 : 3 * rate // 2], rate, "FLOAT")
    by_stretch = collection.search(f"{outside}@0.5-1.5")
    by_file = collection.search(tmp_path / "cut.wav")
    assert by_stretch.hits == by_file.hits


def test_any_rate_and_channels_will_do(collection: Collection, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "query.flac", np.stack([audio(2, 7, 44_100)] * 3, axis=1), 44_100)
    assert collection.search(tmp_path / "query.flac", combine="max", count=1)[0].path == "stereo.wav"


def test_a_recording_of_the_collection_is_found_by_any_of_its_paths(collection: Collection, made: Path) -> None:
    by_name = collection.search("02.wav@1-2", count=3)
    by_path = collection.search(made / "sounds" / ".." / "sounds" / "02.wav@1-2", count=3)
    assert by_name.hits == by_path.hits


def test_the_search_of_recordings_needs_no_encoder(collection: Collection, outside: Path) -> None:
    with collection.transaction():
        collection.tables.execute("UPDATE encoders SET source = 'gone/away'")
    assert len(collection.search("02.wav"))
    with pytest.raises(ConfigError, match=r"encoder small of the collection cannot be loaded any more .*gone/away"):
        collection.search(outside)


def test_vectors_of_another_model_are_never_met(collection: Collection, outside: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "small", seed=2)
    with collection.transaction():
        collection.tables.execute("UPDATE encoders SET source = ?", (str(other),))
    with pytest.raises(ConfigError, match="has changed since encoder small of the collection was made"):
        collection.search(outside)


@pytest.mark.parametrize(
    ("samples", "stretch", "told"),
    [
        (np.zeros(32_000), "", r"query.wav: silence \(all samples are 0\)"),
        (np.full(32_000, 0.25), "", "silence"),
        (np.concatenate([np.zeros(16_000), audio(1, 1)]), "@0-1", r"query.wav@0-1: silence"),
        (audio(0.02, 1), "", "query.wav: 320 samples"),
        (audio(1, 1), "@0.5-0.51", r"query.wav@0.5-0.51: 160 samples"),
        (audio(1, 1), "@0.5-3", r"0.5 to 3 s were asked for, and it has 1.00 s"),
    ],
    ids=["zeros", "a constant", "a silent stretch", "too short", "a short stretch", "beyond the end"],
)
def test_queries_that_are_like_nothing_are_told(
    collection: Collection, tmp_path: Path, samples: np.ndarray, stretch: str, told: str
) -> None:
    soundfile.write(tmp_path / "query.wav", samples, 16_000, "FLOAT")
    with pytest.raises(AudioError, match=told):
        collection.search(f"{tmp_path / 'query.wav'}{stretch}")


def test_silence_in_the_collection_is_told(collection: Collection, tmp_path: Path) -> None:
    sound = tmp_path / "late.wav"
    soundfile.write(sound, np.concatenate([np.zeros(16_000), audio(2, 1)]), 16_000)
    soundfile.write(tmp_path / "never.wav", np.zeros(32_000), 16_000)
    collection.index([sound, tmp_path / "never.wav"])
    for query in (f"{sound}@0-1", tmp_path / "never.wav"):
        with pytest.raises(AudioError, match=r"silence \(all samples are 0\)"):
            collection.search(query)
    assert len(collection.search(f"{sound}@1-2"))
    sound.unlink()
    assert len(collection.search(f"{sound}@0-1"))


def test_hits_as_files(collection: Collection, outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def run(*options: str) -> None:
        assert main(["search", str(collection.folder), str(outside), "-k", "5", "--combine", "max", *options]) == 0

    hits = collection.search(outside, count=5, combine="max")
    run()
    printed = capsys.readouterr().out
    assert "5 hits of" in printed
    assert all(hit.path in printed for hit in hits)
    run("-o", str(tmp_path / "hits.csv"))
    with (tmp_path / "hits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], float(row["start_s"])) for row in rows] == [(hit.path, hit.start_s) for hit in hits]
    run("-o", str(tmp_path / "hits.json"))
    content = json.loads((tmp_path / "hits.json").read_text())
    assert [hit["score"] for hit in content["hits"]] == [hit.score for hit in hits]
    assert content["query"] == {"like": [str(outside)], "combine": "max"}
    run("-o", str(tmp_path / "hits.txt"), "--format", "raven")
    lines = (tmp_path / "hits.txt").read_text().splitlines()
    assert len(lines) == 6
    run("-o", str(tmp_path / "tracks"), "--format", "audacity")
    tracks = sorted((tmp_path / "tracks").rglob("*.txt"))
    assert len(tracks) == len({hit.path for hit in hits})
    first = next(track for track in tracks if track.stem == Path(hits[0].path).stem)
    assert f"{hits[0].start_s:.6f}\t{hits[0].end_s:.6f}\t1: 1.000\n" in first.read_text()


def test_clips_are_cut_from_the_recordings(collection: Collection, made: Path, tmp_path: Path) -> None:
    command = ["search", str(collection.folder), "stereo.wav@0-1", "--path", "stereo.wav", "-k", "1"]
    assert main([*command, "--clips", str(tmp_path / "clips")]) == 0
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "clips").stat().st_mode == (tmp_path / "plain").stat().st_mode
    [clip] = (tmp_path / "clips").glob("*.wav")
    samples, rate = soundfile.read(clip, dtype="int32")
    whole, _ = soundfile.read(made / "sounds" / "stereo.wav", dtype="int32")
    begin = round(float(clip.stem.split("_")[2].split("-")[0]) * rate)
    assert (rate, samples.shape) == (22_050, (22_050, 2))
    assert np.array_equal(samples, whole[begin : begin + rate])


def test_clips_of_recordings_that_changed_are_told(
    collection: Collection, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """What is there now is not what was found."""
    root = Path(shutil.copytree(made / "sounds", tmp_path / "sounds"))
    relocate(collection, root)
    command = ["search", str(collection.folder), "02.wav@0-1", "-k", "1", "--path", "02.wav", "--clips"]
    assert main([*command, str(tmp_path / "touched")]) == 0
    assert "1 clips" in capsys.readouterr().out
    soundfile.write(root / "02.wav", *soundfile.read(root / "01.wav"))
    assert main([*command, str(tmp_path / "clips")]) == 1
    assert "02.wav: changed since it was indexed; axlstm index embeds it again" in capsys.readouterr().out


def test_clips_that_are_sorted_into_folders_become_labels(collection: Collection, tmp_path: Path) -> None:
    hits = collection.search("02.wav@0-1", count=3)
    folder = tmp_path / "clips"
    assert main(["search", str(collection.folder), "02.wav@0-1", "-k", "3", "--clips", str(folder)]) == 0
    clips = sorted(folder.glob("*.wav"))
    for clip, label in zip(clips, ["sweep", "-sweep", "sweep"], strict=True):
        (folder / label).mkdir(exist_ok=True)
        clip.rename(folder / label / clip.name)
    assert main(["label", "import", str(collection.folder), str(folder)]) == 0
    rows = collection.tables.execute("SELECT recording, start_s, end_s, verdict FROM labels").fetchall()
    assert {tuple(row) for row in rows} == {
        (hit.recording, hit.start_s, hit.end_s, verdict)
        for hit, verdict in zip(hits, ["yes", "no", "yes"], strict=True)
    }


def test_clips_of_recordings_that_are_gone_are_told(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with collection.transaction():
        collection.tables.execute("UPDATE settings SET value = ? WHERE name = 'root'", (str(tmp_path / "moved"),))
    assert main(["search", str(collection.folder), "02.wav", "-k", "2", "--clips", str(tmp_path / "clips")]) == 1
    assert "0 clips; missing: hit 1:" in capsys.readouterr().out


def test_a_folder_that_is_there_is_refused_before_anything_is_searched(
    collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    command = ["search", str(collection.folder), "02.wav", "-o", str(tmp_path / "hits.csv")]
    assert main([*command, "--clips", str(tmp_path / "full")]) == 1
    assert "full: there already" in capsys.readouterr().err
    assert not (tmp_path / "hits.csv").exists()
    assert collection.tables.execute("SELECT count(*) FROM queries").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "hits.xlsx"], "its name tells no format"),
        (["--format", "raven"], "--format raven: of a file of hits; name one with --out"),
        (["--hours", "dawn"], "expected two hours of the day"),
        (["--clips", "{made}/sounds"], "there already; choose a folder that is not there or is empty"),
        (["--encoder", "birdnet"], "no encoder birdnet; it has small"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    collection: Collection, made: Path, options: list[str], told: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["search", str(collection.folder), "02.wav", *(one.format(made=made) for one in options)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_options_of_several_values_leave_the_query_alone(collection: Collection, capsys: pytest.CaptureFixture) -> None:
    collection.label("02.wav", "sweep", 0, 2)
    filters = ["--labelled", "sweep", "--path", "01.wav", "--path", "02.wav"]
    assert main(["search", str(collection.folder), *filters, "stereo.wav"]) == 0
    assert "02.wav" in capsys.readouterr().out


def test_filters_that_nothing_passes_are_told(collection: Collection, capsys: pytest.CaptureFixture) -> None:
    filters = ["--path", "nowhere/*", "--where", "channels=7"]
    assert main(["search", str(collection.folder), "02.wav", *filters]) == 1
    assert "  no window passes --where channels=7 --path 'nowhere/*'\n" in capsys.readouterr().out
