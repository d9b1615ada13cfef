"""The SQLite layout that the worker writes and the query layer reads."""

LAYOUT_VERSION = 5
INTERRUPTION = -1  # in the place of a sequence: contract.records, Gap.is_interruption
APPLICATION_ID = 0x4D69656E  # «Mien», in the file header, so that another program's file is recognised

SCHEMA = """
CREATE TABLE partitions (
    log TEXT NOT NULL, partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,                 -- rises with every takeover
    next_offset INTEGER NOT NULL,           -- everything stored is the fold of the log before it
    store BLOB,                             -- identity of this file, where every commit writes: a write-ahead log of
                                            -- another one brings another
    rejected INTEGER NOT NULL DEFAULT 0, shed INTEGER NOT NULL DEFAULT 0,  -- deliveries passed over, by reason
    PRIMARY KEY (log, partition)
) WITHOUT ROWID;
CREATE TABLE sessions (
    source TEXT NOT NULL, session TEXT NOT NULL,
    high_water INTEGER NOT NULL,            -- highest sequence applied
    uri TEXT, opened_at INTEGER, dated INTEGER, width INTEGER, height INTEGER, fps REAL, sample_hz REAL,
    keeps_pictures INTEGER NOT NULL DEFAULT 0,
    complete_until INTEGER,                 -- event time, µs, exclusive
    frames INTEGER NOT NULL DEFAULT 0, looked_at INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0,
    name TEXT, settings TEXT,               -- that the user gave; how it is looked at, a JSON object
    start_offset INTEGER NOT NULL DEFAULT 0,  -- µs, of the first frame on a player's clock
    PRIMARY KEY (source, session)
) WITHOUT ROWID;
CREATE TABLE people (
    person TEXT PRIMARY KEY, source TEXT NOT NULL, session TEXT NOT NULL,
    first_time INTEGER NOT NULL, last_time INTEGER NOT NULL, points INTEGER NOT NULL,
    picture BLOB, picture_quality REAL
) WITHOUT ROWID;
CREATE INDEX people_by_source ON people (source, first_time);
CREATE TABLE reading_schemas (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;  -- or a layer's name
CREATE TABLE chunks (                       -- in parts, so that an append rewrites little
    person TEXT NOT NULL, chunk INTEGER NOT NULL, reading_schema TEXT NOT NULL, part INTEGER NOT NULL DEFAULT 0,
    points BLOB NOT NULL,
    PRIMARY KEY (person, chunk, reading_schema, part)
);
CREATE TABLE gaps (
    source TEXT NOT NULL, session TEXT NOT NULL,
    sequence INTEGER NOT NULL,              -- -1: an interruption; gone when the session goes on
    begin INTEGER NOT NULL, end INTEGER NOT NULL, reason TEXT NOT NULL,
    faces INTEGER NOT NULL DEFAULT 0,       -- left out, where the reason is low_quality
    PRIMARY KEY (source, session, sequence)
) WITHOUT ROWID;
CREATE TABLE erased (person TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_RESCORINGS = """
CREATE TABLE rescorings (                   -- stretches read again; their points lie in layers (contract.layers)
    log TEXT NOT NULL, partition INTEGER NOT NULL, reading_schema TEXT NOT NULL,
    rank INTEGER NOT NULL, epoch INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (log, partition, reading_schema)
) WITHOUT ROWID;
"""
SCHEMA += _RESCORINGS

MIGRATIONS = {
    1: """
ALTER TABLE partitions ADD COLUMN rejected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE partitions ADD COLUMN shed INTEGER NOT NULL DEFAULT 0;
""",
    2: _RESCORINGS,
    4: "ALTER TABLE partitions ADD COLUMN store BLOB;",
    3: """
ALTER TABLE sessions ADD COLUMN name TEXT;
ALTER TABLE sessions ADD COLUMN settings TEXT;
ALTER TABLE sessions ADD COLUMN start_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gaps ADD COLUMN faces INTEGER NOT NULL DEFAULT 0;
""",
}
"""What makes a layout of this version the next one; a file of any older layout can be read as it is."""
