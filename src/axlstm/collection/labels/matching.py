"""Find the recordings of a collection that files of labels name, often by paths of another machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from axlstm.errors import name_some


class Recordings:
    """The recordings that are present, by the names that files may have for them.

    Args:
        numbers: of the recordings, by path in the collection.
        root: of the collection.
    """

    def __init__(self, numbers: Mapping[str, int], root: Path) -> None:
        self.numbers, self._root = numbers, root.name.casefold()
        self.by_name_alone: dict[str, str] = {}
        """Names whose folders say nothing of the recording that was found, and its path."""
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in numbers:
            name = PurePosixPath(path).name.casefold()
            self._by_name[name].append(path)
            self._by_stem[name.rpartition(".")[0] or name].append(path)

    def find(self, name: str) -> int:
        """Find a recording by its path in the collection or on the disk, or by a path that ends as that does.

        ``D:\\data\\north\\owl.wav`` and ``owl.wav`` are ``north/owl.wav``; ``south/owl.wav`` is not.

        Raises:
            ValueError: there is none, or several fit equally well.
        """
        given = name.strip()
        if given in self.numbers:
            return self.numbers[given]
        parts = _parts(given)
        if not parts:
            raise ValueError("no name of a recording")
        if "\\" in given and parts[-1] not in self._by_name:  # of Windows; elsewhere it may be in a name
            return self.find(given.replace("\\", "/"))
        shared = {}
        for path in self._by_name.get(parts[-1], []):
            own = _parts(path)
            count = _shared(own, parts)
            if count == min(len(own), len(parts)):
                shared[path] = count
        path = _choose_most(name, shared)
        if len(parts) > 1 and len(_parts(path)) == 1 and parts[-2] != self._root:
            self.by_name_alone[name] = path
        return self.numbers[path]

    def find_of(self, label_file: Path) -> int:
        """Find the recording that a file of labels belongs to: its name begins with that of the recording.

        ``owl.txt``, ``owl.wav.txt`` and ``owl.Table.1.selections.txt`` are of ``owl.wav``.

        Raises:
            ValueError: as `find`.
        """
        name = label_file.name.casefold()
        beginnings = [name, *(name[:index] for index in reversed(range(len(name))) if name[index] == ".")]
        for known in (self._by_name, self._by_stem):
            for beginning in beginnings:
                if beginning in known:
                    parts = (*_parts(label_file.resolve().parent.as_posix()), beginning)
                    own = {path: (*_parts(path)[:-1], beginning) for path in known[beginning]}
                    shared = {path: _shared(parts, ends) for path, ends in own.items()}
                    whole = {path: count for path, count in shared.items() if count == len(own[path])}
                    path = _choose_most(label_file.name, whole or shared)
                    if path not in whole:
                        self.by_name_alone[label_file.name] = path
                    return self.numbers[path]
        raise ValueError(
            f"no recording has a name that {label_file.name!r} begins with; say with --recordings which one it is of"
        )


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.casefold() for part in PurePosixPath(path).parts)


def _shared(path: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Count the parts at the ends of two paths that are the same."""
    shared = 0
    for here, there in zip(reversed(path), reversed(other), strict=False):
        if here != there:
            break
        shared += 1
    return shared


def _choose_most(name: str, shared: Mapping[str, int]) -> str:
    """Choose the path that shares most."""
    if not shared:
        raise ValueError(f"no recording {name[:200]!r} in the collection")
    most = max(shared.values())
    best = [path for path, count in shared.items() if count == most]
    if len(best) > 1:
        raise ValueError(f"{name[:200]!r} may be {name_some(best, ' or ', most=3)}; write more of its path")
    return best[0]
