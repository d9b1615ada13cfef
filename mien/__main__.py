"""`mien`: one line per error, exit code 2 where the input was bad."""

import sys

from contract.errors import MienError
from mien.cli import app

BAD_INPUT, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line."""
    try:
        app(standalone_mode=True)
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
