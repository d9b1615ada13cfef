"""`python -m worker`: read the topic of faces into Redis; `command` is mounted as `mien worker`."""

import logging
import os
import sys
from typing import Annotated

import typer

from contract.errors import MienError
from contract.exit_codes import BAD_INPUT
from contract.topics import FACES
from runtime.signals import hear_interrupts
from worker.kafka.settings import GROUP, OnExpired

LOGGING = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def command(
    bootstrap: Annotated[
        str | None, typer.Option(help=r"Kafka, host:port.  \[default: MIEN_KAFKA_BOOTSTRAP]", show_default=False)
    ] = None,
    redis: Annotated[
        str | None, typer.Option(help=r"Redis, redis://host:port/db.  \[default: MIEN_REDIS_URL]", show_default=False)
    ] = None,
    nets: Annotated[str, typer.Option(help="Nets that read the faces, separated by commas.")] = "expressions.int8",
    engine: Annotated[str, typer.Option(help="What runs the nets: auto, onnx, torch or tensorrt.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of an engine on the CPU.", min=1)] = 1,
    topic: Annotated[str, typer.Option(help="Topic of faces.")] = FACES,
    group: Annotated[str, typer.Option(help="Consumer group that shares the partitions out.")] = GROUP,
    batch_size: Annotated[int, typer.Option(help="Records read together.")] = 64,
    wait_s: Annotated[float, typer.Option(help="Seconds after which a batch leaves half full.")] = 0.1,
    session_s: Annotated[float, typer.Option(help="Seconds of silence after which a worker loses its share.")] = 10.0,
    decode_threads: Annotated[int, typer.Option(help="Threads that decode crops.")] = 2,
    max_rejects: Annotated[int, typer.Option(help="Unreadable records in a row that stop the worker.")] = 100,
    max_reject_share: Annotated[float, typer.Option(help="Share of the last 200 that may be unreadable.")] = 0.5,
    inference_timeout_s: Annotated[
        float, typer.Option(help="Seconds after which an engine hangs and the process ends; 0: never.")
    ] = 60.0,
    drain_s: Annotated[float, typer.Option(help="Seconds after SIGTERM to finish the batch in hand.")] = 20.0,
    on_expired: Annotated[
        OnExpired, typer.Option(help="Where the topic no longer holds what is not stored: stop, or skip with a count.")
    ] = "stop",
    adopt_logs: Annotated[
        bool, typer.Option("--adopt-logs", help="Follow a topic that was made anew, from its beginning.")
    ] = False,
    retention_h: Annotated[
        int | None,
        typer.Option(help=r"Hours after which people expire.  \[default: never]", min=1, show_default=False),
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore",
            help="Read what is stored again with these nets, as far as the topic still holds it, and end; "
            "the workers go on meanwhile.",
        ),
    ] = False,
    health_host: Annotated[str, typer.Option(help="Address of the health pages.")] = "127.0.0.1",
    health_port: Annotated[int, typer.Option(help="Port of /healthz, /readyz and /metrics; 0: any.")] = 8081,
) -> None:
    """Read faces from Kafka and store the nets' readings in Redis, exactly once, until SIGTERM."""
    from worker.reading import limit_decoder

    limit_decoder()  # before anything loads OpenCV
    from worker.reading.nets import engines_of
    from worker.reading.poison import Limits
    from worker.reading.reader import Reader
    from worker.rescore import rescore as reread
    from worker.service import serve
    from worker.settings import WorkerSettings, addresses

    found_bootstrap, found_redis = addresses(os.environ, bootstrap, redis)
    settings = WorkerSettings(
        bootstrap=found_bootstrap,
        redis=found_redis,
        topic=topic,
        group=group,
        batch_size=batch_size,
        wait_s=wait_s,
        session_s=session_s,
        decode_threads=decode_threads,
        limits=Limits(consecutive=max_rejects, share=max_reject_share),
        inference_timeout_s=inference_timeout_s,
        drain_s=drain_s,
        on_expired=on_expired,
        adopt_logs=adopt_logs,
        retention_s=None if retention_h is None else 3600 * retention_h,
        health_host=health_host,
        health_port=health_port,
    )
    logging.basicConfig(level=logging.INFO, format=LOGGING, stream=sys.stderr)
    logging.getLogger("kafka").setLevel(logging.WARNING)  # at INFO it tells of every connection
    names = [name.strip() for name in nets.split(",") if name.strip()]
    raise typer.Exit((reread if rescore else serve)(settings, lambda: Reader(engines_of(names, engine, threads))))


def main() -> None:
    """Run the command line; one line per error."""
    hear_interrupts()
    try:
        typer.run(command)
    except MienError as error:
        print(f"worker: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
