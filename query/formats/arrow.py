"""Rows as Arrow and Parquet, for data frames: every column with its unit, the nets and settings in the metadata."""

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import orjson
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream, write_parquet

from query.tables import Kind, Rows, Table

ROW_GROUP = 65_536
_PIECE = 256 * 1024  # bytes
_TYPES = {
    Kind.TEXT: DataType.string(),
    Kind.INTEGER: DataType.int64(),
    Kind.NUMBER: DataType.float64(),
    Kind.SHARE: DataType.float32(),
}


def arrow(rows: Rows) -> Iterator[bytes]:
    """Write an Arrow IPC stream."""
    return _written(lambda file: write_ipc_stream(_batches(rows), file))


def parquet(rows: Rows) -> Iterator[bytes]:
    """Write a Parquet file, packed with zstd."""
    return _written(
        lambda file: write_parquet(_batches(rows), file, compression="zstd(3)", max_row_group_size=ROW_GROUP)
    )


def _written(write: Any) -> Iterator[bytes]:
    """Return what `write` puts into a file; both formats end with what is known at the end only."""
    file: IO[bytes]
    with tempfile.TemporaryFile() as file:
        write(file)
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece


def _batches(rows: Rows) -> RecordBatchReader:
    fields = [
        Field(each.name, _TYPES[each.kind], nullable=True, metadata={"unit": each.unit} if each.unit else None)
        for each in rows.columns
    ]
    metadata = {
        f"mien.{name}": value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in rows.metadata.items()
    }
    schema = Schema(fields, metadata=metadata)
    return RecordBatchReader.from_batches(schema, (_batch(table, schema) for table in rows.tables))


def _batch(table: Table, schema: Schema) -> RecordBatch:
    arrays = []
    for column, cells in zip(table.columns, table.cells, strict=True):
        kind = _TYPES[column.kind]
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iu":
            arrays.append(Array.from_numpy(np.ascontiguousarray(cells, np.int64)))
        else:
            (plain,) = Table((column,), (cells,)).plain()
            arrays.append(Array(plain, kind))
    return RecordBatch.from_arrays(arrays, schema=schema)
