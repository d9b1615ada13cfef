"""`python -m query`: show the timelines in a store; `command` is mounted as `mien serve`."""

import logging
import sys
from typing import Annotated

import typer

from contract.errors import MienError
from contract.exit_codes import BAD_INPUT
from query.listen import Listen
from runtime.signals import hear_interrupts, wait_for_signal

LOGGING = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def command(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="A file that `mien run --store` wrote, or the Redis of workers: redis://host:port.",
            envvar="MIEN_REDIS_URL",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback only with --insecure.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve everybody who reaches the address; there are no keys yet.")
    ] = False,
    root_path: Annotated[str, typer.Option(help="Prefix under which a proxy shows the service, such as /mien.")] = "",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name under which the service is reached; may be repeated.", show_default=False),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address or network of a proxy whose X-Forwarded-* headers count; may be repeated.", show_default=False
        ),
    ] = None,
) -> None:
    """Show the dashboard and API of a store until Ctrl-C."""
    listen = Listen(
        host=host,
        port=port,
        insecure=insecure,
        root_path=root_path.rstrip("/"),
        allowed_hosts=tuple(allowed_host or ()),
        trusted_proxies=tuple(trusted_proxy or ()),
    )
    logging.basicConfig(level=logging.WARNING, format=LOGGING, stream=sys.stderr)
    serve(store, listen)


def serve(store: str, listen: Listen) -> None:
    """Serve a file, or a Redis by its address, until Ctrl-C or SIGTERM.

    Raises:
        BadRequest: the address cannot be listened on, or the store's address is none.
        BadStore: the store cannot be read: a clear error now, not a broken page later.
    """
    from query.serving import HttpServer
    from query.store.choose import reader_of

    reader = reader_of(store)
    try:
        with reader.snapshot():
            pass
    finally:
        reader.close()
    server = HttpServer(store, listen)
    print(f"dashboard: {server.url}/   (Ctrl-C ends it)", flush=True)
    wait_for_signal()
    server.close()


def main() -> None:
    """Run the command line; one line per error."""
    hear_interrupts()
    try:
        typer.run(command)
    except MienError as error:
        print(f"query: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
