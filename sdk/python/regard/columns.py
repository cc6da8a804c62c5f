"""Columns of interactions, read and built.

Numbers come as arrays of machine numbers (`array.array`), which take `memoryview` and are compact; what stands in a null row
means nothing.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, Generic, Iterable, Sequence, TypeVar

from . import wit
from .errors import Error

N = TypeVar("N", int, float)


class Column:
    """What all columns have: one bit per row, least significant first, or none when no row is null."""

    def __init__(self, validity: bytes | None) -> None:
        self._validity = validity

    @property
    def has_nulls(self) -> bool:
        """Whether a row may be null: without nulls a loop need not ask."""
        return self._validity is not None

    def is_null(self, row: int) -> bool:
        """Whether row `row` has no value."""
        return self._validity is not None and not self._validity[row >> 3] >> (row & 7) & 1


class Numbers(Column, Generic[N]):
    """A column of numbers."""

    def __init__(self, values: array[N], validity: bytes | None) -> None:
        super().__init__(validity)
        self.values: array[N] = values
        """One number per row."""


class Texts(Column):
    """A column of texts."""

    def __init__(self, offsets: Sequence[int], data: bytes, validity: bytes | None) -> None:
        super().__init__(validity)
        self._offsets = offsets
        self._data = data

    def at(self, row: int) -> str | None:
        """The text of row `row`."""
        if self.is_null(row):
            return None
        return self._data[self._offsets[row] : self._offsets[row + 1]].decode("utf-8", "replace")


class Dictionary(Column):
    """A column of texts that repeat: row i holds `entries[codes[i]]`."""

    def __init__(self, codes: array[int], entries: list[str], validity: bytes | None) -> None:
        super().__init__(validity)
        self.codes = codes
        self.entries = entries

    def at(self, row: int) -> str | None:
        """The text of row `row`."""
        return None if self.is_null(row) else self.entries[self.codes[row]]


class Rows:
    """The rows of an `update`: a column is converted when it is asked for."""

    def __init__(self, batch: Any) -> None:
        self._columns = {column.name: column for column in batch.columns}
        self._count: int = batch.rows

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def int64(self, name: str) -> Numbers[int]:
        column = self._column(name, "Int64")
        return Numbers(array("q", column.data.value), column.validity)

    def float64(self, name: str) -> Numbers[float]:
        column = self._column(name, "Float64")
        return Numbers(array("d", column.data.value), column.validity)

    def timestamps(self, name: str) -> Numbers[int]:
        """Milliseconds since the Unix epoch."""
        column = self._column(name, "TimestampMs")
        return Numbers(array("q", column.data.value), column.validity)

    def texts(self, name: str) -> Texts:
        column = self._column(name, "Utf8")
        return Texts(column.data.value.offsets, column.data.value.data, column.validity)

    def dictionary(self, name: str) -> Dictionary:
        column = self._column(name, "Dictionary")
        data = column.data.value
        entries = Texts(data.offsets, data.data, None)
        texts = [entries.at(at) or "" for at in range(len(data.offsets) - 1)]
        return Dictionary(array("I", data.codes), texts, column.validity)

    def _column(self, name: str, kind: str) -> Any:
        column = self._columns.get(name)
        if column is None:
            raise Error("invalid", f"column `{name}` is missing")
        found = type(column.data).__name__.removeprefix("ColumnData_")
        if found != kind:
            raise Error("invalid", f"column `{name}` is {found}, not {kind}")
        return column


def check_groups(groups: Sequence[int], group_count: int, rows: Rows) -> None:
    """One group per row, each below `group_count`: raises `invalid` otherwise."""
    if len(groups) != len(rows):
        raise Error("invalid", f"{len(groups)} groups for {len(rows)} rows")
    if groups and max(groups) >= group_count:
        raise Error("invalid", f"group {max(groups)} is not below the group count {group_count}")


@dataclass
class Batch:
    """What `finish` returns; made by a `BatchBuilder`."""

    rows: int
    columns: list[Any]


class BatchBuilder:
    """Builds what `finish` returns, column by column; a None among the values is a null in the column.

    return BatchBuilder(len(counts)).float64("value", counts).finish()
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns: list[tuple[str, bytes | None, str, Any]] = []

    def float64(self, name: str, values: Iterable[float | None]) -> BatchBuilder:
        return self._numbers(name, "Float64", values, float)

    def int64(self, name: str, values: Iterable[int | None]) -> BatchBuilder:
        return self._numbers(name, "Int64", values, int)

    def timestamps(self, name: str, values: Iterable[int | None]) -> BatchBuilder:
        return self._numbers(name, "TimestampMs", values, int)

    def booleans(self, name: str, values: Iterable[bool | None]) -> BatchBuilder:
        given = list(values)
        return self._add(name, given, "Boolean", bytes(1 if value else 0 for value in given))

    def texts(self, name: str, values: Iterable[str | None]) -> BatchBuilder:
        given = list(values)
        return self._add(name, given, "Utf8", _joined([value or "" for value in given]))

    def dictionary(self, name: str, codes: Iterable[int | None], entries: Sequence[str]) -> BatchBuilder:
        """Texts that repeat: row i holds `entries[codes[i]]`."""
        given = list(codes)
        return self._add(name, given, "Dictionary", ([code or 0 for code in given], *_joined(entries)))

    def finish(self) -> Batch:
        types = wit.types()
        columns = []
        for name, validity, kind, value in self._columns:
            if kind == "Utf8":
                value = types.Utf8Column(*value)
            elif kind == "Dictionary":
                value = types.DictionaryColumn(*value)
            data = getattr(types, f"ColumnData_{kind}")(value)
            columns.append(types.Column(name, validity, data))
        return Batch(self._rows, columns)

    def _numbers(self, name: str, kind: str, values: Iterable[Any], to: type[Any]) -> BatchBuilder:
        given = list(values)
        return self._add(name, given, kind, [to(0 if value is None else value) for value in given])

    def _add(self, name: str, given: list[Any], kind: str, value: Any) -> BatchBuilder:
        if len(given) != self._rows:
            raise Error("failed", f"column `{name}` has {len(given)} rows, the batch has {self._rows}")
        self._columns.append((name, _validity(given), kind, value))
        return self


def _validity(values: list[Any]) -> bytes | None:
    if None not in values:
        return None
    bits = bytearray((len(values) + 7) // 8)
    for row, value in enumerate(values):
        if value is not None:
            bits[row >> 3] |= 1 << (row & 7)
    return bytes(bits)


def _joined(texts: Sequence[str]) -> tuple[list[int], bytes]:
    offsets, data = [0], bytearray()
    for text in texts:
        data += text.encode()
        offsets.append(len(data))
    return offsets, bytes(data)
