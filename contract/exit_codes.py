"""How a command ends; `worker/service.py` has more, for whoever restarts it."""

DONE = 0
BAD_INPUT = 2  # what was asked for cannot be done; the last line on stderr says why
INTERRUPTED = 130  # by Ctrl-C or SIGTERM, after what was done is kept
