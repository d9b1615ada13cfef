"""`python -m ingest`: sources are looked at, and what they say goes to Kafka."""

import sys
from typing import Annotated

import typer

from contract.errors import MienError
from contract.exit_codes import BAD_INPUT, code_of
from contract.topics import FACES
from runtime.extras import check_cluster_installed
from runtime.printing import printable
from runtime.signals import hear_interrupts

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…", help="Videos, pictures, folders of them, or rtsp:// cameras.", show_default=False
        ),
    ],
    bootstrap: Annotated[
        str,
        typer.Option(
            help="Kafka brokers, host:port, several by commas.", envvar="MIEN_KAFKA_BOOTSTRAP", show_default=False
        ),
    ],
    redis: Annotated[
        str,
        typer.Option(
            help="Redis, redis://host:port/0: asked what is stored already, so that a file goes on where it stopped.",
            envvar="MIEN_REDIS_URL",
            show_default=False,
        ),
    ],
    topic: Annotated[str, typer.Option(help="The topic of faces.")] = FACES,
    every_n: Annotated[
        int | None, typer.Option(help=r"Look at every n-th frame.  \[default: 1]", min=1, show_default=False)
    ] = None,
    sample_hz: Annotated[
        float | None, typer.Option(help="Look at this many frames per second of video instead.", show_default=False)
    ] = None,
    track: Annotated[
        int | None,
        typer.Option(
            help=r"Of a file with several pictures, look at this track, counted from 1.  \[default: the film]",
            min=1,
            show_default=False,
        ),
    ] = None,
    detect_every: Annotated[
        int | None,
        typer.Option(
            help=r"Search every k-th frame for faces and follow them between.  \[default: 5]",
            min=1,
            show_default=False,
        ),
    ] = None,
    min_quality: Annotated[
        float, typer.Option(help="Leave out faces whose quality (size, sharpness, pose) is lower.", min=0, max=1)
    ] = 0.0,
    pictures: Annotated[bool, typer.Option("--pictures", help="Let the store keep a picture of each person.")] = False,
    shed_after: Annotated[
        float | None,
        typer.Option(help="Seconds from which a camera's face is too old to be read.", min=0.1, show_default=False),
    ] = None,
    buffer_mb: Annotated[int, typer.Option(help="Hold at most this much that Kafka has not acknowledged.", min=1)] = 64,
    health_host: Annotated[str, typer.Option(help="Address of the health pages.")] = "127.0.0.1",
    health_port: Annotated[
        int | None,
        typer.Option(
            help=r"Port of /healthz, /readyz and /metrics; 0: any.  \[default: no pages]",
            min=0,
            max=65535,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look at videos, pictures and cameras, and publish every face to Kafka."""
    check_cluster_installed()
    from ingest.faces.follow import DETECT_EVERY
    from ingest.service import KafkaTarget, ingest_all
    from ingest.settings import IngestSettings

    settings = IngestSettings(
        every_n=every_n,
        sample_hz=sample_hz,
        track=track,
        detect_every=detect_every or DETECT_EVERY,
        min_quality=min_quality,
        keeps_pictures=pictures,
    )
    target = KafkaTarget(bootstrap, redis, topic, shed_after, buffer_mb << 20, health_host, health_port)
    try:
        code = ingest_all(sources, settings, target)
    except MienError as error:
        print(f"mien: {printable(str(error))}", file=sys.stderr)
        code = code_of(error)  # as of a service, whichever way it was started
    raise typer.Exit(code)


def main() -> None:
    """Run the command line; one line per error."""
    hear_interrupts()
    try:
        app(prog_name="python -m ingest")
    except MienError as error:
        print(f"mien: {printable(str(error))}", file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
