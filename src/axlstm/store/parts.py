"""Keep the finished parts of an output that is not complete yet, and refuse rows that do not fit together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from axlstm.embed.window_lengths import Windows
from axlstm.embed.windows import check_windows
from axlstm.engines.runtimes import EXTRAS, is_installed
from axlstm.errors import AxlstmError, ConfigError, DataError, WriteError, name_differences
from axlstm.files import writing
from axlstm.store.claims import parts_folder
from axlstm.store.formats import check_whole, read_keys, read_pieces, read_settings, write_records
from axlstm.store.origin import RowKey
from axlstm.store.records import ClipRecord, StoreSettings

if TYPE_CHECKING:
    from axlstm.embed.embedder import Embedder
    from axlstm.embed.light import LightEmbedder

logger = logging.getLogger(__name__)


def name_options(embedder: Embedder | LightEmbedder) -> dict[str, str]:
    """Name what besides the weights changes the embeddings."""
    layers = "last" if embedder.layers is None else ", ".join(map(str, embedder.layers))
    engine = "torch" if embedder.engine in (None, "processes") else str(embedder.engine)
    about = {
        "layout": embedder.layout_name,
        "padding": embedder.padding,
        "layers": layers,
        "dtype": embedder.precision,
    }
    return {**about, "engine": engine, "pooling": str(embedder.pooling)}


def make_settings(
    embedder: Embedder | LightEmbedder, scene: bool, frames: bool, windows: Windows | None
) -> StoreSettings:
    """Say what rows keep of each clip.

    Raises:
        ConfigError: nothing, windows beside frames, or windows that the embedder's layout has no frames for.
    """
    of_frame, of_scene = embedder.timestamp_embedding_size, embedder.scene_embedding_size
    size = of_scene if scene else of_frame
    frame_size = of_frame if scene and frames and of_frame != of_scene else None
    about = (embedder.name, embedder.fingerprint, size, scene, frames, frame_size)
    lengths = () if windows is None else (windows.window_s, windows.hop_s)
    settings = StoreSettings(*about, name_options(embedder), *lengths)
    if windows is not None:
        check_windows(windows, embedder.layout)
    return settings


def earlier_fingerprint(out: Path) -> str | None:
    """Return the fingerprint of what an output has already, of which a further run has to be; None without any."""
    begun = [out] if out.is_file() else []
    for file in [*begun, *sorted(parts_folder(out).glob("part-*.npz"))]:
        try:
            return read_settings(file).fingerprint
        except (AxlstmError, OSError):  # damaged, which is told elsewhere
            continue
    return None


def _differences(there: StoreSettings, here: StoreSettings) -> str:
    """Name the settings that differ, each with both values; empty if the rows of both fit into one file."""
    told = []
    if there.fingerprint != here.fingerprint:
        told = [name_differences({"model": there.model}, {"model": here.model})]
        told.append(name_differences({**here.options, **there.options}, here.options))
        if not any(told) and there.options:
            told.append(f"the weights called {here.model!r} are other ones")
        elif not any(told):
            told.append(f"the file does not hold which: the weights, {', '.join(here.options)}")
    kept = ("size", "scene", "frames", "frame_size", "window_s", "hop_s", "fingerprint")
    compared = [{name: getattr(settings, name) for name in kept} for settings in (there, here)]
    return "; ".join(filter(None, [*told, name_differences(*compared)]))


class Parts:
    """The finished parts of an incomplete output, in a folder beside it; damaged ones are removed."""

    def __init__(self, out: Path, folder: Path, settings: StoreSettings) -> None:
        self.out, self.folder, self.settings = out, folder, settings
        self.kept = f"Finished parts are kept in {folder}"  # for messages
        if out.exists():
            with self._damage_told():
                check_whole(out)
            self._check(out)
        for file in self._files():
            if self._whole(file):
                self._check(file)
            else:
                file.unlink()

    def _whole(self, part: Path) -> bool:
        """Tell whether all of a part can be read, and warn if not."""
        try:
            for _ in read_pieces(part):
                pass
        except AxlstmError as error:
            if isinstance(error.__cause__, OSError):  # the disk may give it another time
                raise DataError(f"{part}: cannot be read ({error.__cause__})") from error
            logger.warning("%s; the clips of this part are embedded again", error)
            return False
        return True

    def _check(self, file: Path) -> None:
        if differing := _differences(read_settings(file), self.settings):
            raise ConfigError(f"{file} was made with other settings ({differing}): {self._remedy(file)}")

    def _remedy(self, file: Path) -> str:
        theirs = read_settings(file)
        engine = theirs.options.get("engine", "torch")
        is_all = {**self.settings.options, "engine": engine} == theirs.options
        extra = next((extra for name, extra in EXTRAS.items() if name == engine), None)
        if not is_all or extra is None or is_installed(engine):
            return "choose another OUT"
        return f'install {engine} (pip install "axlstm[{extra}]") to go on, or choose another OUT'

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.npz"))

    def _all_files(self) -> list[Path]:
        return ([self.out] if self.out.exists() else []) + self._files()

    def finished(self) -> list[RowKey]:
        """List the clips that are finished."""
        return [key for file in self._all_files() for key in read_keys(file)]

    def add(self, records: Iterable[ClipRecord]) -> None:
        """Write records as a new part."""
        number = max((int(file.stem.removeprefix("part-")) for file in self._files()), default=-1) + 1
        part = self.folder / f"part-{number:06d}.npz"
        with writing(part, self.kept):
            write_records(part, self.settings, records)

    def merge(self) -> None:
        """Write the output from its earlier content and the parts."""
        if not self._files():
            return
        with self._damage_told(), writing(self.out, self.kept):
            write_records(self.out, self.settings, self._pieces())

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Say what to do about an output that cannot be read."""
        try:
            yield
        except (DataError, WriteError):
            raise
        except AxlstmError as error:
            raise DataError(
                f"{error}. Finished parts are kept in {self.folder}. Move a damaged output away, and run the same "
                "command again to resume"
            ) from error

    def _pieces(self) -> Iterator[ClipRecord]:
        """Read the output and the parts, no clip twice: an interrupted merge leaves clips in both."""
        seen: set[RowKey] = set()
        for file in self._all_files():
            yield from (piece for piece in read_pieces(file) if piece.key not in seen)
            seen.update(read_keys(file))

    def clear(self) -> None:
        """Remove the parts."""
        for file in self._files():
            file.unlink()
