"""The Redis layout that the worker writes and the query layer reads.

All keys of one partition of the faces topic carry its number as hash tag, so that one function call may change them
together, in a cluster too. Numbers are decimal text; names are escaped, so that no name can reach another's key.
"""

from dataclasses import dataclass

LAYOUT = "mien:layout"  # hash: version, partitions; written once, by whoever opens an empty server
LAYOUT_VERSION = 1

BUCKET_LEVELS_S = (10, 60)  # whole seconds per bucket; finer ones are read from the chunks
BUCKET_SLOTS = 360  # buckets of a level in one key


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of the keys of one partition."""

    partition: int

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
        """Hash: id -> JSON of the ReadingSchema."""
        return f"mien:{{{self.partition}}}:schemas"

    @property
    def erased(self) -> str:
        """Set of people who are forgotten."""
        return f"mien:{{{self.partition}}}:erased"

    def sessions(self, source: str) -> str:
        """Set of session ids of a source."""
        return f"mien:{{{self.partition}}}:sessions:{_escaped(source)}"

    def session(self, source: str, session: str) -> str:
        """Hash: high_water and, once it was opened, the columns of `contract.tables` sessions (None is absent)."""
        return f"mien:{{{self.partition}}}:session:{_escaped(source)}:{_escaped(session)}"

    def gaps(self, source: str, session: str) -> str:
        """Hash: sequence -> «begin end reason»."""
        return f"mien:{{{self.partition}}}:gaps:{_escaped(source)}:{_escaped(session)}"

    def people(self, source: str) -> str:
        """Sorted set of the people of a source, by first time (µs)."""
        return f"mien:{{{self.partition}}}:people:{_escaped(source)}"

    def person(self, person: str) -> str:
        """Hash: source, session, first_time, last_time, points, and picture, picture_quality where kept."""
        return f"mien:{{{self.partition}}}:person:{_escaped(person)}"

    def chunks(self, person: str) -> str:
        """Sorted set of «chunk:schema id», by chunk number."""
        return f"mien:{{{self.partition}}}:chunks:{_escaped(person)}"

    def chunk(self, person: str, chunk: int, schema: str) -> str:
        """String: packed points of `contract.points`, in the order of their commits."""
        return f"mien:{{{self.partition}}}:chunk:{_escaped(person)}:{chunk}:{schema}"

    def buckets(self, person: str, schema: str, level_s: int, slab: int) -> str:
        """Hash: slot -> packed count and sums; bucket number = slab × BUCKET_SLOTS + slot."""
        return f"mien:{{{self.partition}}}:buckets:{_escaped(person)}:{schema}:{level_s}:{slab}"


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A")
