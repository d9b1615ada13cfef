"""Store → answers over HTTP."""
