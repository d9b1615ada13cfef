"""Answers of any length: rows that leave as they are read."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

from contract.errors import MienError
from query.formats import FORMATS
from query.tables import Rows

_log = logging.getLogger(__name__)


class RowStream(StreamingResponse):
    """An answer that writes rows as they come.

    An error among them cuts the connection without the end that HTTP marks: a saved file is whole, or the client sees
    that it is not.

    Args:
        format_name: a name of `query.formats.FORMATS`.
        rows: what is written; at least the first table is there already, so that its errors are answered as usual.
        file_name: without ending.
        held: let go of at the end, whichever it is.
    """

    def __init__(self, format_name: str, rows: Rows, file_name: str, held: ExitStack | None = None) -> None:
        form = FORMATS[format_name]
        headers = {"Content-Disposition": f'attachment; filename="{file_name}.{format_name}"'}
        super().__init__(_pieces(form.encode(rows), held), headers=headers, media_type=form.media_type)

    async def stream_response(self, send: Send) -> None:
        """Send the pieces; after an error nothing more, not even the end."""
        try:
            await super().stream_response(send)
        except MienError as error:
            _log.error("an answer was cut: %s", error)


async def _pieces(pieces: Iterator[bytes], held: ExitStack | None) -> AsyncIterator[bytes]:
    try:
        async for piece in iterate_in_threadpool(pieces):
            yield piece
    finally:
        if close := getattr(pieces, "close", None):
            await run_in_threadpool(close)
        if held is not None:
            await run_in_threadpool(held.close)
