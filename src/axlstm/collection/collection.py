"""Open and make collections, and do with them what the command line does."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from axlstm.collection.description import check_description, is_collection, write_description
from axlstm.collection.folder import CollectionFolder
from axlstm.collection.schema import FILE, connect, transaction
from axlstm.errors import ConfigError
from axlstm.files import clear_dead_parts, is_part, readable_name
from axlstm.locks import locked

if TYPE_CHECKING:
    from axlstm.collection.classifiers.classifier import Classifier
    from axlstm.collection.indexing import IndexSummary
    from axlstm.collection.search.hits import Hits
    from axlstm.collection.search.searcher import Searcher
    from axlstm.options import ClassifierMode, Combine, GroupName, HeadChoice, SuggestBy, Verdict

Examples = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Collection(CollectionFolder):
    """A folder of recordings' embeddings and labels. Made by `open` and `create`; close it, or use it in a ``with``.

    Several processes may read and label at once. One at a time may change vectors (`changing`).
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        super().__init__(folder, connection)
        self._searchers: dict[int, Searcher] = {}  # by encoder

    def close(self) -> None:
        """Let go of the tables, and of what searches keep."""
        self._searchers.clear()
        super().close()

    def index(
        self,
        recordings: Iterable[str | os.PathLike[str]],
        *,
        model: str | None = None,
        name: str = "",
        window_s: float | None = None,
        hop_s: float | None = None,
        metadata: str | os.PathLike[str] | None = None,
        progress: Callable[[float], None] = lambda _: None,
        **options: Any,
    ) -> IndexSummary:
        """Embed the windows of recordings, but for those that are there already; an interrupted call is taken up.

        Args:
            recordings: sound files, or folders to search with all their subfolders.
            model, name, window_s, hop_s, options: see `axlstm.collection.loading.choose_encoder`.
            metadata: a CSV table for all recordings, see `axlstm.collection.metadata`.
            progress: called with the part of a file that is done, 1.0 in all for each.

        Raises:
            AxlstmError: as `axlstm.collection.indexing.index`, or the model cannot be loaded.
        """
        from axlstm.audio.find import find_audio
        from axlstm.collection.indexing import index
        from axlstm.collection.loading import choose_encoder
        from axlstm.collection.metadata import read_metadata

        table = None if metadata is None else read_metadata(Path(metadata))
        found = find_audio(map(Path, recordings), without=self.folder)
        encoder = choose_encoder(self, model, name, window_s, hop_s, **options)
        return index(self, encoder, found, table, progress)

    def search(
        self,
        query: Examples = (),
        *,
        unlike: Examples = (),
        label: str | None = None,
        combine: Combine = "mean",
        count: int = 50,
        encoder: str | None = None,
        one_per_recording: bool = False,
        apart_s: float | None = None,
        within: bool = False,
        exact: bool = False,
        **filters: Any,
    ) -> Hits:
        """Find the windows that sound most like a query. Query and hits are noted in the tables.

        Args:
            query, unlike, label, combine: see `axlstm.collection.search.query.Query`.
            count: of hits, at most.
            encoder: its name, if the collection has several.
            one_per_recording, apart_s: see `axlstm.collection.search.thin.Spacing`.
            within: find where in each hit the query's sound is, by frames of 40 ms.
            exact: compare every window; without it, an approximate index is asked in large collections.
            filters: see `axlstm.collection.search.filters.Filters`.

        Raises:
            AxlstmError: as `axlstm.collection.search.run.search`.
        """
        from axlstm.collection.search.filters import make_filters
        from axlstm.collection.search.query import Query, as_examples
        from axlstm.collection.search.run import search
        from axlstm.collection.search.thin import Spacing

        asked = Query(as_examples(query), as_examples(unlike), label, combine)
        spacing = Spacing(one_per_recording, apart_s)
        chosen = make_filters(filters)
        searcher = self.searcher(encoder)
        return search(searcher, asked, count=count, filters=chosen, spacing=spacing, within=within, exact=exact)

    def searcher(self, encoder: str | None = None) -> Searcher:
        """Return what searches the windows of an encoder; it is kept as long as the collection is open.

        Raises:
            ConfigError: as `encoder`.
            DataError: there are no windows.
        """
        from axlstm.collection.search.searcher import Searcher

        entry = self.encoder(encoder)
        if entry.id not in self._searchers:
            self._searchers[entry.id] = Searcher(self, entry)
        return self._searchers[entry.id]

    def label(
        self,
        recording: str | os.PathLike[str],
        label: str,
        start_s: float | None = None,
        end_s: float | None = None,
        *,
        verdict: Verdict = "yes",
        author: str = "",
    ) -> int:
        """Say whether a label is heard in a stretch of a recording, and return the number of the statement.

        Args:
            recording: its path in the collection, or on the disk.
            start_s, end_s: None is its beginning or end.
            author: who says so; empty for the name of the user.

        Raises:
            DataError: a recording that is not there, or a name or stretch that a label cannot have.
        """
        from axlstm.collection.labels.saying import say

        return say(self, recording, label, start_s, end_s, verdict=verdict, author=author)

    def train(
        self,
        labels: str | Iterable[str],
        out: str | os.PathLike[str] | None = None,
        *,
        encoder: str | None = None,
        mode: ClassifierMode = "multilabel",
        group: GroupName | None = None,
        head: HeadChoice = "logistic",
        weak_negatives: int = 0,
        precision: float | None = None,
        recall: float | None = None,
        seed: int = 0,
        progress: Callable[[float], None] = lambda _: None,
    ) -> Classifier:
        """Train a classifier on what labels say about windows; its card says how good it is.

        Args:
            labels: their names.
            out: a new folder for the classifier with its report; None writes nothing.
            encoder: its name, if the collection has several.
            mode, group, head, weak_negatives, seed: see `axlstm.collection.classifiers.training.TrainOptions`.
            precision, recall: what thresholds are set by, see `axlstm.collection.classifiers.calibration.Target`.
            progress: called after each fit with the part of the labels that is done since the last call, 1.0 in all for
                each; an exception of it ends the work, and nothing is written then.

        Raises:
            AxlstmError: as `axlstm.collection.classifiers.run.train_classifier`.
        """
        from axlstm.collection.classifiers.calibration import Target
        from axlstm.collection.classifiers.run import train_classifier
        from axlstm.collection.classifiers.training import TrainOptions

        named = (labels,) if isinstance(labels, str) else tuple(labels)
        target = Target(precision, recall)
        options = TrainOptions(mode, group, head, weak_negatives, target, seed)
        searcher = self.searcher(encoder)
        searcher.refresh()
        return train_classifier(self, searcher.table, named, options, None if out is None else Path(out), progress)

    def suggest(
        self,
        label: str,
        classifier: str | os.PathLike[str] | Classifier | None = None,
        *,
        by: SuggestBy = "margin",
        count: int = 20,
        encoder: str | None = None,
        one_per_recording: bool = False,
        apart_s: float | None = None,
        seed: int = 0,
        **filters: Any,
    ) -> Hits:
        """Find windows to label next, whose label would tell most; they are noted in the tables as a query's hits.

        Args:
            classifier: one of this label, or its folder; None trains one on the labels that are there.
            by: see `axlstm.collection.classifiers.suggest.choose_rows`.
            count: of windows, at most.
            encoder: its name, if the collection has several, and no classifier is given.
            one_per_recording, apart_s: see `axlstm.collection.search.thin.Spacing`.
            filters: see `axlstm.collection.search.filters.Filters`.

        Raises:
            AxlstmError: as `axlstm.collection.classifiers.suggest.suggest`, or the classifier cannot be read, or is of
                windows that the collection does not have.
        """
        from axlstm.collection.classifiers.run import open_classifier
        from axlstm.collection.classifiers.suggest import suggest
        from axlstm.collection.search.filters import make_filters
        from axlstm.collection.search.thin import Spacing

        spacing, chosen = Spacing(one_per_recording, apart_s), make_filters(filters)
        opened = None if classifier is None else open_classifier(classifier)
        name = encoder if opened is None else opened.entry_in(self).name
        searcher = self.searcher(name)
        return suggest(searcher, label, opened, by=by, count=count, filters=chosen, spacing=spacing, seed=seed)


def create(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> Collection:
    """Make an empty collection.

    Args:
        folder: must not be there yet, or be empty.
        root: the folder that paths of recordings are relative to.

    Raises:
        ConfigError: the folder is there and holds something, or the root is no folder.
        InUseError: another process makes it.
        WriteError: it cannot be written.
    """
    folder, root = Path(folder), Path(root).resolve()
    if not root.is_dir():
        raise ConfigError(f"{root}: expected a folder, which recordings lie in")
    if folder.is_dir():
        _refuse_others(folder)  # before the lock is another file in somebody's folder
    with locked(folder):
        clear_dead_parts(folder)
        _refuse_others(folder)
        connection = connect(folder, new=True)
        with transaction(connection, folder / FILE):
            connection.execute("INSERT OR REPLACE INTO settings VALUES ('root', ?)", (readable_name(root),))
        # Written last: a collection whose making was killed has no description, and is made again.
        write_description(folder)
    return Collection(folder, connection)


def _refuse_others(folder: Path) -> None:
    """Refuse a folder with files other than those of a collection whose making was killed."""
    if is_collection(folder):
        raise ConfigError(f"{folder}: a collection already; open it, or choose another folder")
    begun = {FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}-journal", "lock", "lock.holder"}
    if any(path.name not in begun and not is_part(path) for path in folder.iterdir()):
        raise ConfigError(f"{folder}: not empty, and no collection; choose another folder")


def open(folder: str | os.PathLike[str]) -> Collection:
    """Open a collection.

    Raises:
        DataError: the folder is no collection, a half-copied one, or one of a newer version of this package.
        DamageError: its description or its tables are damaged.
    """
    folder = Path(folder)
    check_description(folder)
    return Collection(folder, connect(folder))
