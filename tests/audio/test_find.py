"""A search through folders: every entry is sound, skipped with a reason, or counted as not sound."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from axlstm.audio.find import EXTENSIONS, Found, describe_not_sound, find_audio
from axlstm.errors import AudioError
from axlstm.samples import sample_path
from tests.seeded import audio


def names(found: Found, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in found.files]


def reasons(found: Found) -> dict[str, str]:
    assert len({path for path, _ in found.skipped}) == len(found.skipped)
    return {path.name: reason for path, reason in found.skipped}


def entries(folder: Path) -> int:
    """Count what lies in and below a folder and is no folder that can be searched, links to folders included."""
    listed = [path for path in folder.rglob("*") if ".git" not in path.relative_to(folder).parts[:-1]]
    return sum(path.name == ".git" or not path.is_dir() for path in listed)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every kind of entry: 4 sounds, 6 that are skipped, 7 that are not sound."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.WAV", "deep/tape.mp2"):
        (folder / name).touch()
    (folder / "REC0001").write_bytes(sample_path("bird_song").read_bytes())
    soundfile.write(folder / "deep" / "old.bak", audio(0.1, 1), 16_000, format="RF64")
    for name in ("notes.txt", "deep/more.TXT", "deep/cover.jpg", ".DS_Store"):
        (folder / name).write_text("words")
    (folder / "film.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST" + bytes(64))
    (folder / "unfetched.jpg").symlink_to(".git/annex/objects/x.jpg")
    (folder / "unfetched.flac").symlink_to(".git/annex/objects/x.flac")
    (folder / "unmounted").symlink_to("/mnt/nowhere")
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.wav")
    (folder / "session.aiff").mkdir()
    (folder / ".git" / "annex" / "objects").mkdir(parents=True)
    (folder / ".git" / "annex" / "objects" / "fetched.wav").touch()
    (folder / "link").symlink_to(folder / "deep")
    (folder / "deep" / "up").symlink_to(folder)
    return folder


def test_every_entry_is_accounted_for(folder: Path) -> None:
    found = find_audio([folder])
    assert names(found, folder) == ["REC0001", "a.WAV", "deep/old.bak", "deep/tape.mp2"]
    told = reasons(found)
    assert sorted(told) == ["loop.wav", "pipe.wav", "session.aiff", "socket.wav", "unfetched.flac", "unmounted"]
    assert "a link to .git/annex/objects/x.flac, which is not there" in told["unfetched.flac"]
    assert "git annex get" in told["unfetched.flac"]
    assert "Dropbox" in told["unfetched.flac"]
    assert told["loop.wav"] == "a link that leads back to itself"
    assert told["pipe.wav"].startswith("a pipe, not a file")
    assert told["socket.wav"] == "a socket, not a file"
    assert told["session.aiff"].startswith("a folder, not a sound file")
    assert found.not_sound == {".txt": 2, ".jpg": 2, ".avi": 1, ".git": 1, "": 1}
    assert describe_not_sound(found.not_sound) == "7 not sound (2 .jpg, 2 .txt, 1 without a suffix, 1 .avi, 1 .git)"
    assert found.asked == 17 == entries(folder) + 1  # session.aiff is a folder and an entry


def test_an_entry_that_is_reached_twice_is_counted_once(folder: Path, tmp_path: Path) -> None:
    once = find_audio([folder])
    (tmp_path / "other").symlink_to(folder)
    ways = [folder, tmp_path / "other", folder / "deep", folder / "a.WAV", tmp_path / "other" / "unfetched.flac"]
    assert find_audio(ways) == once
    named = find_audio([folder, folder / "notes.txt", folder / "pipe.wav"])  # named, so it is to be read
    assert names(named, folder)[4:] == ["notes.txt", "pipe.wav"]
    assert (named.asked, named.not_sound[".txt"], len(named.skipped)) == (17, 1, 5)


def test_files_that_begin_as_sound_are_found_whatever_their_suffix(tmp_path: Path) -> None:
    kinds = {"wav": "WAV", "w64": "W64", "aiff": "AIFF", "au": "AU", "caf": "CAF", "flac": "FLAC", "ogg": "OGG"}
    for name, kind in {**kinds, "wavex": "WAVEX", "rf64": "RF64"}.items():
        soundfile.write(tmp_path / name, audio(0.1, 1), 16_000, format=kind)
    soundfile.write(tmp_path / "opus", audio(0.1, 1), 16_000, format="OGG", subtype="OPUS")
    (tmp_path / "tagged.x").write_bytes(b"ID3\4" + bytes(60))
    (tmp_path / "voice memo").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(60))
    sounds = len(list(tmp_path.iterdir()))
    for name, content in {
        "picture": b"RIFF\x10\0\0\0WEBPVP8 ",
        "film": b"OggS" + bytes(24) + b"\x80theora",
        "film.x": b"\0\0\0\x1cftypisom",
        "old picture": b"FORM\0\0\0\x10ILBM",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    found = find_audio([tmp_path])
    assert (len(found.files), found.not_sound) == (sounds, {"": 4, ".x": 1})


def fail_to_list(monkeypatch: pytest.MonkeyPatch, bad: Path, after: int) -> None:
    """Let the listing of one folder fail after some entries."""
    scandir = os.scandir

    class Failing:
        def __init__(self, path: Path) -> None:
            self.items = scandir(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            for count, item in enumerate(self.items):
                if count == after:
                    break
                yield item
            raise OSError(errno.EIO, "Input/output error")

        def __exit__(self, *_: object) -> None:
            self.items.close()

    def listing(path: Path) -> object:
        if Path(path) != bad:
            return scandir(path)
        if after == 0:
            raise PermissionError(errno.EACCES, "Permission denied")
        return Failing(path)

    monkeypatch.setattr(os, "scandir", listing)


@pytest.mark.parametrize(("after", "reason"), [(0, "Permission denied"), (2, "Input/output error")])
def test_a_folder_that_cannot_be_listed_is_skipped_or_an_error(
    after: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("good.wav", "bad/one.wav", "bad/two.wav", "bad/three.wav"):
        (tmp_path / name).touch()
    fail_to_list(monkeypatch, bad, after)
    found = find_audio([tmp_path])
    assert len(found.files) == 1 + after
    assert reason in reasons(found)["bad"]
    assert "a folder that cannot be listed" in reasons(found)["bad"]
    with pytest.raises(AudioError, match=rf"bad: a folder that cannot be listed \({reason}\)"):
        find_audio([bad])


def test_a_link_to_a_folder_that_is_not_mounted_is_skipped_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "good.wav").touch()
    for name in ("recorder", "recorder.01", "site 3. north", "notes.txt"):
        (tmp_path / name).symlink_to("/mnt/not/there")
    found = find_audio([tmp_path])
    assert sorted(reasons(found)) == ["recorder", "recorder.01", "site 3. north"]
    assert found.not_sound == {".txt": 1}


def test_a_file_without_a_suffix_that_cannot_be_read_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REC01", "good.wav"):
        (tmp_path / name).touch()

    def fail(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("axlstm.audio.find._begins_as_sound", fail)
    found = find_audio([tmp_path])
    assert names(found, tmp_path) == ["good.wav"]
    assert reasons(found) == {"REC01": "cannot be read (Permission denied)"}


def test_a_folder_without_permission_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "blind" / "below").mkdir(parents=True)
    for name in ("good.wav", "locked/hidden.wav", "blind/seen.wav", "blind/seen.txt"):
        (tmp_path / name).touch()
    (tmp_path / "locked").chmod(0)
    (tmp_path / "blind").chmod(stat.S_IRUSR)
    if os.access(tmp_path / "locked", os.R_OK):
        pytest.skip("this user may read every folder")
    found = find_audio([tmp_path])
    (tmp_path / "locked").chmod(0o700)
    (tmp_path / "blind").chmod(0o700)
    assert names(found, tmp_path) == ["good.wav"]
    assert sorted(reasons(found)) == ["below", "locked", "seen.wav"]
    assert all("Permission denied" in reason for reason in reasons(found).values())
    assert found.not_sound == {".txt": 1}


def test_entries_of_a_folder_that_may_be_listed_but_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are there, and nothing behind them can be asked for."""

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

        def stat(self) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            return self.name.startswith("folder") and not follow_symlinks

        is_symlink = stat

    class Listing(list):
        def __enter__(self) -> Listing:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    listing = Listing(map(Entry, ["a.wav", "b.txt", "c", "folder.2024"]))
    monkeypatch.setattr(os, "scandir", lambda _: listing)
    found = find_audio([tmp_path])
    assert reasons(found) == dict.fromkeys(["a.wav", "c", "folder.2024"], "cannot be read (Permission denied)")
    assert found.not_sound == {".txt": 1}


def test_a_named_link_that_leads_nowhere_is_skipped(tmp_path: Path) -> None:
    """A shell names such links too when it expands ``*.wav``; a name that does not exist is a slip."""
    link, sound = tmp_path / "a.wav", tmp_path / "b.wav"
    link.symlink_to("gone.wav")
    sound.touch()
    found = find_audio([link, sound])
    assert found.files == (sound,)
    assert "git annex get" in reasons(found)["a.wav"]
    assert not find_audio([link]).files
    with pytest.raises(AudioError, match=r"absent\.wav: no such file or folder"):
        find_audio([sound, tmp_path / "absent.wav"])
    with pytest.raises(AudioError, match=r"x\.wav: cannot be read \(Not a directory\)"):
        find_audio([sound / "x.wav"])


def test_many_kinds_are_told_in_short(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"x.s{number}").touch()
    (tmp_path / "y.s8").touch()
    with pytest.raises(AudioError) as raised:
        find_audio([tmp_path])
    kinds = "10 not sound (2 .s8, 1 .s0, 1 .s1, 1 .s2, 1 .s3, 1 .s4, 3 others)"
    assert str(raised.value) == f"no sound files in {tmp_path}: {kinds}; looked for {' '.join(EXTENSIONS)}"


def test_folders_are_searched_and_sorted(tmp_path: Path) -> None:
    for name in ("b/two.WAV", "b/memo.m4a", "b/tape.mp2", "a/one.mp3", "a/deep/three.opus", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_audio([tmp_path, tmp_path / "a" / "notes.txt", tmp_path / "a" / "one.mp3"])
    expected = ["a/deep/three.opus", "a/one.mp3", "b/memo.m4a", "b/tape.mp2", "b/two.WAV", "a/notes.txt"]
    assert names(found, tmp_path) == expected
    assert found.asked == 6
    (tmp_path / "link").symlink_to(tmp_path / "a")
    spellings = [tmp_path / "b" / ".." / "a" / "one.mp3", tmp_path / "link" / "one.mp3", tmp_path / "a" / "one.mp3"]
    assert find_audio([*spellings, tmp_path / "a"]).files == (spellings[0], tmp_path / "a" / "deep" / "three.opus")
    with pytest.raises(AudioError, match="no such file or folder"):
        find_audio([tmp_path / "absent"])
    (tmp_path / "silent").mkdir()
    with pytest.raises(AudioError, match="no sound files"):
        find_audio([tmp_path / "silent"])
    with pytest.raises(AudioError, match="no files given"):
        find_audio([])


def test_links_to_folders_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for path in (outside / "far.wav", folder / "z" / "near.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "link").symlink_to(outside)
    (folder / "a").symlink_to(folder / "z")
    (folder / "z" / "up").symlink_to(folder)
    (outside / "back").symlink_to(folder)
    assert names(find_audio([folder]), folder) == ["link/far.wav", "z/near.wav"]


def test_a_folder_that_is_left_out_is_no_entry(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", audio(0.1, 1), 16_000)
        (tmp_path / name / "notes.txt").touch()
    found = find_audio([tmp_path], without=tmp_path / "out")
    assert (names(found, tmp_path), found.not_sound) == (["in/x.wav"], {".txt": 1})
    assert find_audio([tmp_path], without=tmp_path / "nowhere").asked == 4


def test_what_macos_leaves_beside_a_sound_is_not_sound(tmp_path: Path) -> None:
    for name in ("bird.wav", "._bird.wav", ".DS_Store", "._notes"):
        (tmp_path / name).write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "._call").write_bytes(b"fLaC")
    found = find_audio([tmp_path])
    assert [file.name for file in found.files] == ["bird.wav"]
    assert found.not_sound == {"._*": 3, "": 1}
    assert [file.name for file in find_audio([tmp_path / "._bird.wav"]).files] == ["._bird.wav"]  # it may be named
