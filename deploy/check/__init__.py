"""Proves what lies in `deploy/` by real tools: `python -m deploy.check`, or `make check-deploy`."""
