"""`mien`: one line per error, exit code 2 where the input was bad."""

import errno
import os
import sys

from contract.errors import MienError
from contract.exit_codes import BAD_INPUT, INTERRUPTED
from runtime.signals import hear_interrupts


def main() -> None:
    """Run the command line."""
    interrupts = hear_interrupts()  # first of all: the libraries take a second to load
    try:
        from mien.cli import app

        if "_MIEN_COMPLETE" in os.environ:  # a shell asks what could come next: `mien completion`
            from mien.commands.manual import teach_completion

            teach_completion()
        app(standalone_mode=True)
    except MienError as error:
        from runtime.printing import printable

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
    except Exception:
        if interrupts.came:  # a library makes another error of a KeyboardInterrupt in its import
            sys.exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
