"""A CSV with a header, read in blocks by pyarrow; only the requested columns, as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from ..errors import WorkloadError
from ..trace import TraceFunction
from .bad_rows import SHOWN, BadRows, quoted
from .files import Utf8Checked, csv_header, head, opened
from .parse import Parser
from .rows import Ints

_BLOCK = 1 << 22


class CsvRows:
    """The rows of one file; parsing a column adds its bad rows to ``bad``. Names are read as
    dictionaries, so that a hash of 64 characters takes four bytes per row."""

    def __init__(
        self, path: Path, texts: Sequence[str], names: Sequence[str] = (), delimiter: str = ","
    ) -> None:
        """Read the columns. Raises ``WorkloadError`` if file or column cannot be read."""
        self.bad = BadRows(path)
        self._delimiter = delimiter
        types = dict.fromkeys(names, pa.dictionary(pa.int32(), pa.string()))
        types.update(dict.fromkeys(texts, pa.string()))
        self._table = self._read(path, types)
        count = self._table.num_rows + len(self.bad.lines)
        self.lines: Ints = np.setdiff1d(np.arange(2, count + 2), self.bad.lines)

    def _read(self, path: Path, types: dict[str, pa.DataType]) -> pa.Table:
        found = csv_header(head(path), self._delimiter)
        if missing := [name for name in types if found.count(name) != 1]:
            raise WorkloadError(
                f"{path}: needs each of the columns {missing} once; it has: {', '.join(found)}"
            )
        try:
            with opened(path) as file, self._reader(Utf8Checked(file), types) as reader:
                return pa.Table.from_batches(reader, reader.schema).unify_dictionaries()
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise WorkloadError(f"{path}: is not a CSV ({quoted(str(error))})") from error

    def _reader(self, file: object, types: dict[str, pa.DataType]) -> pcsv.CSVStreamingReader:
        return pcsv.open_csv(
            file,
            # One thread: only then are rows of a wrong width numbered.
            pcsv.ReadOptions(use_threads=False, block_size=_BLOCK),
            pcsv.ParseOptions(
                delimiter=self._delimiter,
                invalid_row_handler=self._wrong_width,
                ignore_empty_lines=False,
            ),
            pcsv.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=False
            ),
        )

    def _wrong_width(self, row: pcsv.InvalidRow) -> str:
        self.bad.add(row.number, f"{row.actual_columns} columns, not {row.expected_columns}")
        return "skip"

    def values(self, name: str, parse: Parser, expected: str) -> Ints:
        """Parse a column of numbers; ``expected`` describes them in errors."""
        texts = self._column(name)
        values, ok = parse(texts)
        self._note(~ok, texts, f"{name} {{}} is not {expected}")
        return values

    def functions(self, name: str) -> tuple[Ints, tuple[TraceFunction, ...]]:
        """Return each row's function index, and the functions by first appearance."""
        owners, names = self.codes(name)
        return owners, tuple(TraceFunction(id=each) for each in names)

    def codes(self, name: str) -> tuple[Ints, list[str]]:
        """Return a column of names as indices into the distinct names; empty names are bad rows."""
        column = self._column(name)
        self._note(np.array(pc.equal(column.cast(pa.string()), "")), column, f"{name} is empty")
        return np.array(column.indices, dtype=np.int64), column.dictionary.to_pylist()

    def text(self, name: str) -> pa.Array:
        return self._column(name)

    def whole(self, name: str) -> tuple[Ints, tuple[TraceFunction, ...]]:
        """Owners for a source without functions: all rows belong to a function of that name."""
        return np.zeros(len(self.lines), dtype=np.int64), (TraceFunction(id=name),)

    def _column(self, name: str) -> pa.Array:
        column = self._table[name].combine_chunks()
        return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column

    def _note(self, wrong: NDArray[np.bool_], column: pa.Array, reason: str) -> None:
        where = np.flatnonzero(wrong)
        reasons = [reason.format(quoted(column[int(i)].as_py())) for i in where[:SHOWN]]
        self.bad.add_all(self.lines[where], reasons)
