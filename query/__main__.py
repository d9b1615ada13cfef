"""`python -m query STORE`: serve a store that a worker writes or has written."""

import argparse

import uvicorn

from query.app import create_app


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="query", description="Serve the timelines in a store.")
    parser.add_argument("store", help="the store file, or redis://…, rediss://…, unix://…")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(create_app(arguments.store), host="127.0.0.1", port=arguments.port, server_header=False)


if __name__ == "__main__":
    main()
