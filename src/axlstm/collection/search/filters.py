"""Choose the windows that a search looks at: by columns of recordings, path, date, hour of day and label."""

from __future__ import annotations

import math
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from fnmatch import translate
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axlstm.collection.folder import CollectionFolder
from axlstm.collection.labels.judgements import Statement, judge_windows
from axlstm.collection.labels.table import find_statements
from axlstm.collection.search.table import WindowTable
from axlstm.errors import ConfigError, name_some
from axlstm.options import Verdict, refuse_unknown

_COLUMNS = ("latitude", "longitude", "device", "duration_s", "sample_rate_hz", "channels")
_CONDITION = re.compile(r"(?P<column>[^=<>!]+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*)", re.DOTALL)
_HOURS = re.compile(r"(\d{1,2})(?::(\d\d))?-(\d{1,2})(?::(\d\d))?")
_DAY_S = 86_400


@dataclass(frozen=True)
class Filters:
    """Conditions on the windows that a search looks at. All of them must hold.

    Args:
        where: conditions on a column of the recordings, ``site=A``: of their metadata, or latitude, longitude, device,
            duration_s, sample_rate_hz, channels. Signs are = != < <= > >=. Several = of one column are alternatives.
        path: patterns of paths in the collection, ``north/*``; one of them must fit. * stands for any characters.
        after, before: a day (2024-05-01) or moment (2024-05-01T04:30): windows that begin at it or later; before it.
        hours: ``4-7`` or ``22:30-4``: windows that begin in these hours of the day, from the first up to the second.
        labelled: labels that must be a yes for the window.
        not_labelled: labels that nothing must be known of for the window, neither yes, no nor unsure.

    Days and hours are those of the recorder's clock; recordings without a time are left out by them.

    Raises:
        ConfigError: a condition, time or range that cannot be read.
    """

    where: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    hours: str | None = None
    labelled: tuple[str, ...] = ()
    not_labelled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for condition in self.where:
            _parse_condition(condition)
        for moment in (self.after, self.before):
            _parse_moment(moment)
        _parse_hours(self.hours)

    def describe(self) -> dict[str, Any]:
        """Return what is given, for the tables and for files of hits."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}

    def as_options(self) -> str:
        """Return what is given as the options of the command line."""
        words = []
        for name, given in self.describe().items():
            for value in given if isinstance(given, list) else [given]:
                words.append(f"--{name.replace('_', '-')} {shlex.quote(value)}")
        return " ".join(words)


def make_filters(values: Mapping[str, Any]) -> Filters:
    """Make filters of keyword arguments, where one text may stand for several.

    Raises:
        ConfigError: a filter that does not exist, or as `Filters`.
    """
    known = [one.name for one in fields(Filters)]
    refuse_unknown(values, known)
    asked = dict(values)
    for name in {"where", "path", "labelled", "not_labelled"} & asked.keys():
        asked[name] = (asked[name],) if isinstance(asked[name], str) else tuple(asked[name])
    return Filters(**asked)


@dataclass(frozen=True)
class _Condition:
    column: str
    sign: str
    value: str


def choose_windows(
    collection: CollectionFolder, table: WindowTable, filters: Filters
) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """Tell which rows of a table a search looks at ``(n,)``, or None for all, and what was left out without a fault.

    Raises:
        ConfigError: a column that no recording has.
        DataError: a label that is not there.
    """
    if not filters.describe():
        return None, []
    chosen = np.ones(len(table), dtype=bool)
    notes: list[str] = []
    if filters.where or filters.path:
        spans = np.array(_fitting_recordings(collection, filters), dtype=np.int64)
        chosen &= np.repeat(np.isin(table.recordings, spans), np.diff(table.starts))
    if filters.after or filters.before or filters.hours:
        _choose_times(collection, table, filters, chosen, notes)
    for label in filters.labelled:
        judged = _judged(table, find_statements(collection, label))
        chosen &= judged["yes"]
    for label in filters.not_labelled:
        judged = _judged(table, find_statements(collection, label))
        chosen &= ~(judged["yes"] | judged["no"] | judged["unsure"])
    if not chosen.any():
        notes.append(f"no window passes {filters.as_options()}")
    return chosen, notes


def judge_spans(
    table: WindowTable, statements: Mapping[int, Sequence[Statement]]
) -> Iterator[tuple[int, Mapping[Verdict, NDArray[np.bool_]]]]:
    """Judge the windows of each span whose recording a label says something about.

    Args:
        statements: of a label, by recording.
    """
    for span in np.flatnonzero(np.isin(table.recordings, list(statements))):
        windows = table.span_rows(int(span))
        yield int(span), judge_windows(windows.start_s, windows.end_s, statements[int(table.recordings[span])])


def _judged(table: WindowTable, statements: Mapping[int, Sequence[Statement]]) -> dict[Verdict, NDArray[np.bool_]]:
    """Tell for which rows of a table a label says yes, no and unsure."""
    found: dict[Verdict, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(table), dtype=bool))
    for span, judged in judge_spans(table, statements):
        for verdict, windows in judged.items():
            found[verdict][table.starts[span] : table.starts[span + 1]] = windows
    return found


def _parse_condition(text: str) -> _Condition:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"where {text!r}: expected COLUMN=VALUE, or one of != < <= > >= in place of =")
    condition = _Condition(found["column"].strip(), found["sign"], found["value"].strip())
    if condition.sign in ("<", "<=", ">", ">=") and _number(condition.value) is None:
        raise ConfigError(f"where {text!r}: {condition.sign} compares numbers, and {condition.value!r} is none")
    return condition


def _fitting_recordings(collection: CollectionFolder, filters: Filters) -> list[int]:
    """List the recordings whose columns and paths fit."""
    conditions = [_parse_condition(text) for text in filters.where]
    patterns = [re.compile(translate(pattern)) for pattern in filters.path]
    rows = collection.tables.execute(
        f"SELECT id, path, metadata, {', '.join(_COLUMNS)} FROM recordings WHERE removed_at IS NULL"
    )
    metadata_of = cache(collection.metadata_of)  # recordings of a site have the same
    met: set[str] = set()
    fitting = []
    for row in rows:
        values = metadata_of(row["metadata"]) if conditions else {}
        met.update(values)
        values = {**{column: row[column] for column in _COLUMNS}, **values}
        fits_path = not patterns or any(pattern.match(row["path"]) for pattern in patterns)
        if fits_path and _fits(values, conditions):
            fitting.append(row["id"])
    unknown = sorted({one.column for one in conditions} - met - set(_COLUMNS))
    if unknown:
        raise ConfigError(
            f"{collection.folder}: no recording has a column {name_some(unknown)}; there are "
            f"{name_some(sorted(met | set(_COLUMNS)), most=20)}"
        )
    return fitting


def _fits(values: Mapping[str, Any], conditions: Sequence[_Condition]) -> bool:
    alternatives: dict[str, bool] = {}
    for one in conditions:
        holds = _holds(values.get(one.column), one)
        if one.sign == "=":
            alternatives[one.column] = holds or alternatives.get(one.column, False)
        elif not holds:
            return False
    return all(alternatives.values())


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda here, there: here < there,
    "<=": lambda here, there: here <= there,
    ">": lambda here, there: here > there,
    ">=": lambda here, there: here >= there,
}


def _holds(value: Any, condition: _Condition) -> bool:
    number, other = _number(value), _number(condition.value)
    if condition.sign in _COMPARISONS:
        return number is not None and other is not None and _COMPARISONS[condition.sign](number, other)
    text = "" if value is None else str(value)
    is_equal = text == condition.value or (number is not None and number == other)
    return is_equal == (condition.sign == "=")


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _parse_moment(text: str | None) -> datetime | None:
    """Parse a day or moment of the recorder's clock."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if len(text) > 10 else datetime.combine(date.fromisoformat(text), time())
    except ValueError as error:
        raise ConfigError(f"{text!r}: expected a day or moment as 2024-05-01 or 2024-05-01T04:30") from error
    if moment.tzinfo is not None:
        raise ConfigError(f"{text!r}: give it by the recorder's clock, without an offset from UTC")
    return moment


def _parse_hours(text: str | None) -> tuple[int, int] | None:
    """Parse a range of hours to seconds of the day; its end may lie before its beginning, over midnight."""
    if text is None:
        return None
    found = _HOURS.fullmatch(text.replace(" ", ""))
    if found is not None:
        first, first_minute, last, last_minute = (int(part or 0) for part in found.groups())
        begin, end = 3600 * first + 60 * first_minute, 3600 * last + 60 * last_minute
        if begin < _DAY_S and end <= _DAY_S and first_minute < 60 and last_minute < 60 and begin != end:
            return begin, end
    raise ConfigError(f"hours {text!r}: expected two hours of the day as 4-7, 22-4 or 4:30-7")


def _choose_times(
    collection: CollectionFolder, table: WindowTable, filters: Filters, chosen: NDArray[np.bool_], notes: list[str]
) -> None:
    """Unset the rows whose windows begin at other times."""
    after, before, hours = _parse_moment(filters.after), _parse_moment(filters.before), _parse_hours(filters.hours)
    rows = collection.tables.execute("SELECT id, recorded_at FROM recordings WHERE removed_at IS NULL")
    begins = {row["id"]: _seconds(clock_time(row["recorded_at"])) for row in rows}
    of_spans = np.array([begins.get(recording, math.nan) for recording in table.recordings.tolist()])
    if without := int(np.isnan(of_spans).sum()):
        notes.append(f"{without} recordings without a time are left out")
    times = np.repeat(of_spans, np.diff(table.starts)) + table.start_s  # (n,), which is NaN where it is not known
    chosen &= ~np.isnan(times)
    if after is not None:
        chosen &= times >= _seconds(after)
    if before is not None:
        chosen &= times < _seconds(before)
    if hours is not None:
        of_day, (begin, end) = times % _DAY_S, hours
        is_late, is_early = of_day >= begin, of_day < end
        chosen &= is_late & is_early if begin < end else is_late | is_early


def _seconds(moment: datetime | None) -> float:
    """Count the seconds of a clock since the midnight before 1970; NaN for no moment."""
    return math.nan if moment is None else (moment - datetime(1970, 1, 1)).total_seconds()


def clock_time(recorded_at: str | None) -> datetime | None:
    """Return a recording's time by the recorder's clock, without its offset; None where it is not known."""
    if not recorded_at:
        return None
    try:
        return datetime.fromisoformat(recorded_at).replace(tzinfo=None)
    except ValueError:
        return None


def window_time(recorded_at: str | None, start_s: float) -> str | None:
    """Return when a window begins, as ISO 8601, with the offset that the recording's time has."""
    if clock_time(recorded_at) is None or recorded_at is None:
        return None
    try:
        return (datetime.fromisoformat(recorded_at) + timedelta(seconds=start_s)).isoformat(timespec="milliseconds")
    except OverflowError:  # behind the year 9999, which a header may say
        return None
