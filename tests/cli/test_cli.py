"""The command line as a user meets it: files out, one-line errors, exit statuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import axlstm
from axlstm.cli import main
from axlstm.options import EMBEDDER_DEFAULTS
from axlstm.samples import sample_path
from axlstm.store.formats import read_records
from tests.conftest import GOLDEN, run_without
from tests.seeded import audio

TASKS = Path(__file__).parents[1] / "data" / "hear" / "embed_stage" / "tasks"
RUN = GOLDEN / "published_format_depth1" / "axlstm_tiny_200_16x4_4x256_fp16_r1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    return str(axlstm.create_model("axlstm-tiny", depth=1, width=16, heads=2).save_pretrained(folder))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder as people have them: mp3, stereo 44.1 kHz, 8 kHz, deep below, and a broken one."""
    folder = tmp_path / "sounds"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "stereo.wav", np.stack([audio(1, 1, 44_100)] * 2, axis=1), 44_100)
    soundfile.write(folder / "telephone.flac", audio(2, 2, 8_000), 8_000)
    soundfile.write(folder / "deep" / "song.mp3", audio(3, 3, 44_100), 44_100)
    shutil.copy(sample_path("bird_song"), folder / "deep")
    (folder / "broken.ogg").write_bytes(b"OggS but no more")
    return folder


def test_embed_a_folder(sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "new" / "embeddings.parquet"
    assert main(["embed", str(sounds), "-o", str(out), "--model", model, "--frames"]) == 0
    printed = capsys.readouterr().out
    assert "4 embedded, 1 skipped" in printed
    assert "broken.ogg: cut short: its last page, at byte 0, is incomplete" in printed
    records = {Path(record.path).name: record for record in read_records(out)}
    assert set(records) == {"stereo.wav", "telephone.flac", "song.mp3", "bird_song.ogg"}
    assert records["telephone.flac"].duration_s == pytest.approx(2.0)
    assert len(records["telephone.flac"].frames) == 50
    assert main(["embed", str(sounds), "-o", str(out), "--model", model, "--frames"]) == 0
    assert "0 embedded, 4 there already" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"axlstm {axlstm.__version__}\n"


def test_embed_windows(sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = str(tmp_path / "e.csv")
    arguments = ["embed", str(sounds), "-o", out, "-m", model, "--window-s", "1", "--hop-s", "0.5"]
    assert main(arguments) == 0
    rows = 1 + 3 + 5 + 20  # of 1, 2, 3 and 10.3 s
    assert f"{out}: 4 embedded ({rows} windows), 1 skipped" in capsys.readouterr().out
    assert main(arguments) == 0
    assert f"{out}: 0 embedded, 4 there already, 1 skipped" in capsys.readouterr().out
    (telephone,) = (record for record in read_records(Path(out)) if record.path.endswith("telephone.flac"))
    assert (telephone.start_s.tolist(), telephone.end_s.tolist()) == ([0, 0.5, 1], [1, 1.5, 2])
    assert main(["info", out]) == 0
    assert re.search(rf"windows +{rows} of 1 s, every 0.5 s\n", capsys.readouterr().out)
    soundfile.write(sounds / "stereo.wav", audio(1, 7), 16_000)
    assert main(arguments) == 0
    changed = "1 embedded (1 window; 1 with content other than its earlier row, which is kept)"
    assert changed in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--hop-s", "1"], "--hop-s is the distance of windows: give their length as --window-s too"),
        (["--window-s", "0.1"], "window_s=0.1: expected 0.2 seconds or more"),
        (["--window-s", "1", "--hop-s", "2"], "hop_s=2 is longer than window_s=1: the sound between two windows"),
        (["--window-s", "1", "--frames"], "with windows each row is the scene embedding of a window"),
        (["--window-s", "1", "--frames", "--no-scene"], "leave out --frames and --no-scene"),
        (["--window-s", "1", "--layout", "published"], "use layout='time'"),
    ],
)
def test_windows_that_make_no_sense_are_refused(
    more: list[str], told: str, sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "e.npz"
    assert told in error_of(capsys, "embed", str(sounds), "-o", str(out), "-m", model, *more)
    assert not out.exists()


def test_the_summary_says_what_became_of_every_entry(
    sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "e.parquet"
    for name in ("notes.txt", "deep/more.txt", "cover.jpg", "README"):
        (sounds / name).write_text("words")
    (sounds / "unfetched.flac").symlink_to(".git/annex/objects/gone.flac")
    arguments = ["embed", str(sounds), "-o", str(out), "-m", model]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    counts = f"4 embedded, 2 skipped ({out}.skipped.jsonl), 4 not sound (2 .txt, 1 without a suffix, 1 .jpg)"
    assert told.splitlines()[0] == f"{out}: {counts}"
    assert f"skipped {sounds}/unfetched.flac: a link to .git/annex/objects/gone.flac, which is not there" in told
    assert len(re.findall("^  skipped ", told, re.MULTILINE)) == 2
    for number in range(3):
        (sounds / f"gone{number}.wav").symlink_to("gone")
    soundfile.write(sounds / "stereo.wav", audio(2, 1), 16_000)
    assert main(arguments) == 0
    changed = "1 embedded (1 with content other than its earlier row, which is kept), 3 there already, 5 skipped"
    told = capsys.readouterr().out
    assert changed in told
    assert told.endswith("  and 2 more\n")
    assert main(["info", str(out)]) == 0
    assert re.search(r"clips +5\b", capsys.readouterr().out)


def test_a_folder_without_readable_sound_is_status_one(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder, out = tmp_path / "annex", str(tmp_path / "e.parquet")
    folder.mkdir()
    (folder / "notes.txt").touch()
    assert f"no sound files in {folder}: 1 not sound (1 .txt)" in error_of(capsys, "embed", str(folder), "-o", out)
    (folder / "a.wav").symlink_to("gone.wav")
    assert main(["embed", str(folder), "-o", out, "-m", model]) == 1
    assert "0 embedded, 1 skipped" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
def test_embed_reads_pipes(sounds: Path, model: str, tmp_path: Path) -> None:
    out, command = tmp_path / "e.npz", f"{sys.executable} -m axlstm embed"
    script = f"cat deep/song.mp3 | {command} /dev/stdin <(cat stereo.wav) telephone.flac -o {out} -m {model}"
    done = subprocess.run(["bash", "-c", script], cwd=sounds, capture_output=True, text=True, check=False)
    assert "3 embedded\n" in done.stdout, done.stderr
    assert [round(record.duration_s, 1) for record in read_records(out)] == [3.0, 1.0, 2.0]


def test_embed_takes_the_options_of_load_model(model: str, tmp_path: Path) -> None:
    clip = str(sample_path("bell"))
    for number, (arguments, options) in enumerate(
        [
            ([], {}),
            (["--engine", "None", "--batch-windows", "2"], {}),
            (["--layers", "1", "-1", "--pooling", "mean+deviation"], {"layers": (1, 1), "pooling": "mean+deviation"}),
            (["--layers", "0", "--layout", "published", "--dtype", "bfloat16"], {"layers": 0, "layout": "published"}),
        ]
    ):
        out = tmp_path / f"{number}.npz"
        assert main(["embed", clip, "-o", str(out), "-m", model, *arguments]) == 0
        (record,) = read_records(out)
        expected = axlstm.load_model(model, **options).embed(clip).scene
        np.testing.assert_allclose(record.scene, expected, atol=0.05 if "bfloat16" in arguments else 1e-6)


@pytest.mark.parametrize("command", ["embed", "stream"])
def test_help_explains_each_option_once_with_its_default(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    printed = " ".join(shown.replace("│", " ").split())
    for option, default in EMBEDDER_DEFAULTS.items():
        (described,) = re.findall(rf"--{option.replace('_', '-')} [^─]*?\(default: ([^)]*)\)", printed)
        assert described == str(default)
    assert "Several states are put side by side" in printed


@pytest.mark.parametrize(
    "command",
    [
        "embed SOUND -o OUT.csv -m MODEL",
        "stream SOUND -m MODEL",
        "plot SOUND -o OUT.png -m MODEL",
        "reconstruct SOUND -o OUT.png -m MODEL",
        "info MODEL",
        "info SOUND",
        "export MODEL OUT.onnx",
        "demo -o OUT -m MODEL",
        "hear embed MODEL TASKS OUT",
        "evaluate MODEL --tasks TASKS -o OUT",
    ],
)
def test_every_command_with_a_model_takes_a_revision(
    command: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    names = {"SOUND": str(sample_path("bell")), "MODEL": model, "TASKS": str(TASKS)}
    arguments = [names.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in command.split()]
    assert "revision='v1': expected a Hub id" in error_of(capsys, *arguments, "--revision", "v1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        "embed -o OUT/e.csv -m MODEL -- -x.wav",
        "plot -o OUT/-x.png -m MODEL -- -x.wav",
        "info -- -x.wav",
        "info -- -e.csv",
        "stream -m MODEL -- -x.wav",
        "reconstruct -o OUT/r.png -m MODEL -- -x.wav",
        "prepare --held-out 0 -- -x.wav -shards",
        "convert -- -run OUT/model",
        "hear make -- -table.csv OUT",
    ],
)
def test_names_may_begin_with_a_dash_behind_two(
    command: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-x.wav", "v.wav", "t.wav"):
        soundfile.write(name, audio(1, 1), 16_000)
    main(["embed", "-o", "./-e.csv", "-m", model, "--", "-x.wav"])
    shutil.copytree(RUN, "-run")
    Path("-table.csv").write_text("path,label,split\n-x.wav,a,train\nv.wav,a,valid\nt.wav,a,test\n", encoding="utf-8")
    assert main([word.replace("OUT", "out").replace("MODEL", model) for word in command.split()]) == 0


@pytest.mark.parametrize("command", ["info -x.wav", "embed -x.wav -o e.csv", "embed -- -x.wav -o e.csv"])
def test_names_with_a_dash_that_are_taken_for_options_are_explained(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("-x.wav", audio(1, 1), 16_000)
    with pytest.raises(SystemExit):
        main(command.split())
    assert "names that begin with a dash go behind --" in capsys.readouterr().err


def test_a_long_word_that_is_no_option_is_refused_in_words(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["info", "-" + "x" * 300])
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["info", "--what"])
    assert "begin with a dash" not in capsys.readouterr().err


def test_a_sound_is_described_under_any_name_and_refused_as_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name, form in (("a.dat", "WAV"), ("b", "FLAC"), ("c.bin", "MP3")):
        path = tmp_path / name
        soundfile.write(path, audio(1, 1), 16_000, format=form)
        assert main(["info", str(path)]) == 0
        assert re.search(r"kind +sound\nduration_s +1\.0", capsys.readouterr().out)
        refused = ["embed", str(path), "-o", str(tmp_path / "e.csv"), "-m", str(path)]
        assert f"{path}: a sound, where a model is expected" in error_of(capsys, *refused)
    damaged = tmp_path / "memo.m4a"
    damaged.write_bytes(b"\0\0\0 ftypM4A and no more")
    assert "not a sound file that can be read" in error_of(capsys, "info", str(damaged))
    assert f"{damaged}: a sound, where a model" in error_of(capsys, "export", str(damaged), str(tmp_path / "e.onnx"))


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_embed_into_other_formats(suffix: str, sounds: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / f"e.{suffix}"
    files = [str(sounds / "stereo.wav"), str(sounds / "telephone.flac")]
    assert main(["embed", *files, "-o", str(out), "-m", model, "--no-scene", "--frames"]) == 0
    assert [len(record.frames) for record in read_records(out)] == [25, 50]


def test_all_files_unreadable_is_status_one(sounds: Path, model: str, tmp_path: Path) -> None:
    assert main(["embed", str(sounds / "broken.ogg"), "-o", str(tmp_path / "e.parquet"), "-m", model]) == 1
    reasons = json.loads((tmp_path / "e.parquet.skipped.jsonl").read_text())
    assert reasons["path"].endswith("broken.ogg")


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert main(list(arguments)) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("axlstm: error: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_errors_are_one_line(sounds: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = str(tmp_path / "e.parquet")
    assert "no such file or folder" in error_of(capsys, "embed", "absent", "-o", out, "-m", model)
    assert "no files given" in error_of(capsys, "embed", "-o", out, "-m", model)
    assert "unknown model 'big'" in error_of(capsys, "embed", str(sounds), "-o", out, "-m", "big")
    assert "ends with .parquet" in error_of(capsys, "embed", str(sounds), "-o", "e.txt", "-m", model)
    blocked = str(sounds / "stereo.wav" / "e.parquet")
    assert "cannot be written" in error_of(capsys, "embed", str(sounds), "-o", blocked, "-m", model)
    assert "layers=[7]" in error_of(capsys, "embed", str(sounds), "-o", out, "-m", model, "--layers", "7")
    assert "is not there" in error_of(capsys, "embed", str(sounds), "-o", out, "-m", model, "--device", "mps")
    assert "no such file" in error_of(capsys, "plot", "absent.wav", "-m", model)
    assert "no checkpoint-EPOCH.pth" in error_of(capsys, "convert", str(sounds), str(tmp_path / "m"))


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(axlstm.AxlstmError, match="unknown model"):
        main(["--debug", "info", "nonsense"])


def test_unexpected_errors_are_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("axlstm.hub.load_model", fail)
    monkeypatch.setattr("axlstm.show.describe.load_model", fail)
    assert error_of(capsys, "info", "axlstm-tiny") == "axlstm: error: RuntimeError: two lines"


def test_models_lists_all_sizes(capsys: pytest.CaptureFixture) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("200_16x4") == 12
    assert "2,917,408" in printed


def test_info_of_models_sounds_and_embeddings(model: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", model]) == 0
    assert "random weights" in capsys.readouterr().out
    assert main(["info", str(RUN)]) == 0
    printed = capsys.readouterr().out
    assert "depth              1\n" in printed
    assert re.search(r"^  epoch +99$", printed, re.MULTILINE)
    assert main(["info", str(sample_path("piano_C4"))]) == 0
    printed = capsys.readouterr().out
    assert "48000" in printed
    assert "frame embeddings   125" in printed
    soundfile.write(tmp_path / "click.wav", audio(0.02, 1), 16_000)
    assert main(["info", str(tmp_path / "click.wav")]) == 0
    assert "frame embeddings   none: below 25 ms" in capsys.readouterr().out
    assert main(["embed", str(sample_path("snare_hit")), "-o", str(tmp_path / "e.npz"), "-m", model]) == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "e.npz")]) == 0
    assert "clips              1\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere.wav", "nowhere.parquet"])
def test_info_of_a_file_that_is_not_there(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert f"{name}: no such file" in error_of(capsys, "info", str(tmp_path / name))


def test_pictures_make_their_folder(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "bell.png"
    assert main(["plot", str(sample_path("bell")), "-o", str(picture), "-m", "axlstm-tiny"]) == 0
    assert picture.stat().st_size > 0


def test_a_missing_extra_says_what_to_install() -> None:
    done = run_without("scipy", "hear", "check", "tasks")
    assert done.returncode == 1
    assert 'this needs scipy: pip install "axlstm[evaluate]"' in done.stderr


def test_convert_gives_the_same_embeddings(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "converted"
    assert main(["convert", str(RUN), str(out)]) == 0
    assert "epoch 99" in capsys.readouterr().out
    clip = audio(2.0, 200)
    ours, theirs = (axlstm.load_model(source).embed(clip, 16_000).frames for source in (out, RUN))
    np.testing.assert_array_equal(ours, theirs)
    training = json.loads((out / "config.json").read_text())["training"]
    assert training["args"]["config"]["model"]["arch"] == "xlstm_ssast_tiny"
    assert "holds a model already" in error_of(capsys, "convert", str(RUN), str(out))
    assert main(["convert", str(RUN), str(out), "--force"]) == 0


def test_plot_writes_a_picture(model: str, tmp_path: Path) -> None:
    out = tmp_path / "bell.png"
    assert main(["plot", str(sample_path("bell")), "-o", str(out), "-m", model]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_as_a_program() -> None:
    program = [sys.executable, "-m", "axlstm"]
    shown = subprocess.run([*program, "models"], capture_output=True, text=True, check=True)
    assert "axlstm-tiny" in shown.stdout
    wrong = subprocess.run([*program, "embed", "x.wav"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "--out" in wrong.stdout + wrong.stderr
    assert "Traceback" not in wrong.stderr
