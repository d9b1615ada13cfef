"""How a command ends, whichever way it is started (`mien worker` or `python -m worker`).

| exit code | meaning | what helps |
|---|---|---|
| 0 | done; a worker: asked to stop, and the batch in hand was committed | nothing |
| 2 | an option, the environment, a source or a path is wrong, or a port is taken | correct it |
| 65 | too much cannot be read, or the store refuses what is read | look at the rejected topic and at who writes |
| 66 | retention was quicker than a worker: records are gone | decide: --on-expired skip |
| 69 | no broker or no store answers, or the topic is gone | start again later |
| 70 | the engine failed, or a mistake of ours | start again; the log holds the reason |
| 75 | the engine hung, or draining took too long | start again |
| 78 | the net, the store or the topic is another one than wanted | an operator decides; the message says what |
| 130 | stopped by Ctrl-C or SIGTERM before everything was looked at; what was done is kept | nothing |

Commands that are no service end with 2 on any error.
"""

from contract.errors import (
    BadLog,
    BadModel,
    BadStore,
    EngineFailed,
    LogUnavailable,
    MienError,
    RecordsExpired,
    StoreUnavailable,
    TooManyRejected,
)

DONE, BAD_INPUT, DATA, NO_INPUT, UNAVAILABLE, SOFTWARE, HUNG, CONFIG, INTERRUPTED = 0, 2, 65, 66, 69, 70, 75, 78, 130

CODES: tuple[tuple[type[MienError], int], ...] = (  # the first that fits
    (TooManyRejected, DATA),
    (RecordsExpired, NO_INPUT),
    (LogUnavailable, UNAVAILABLE),
    (StoreUnavailable, UNAVAILABLE),
    (BadLog, UNAVAILABLE),
    (EngineFailed, SOFTWARE),
    (BadModel, CONFIG),
    (BadStore, CONFIG),
)


def code_of(error: MienError) -> int:
    """Return the exit code of a service that ends with this error."""
    return next((code for kind, code in CODES if isinstance(error, kind)), BAD_INPUT)
