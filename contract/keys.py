"""The Redis layout that the worker writes and the query layer reads.

All keys of one partition of the faces topic carry its number as hash tag, so that one function call may change them
together, in a cluster too. Numbers are decimal text; names are escaped, so that no name can reach another's key.
Whatever belongs to one person may expire (see `Keys.people`); nothing else does.
"""

from dataclasses import dataclass

LAYOUT = "mien:layout"  # hash: version, partitions; written once, by whoever opens an empty server
LAYOUT_VERSION = 1

BUCKET_LEVELS_S = (10, 60)  # whole seconds per bucket; finer ones are read from the chunks
INTERRUPTION = -1  # field of `Keys.gaps` in the place of a sequence: contract.records, Gap.is_interruption
BUCKET_SLOTS = 360  # buckets of a level in one key


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of the keys of one partition."""

    partition: int

    @property
    def born(self) -> str:
        """String: the log first followed. It stands beside the position, whose loss it betrays."""
        return f"mien:{{{self.partition}}}:born"

    @property
    def position(self) -> str:
        """Hash: log, epoch, next_offset; passed:rejected, passed:shed (counts)."""
        return f"mien:{{{self.partition}}}:position"

    @property
    def sources(self) -> str:
        """Set of source ids."""
        return f"mien:{{{self.partition}}}:sources"

    @property
    def schemas(self) -> str:
        """Hash: name -> JSON of the ReadingSchema; a name is its id, or that of a layer (`contract.layers`)."""
        return f"mien:{{{self.partition}}}:schemas"

    @property
    def erased(self) -> str:
        """Set of people who are forgotten."""
        return f"mien:{{{self.partition}}}:erased"

    @property
    def rescored(self) -> str:
        """Hash: schema id -> rank of its layer (`contract.layers`), of what was read again."""
        return f"mien:{{{self.partition}}}:rescored"

    def rescoring(self, schema: str) -> str:
        """Hash: log, epoch, next_offset of the rescoring under this schema."""
        return f"mien:{{{self.partition}}}:rescoring:{schema}"

    def sessions(self, source: str) -> str:
        """Set of session ids of a source."""
        return f"mien:{{{self.partition}}}:sessions:{escaped(source)}"

    def session(self, source: str, session: str) -> str:
        """Hash: high_water and, once known, the columns of `contract.tables` sessions (None is absent; 0 or 1)."""
        return f"mien:{{{self.partition}}}:session:{escaped(source)}:{escaped(session)}"

    def gaps(self, source: str, session: str) -> str:
        """Hash: sequence -> «begin end reason», with the number of faces behind it where faces were left out.

        -1 in the place of a sequence: an interruption; «0 0 interrupted» when the session has gone on.
        """
        return f"mien:{{{self.partition}}}:gaps:{escaped(source)}:{escaped(session)}"

    def people(self, source: str) -> str:
        """Sorted set of the people of a source, by first time (µs).

        Where a retention is set, people expire that long after their last point and stay in this list as names alone:
        whoever reads it passes over those who have no `person`.
        """
        return f"mien:{{{self.partition}}}:people:{escaped(source)}"

    def person(self, person: str) -> str:
        """Hash: source, session, first_time, last_time, points, and picture, picture_quality where kept."""
        return f"mien:{{{self.partition}}}:person:{escaped(person)}"

    def chunks(self, person: str) -> str:
        """Sorted set of «chunk:name», by chunk number, the name as in `schemas`; the chunk itself may have expired."""
        return f"mien:{{{self.partition}}}:chunks:{escaped(person)}"

    def chunk(self, person: str, chunk: int, schema: str) -> str:
        """String: packed points of `contract.points`, in the order of their commits."""
        return f"mien:{{{self.partition}}}:chunk:{escaped(person)}:{chunk}:{schema}"

    def buckets(self, person: str, schema: str, level_s: int, slab: int) -> str:
        """Hash: slot -> packed sums of `contract.buckets`; bucket number = slab × BUCKET_SLOTS + slot."""
        return f"mien:{{{self.partition}}}:buckets:{escaped(person)}:{schema}:{level_s}:{slab}"


def escaped(name: str) -> str:
    """The name without a colon; different for different names."""
    return name.replace("%", "%25").replace(":", "%3A") if ":" in name or "%" in name else name
