"""Whole studies: every person of a store, or of a source, as rows of one table, read one person at a time."""

from query.study.episodes import episode_rows
from query.study.keys import NO_KEYS, Keys
from query.study.people import Whom
from query.study.responses import response_rows
from query.study.summary import summary_rows
from query.study.timelines import timeline_study

__all__ = ["NO_KEYS", "Keys", "Whom", "episode_rows", "response_rows", "summary_rows", "timeline_study"]
