"""`mien`: one line per error, exit code 2 where the input was bad."""

import errno
import os
import sys

from contract.errors import MienError
from contract.exit_codes import BAD_INPUT, INTERRUPTED
from mien.cli import app
from runtime.printing import printable


def main() -> None:
    """Run the command line."""
    try:
        app(standalone_mode=True)
    except MienError as error:
        print(f"mien: {printable(str(error))}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"mien: the disk is full; not everything was printed ({error.strerror})", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer would fail once more at the end
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
