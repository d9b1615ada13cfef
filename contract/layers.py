"""Names under which points lie in a store: as the workers read them, and in layers as they were read again.

What workers store lies under the id of its reading schema. A rescoring stores its points in a layer of its own, named
«id+n», n rising from 1 with each new schema that a partition is read again with. A layer holds readings of frames that
the workers stored, at most one for each; nothing in a layer is a new face.
"""


def layer_name(schema_id: str, rank: int) -> str:
    """The name of a layer."""
    return f"{schema_id}+{rank}"


def schema_of_name(name: str) -> str:
    """The id of the reading schema of what lies under this name."""
    return name.partition("+")[0]


def rank_of(name: str) -> int:
    """Return 0 for what workers read, else the number of the layer; for the same frame the highest number counts."""
    return int(name.partition("+")[2] or 0)
