"""URLs: what is one, what is refused, and what messages leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from axlstm import remote
from axlstm.errors import ConfigError, StoreError
from axlstm.remote import Store, count_retries, is_url
from tests.conftest import run_without

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(remote, "_PAUSES_S", (0.0,) * 4)
    files = fsspec.filesystem("memory")
    files.pipe({"/box/b/2.wav": b"22", "/box/a.wav": b"1", "/box/b/1.wav": b"0123456789"})
    yield files
    files.rm("/box", recursive=True)


def test_paths_are_no_urls() -> None:
    assert [is_url(name) for name in ("s3://a/b", "HTTPS://a", "a/b.wav", "/a://b", "C:\\a", "12:30.wav")] == [
        *(True, True),
        *(False, False, False, False),
    ]


@pytest.mark.usefixtures("memory")
def test_a_folder_is_listed_with_its_own_entries_in_order() -> None:
    found = Store("memory://box").list("memory://box")
    assert [(name, info["type"], info["size"]) for name, info in found] == [
        ("memory:///box/a.wav", "file", 1),
        ("memory:///box/b", "directory", 0),
    ]


@pytest.mark.usefixtures("memory")
def test_ranges_give_all_bytes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_RANGE_BYTES", 4)
    assert list(Store("memory://box").ranges("memory://box/b/1.wav", 10)) == [b"0123", b"4567", b"89"]


def test_a_fault_is_tried_again_and_counted_and_told_without_secrets(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception | bytes] = [TimeoutError("slow"), b"half", b"0123456789"]

    def cat(*_: Any, **__: Any) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(type(memory), "cat_file", cat)
    before = count_retries()
    assert Store("memory://box").read("memory://box/b/1.wav", 0, 10) == b"0123456789"
    assert count_retries() - before == 2
    answers[:] = [OSError("no answer from https://me:secret@host/a?Signature=123 today")] * 5
    with pytest.raises(StoreError, match=r"1\.wav: the store fails") as caught:
        Store("memory://box").read("memory://box/b/1.wav", 0, 10)
    assert str(caught.value).endswith("(no answer from https://...@host/a?... today), 5 times")


@pytest.mark.usefixtures("memory")
def test_what_is_not_there_is_not_tried_again() -> None:
    before = count_retries()
    with pytest.raises(FileNotFoundError):
        Store("memory://box").read("memory://box/none.wav", 0, 1)
    Store("memory://box").remove("memory://box/none.wav")
    assert count_retries() == before


@pytest.mark.parametrize("url", ["s3://key:secret@sounds/in", "https://host/a.wav?X-Amz-Signature=123"])
def test_urls_with_credentials_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="a URL with credentials") as caught:
        Store(url)
    assert "secret" not in str(caught.value)
    assert "123" not in str(caught.value)


def test_files_of_this_machine_have_paths() -> None:
    with pytest.raises(ConfigError, match="file:///a/b: a file of this machine; give its path"):
        Store("file:///a/b")


def test_fsspec_that_is_not_installed_is_named() -> None:
    result = run_without("fsspec", "embed", "s3://sounds/in", "-o", "out")
    assert (result.returncode, result.stderr.splitlines()[-1]) == (
        1,
        'axlstm: error: URLs need fsspec: pip install "axlstm[remote]"',
    )


def test_missing_credentials_are_told_at_once(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """As botocore's."""

    def info(*_: Any, **__: Any) -> None:
        raise NoCredentialsError("Unable to locate credentials")

    before = count_retries()
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "info", info)
        with pytest.raises(StoreError, match=r"memory://box/a\.wav: no credentials found; give them where fsspec"):
            Store("memory://box").info("memory://box/a.wav")
    assert count_retries() == before
