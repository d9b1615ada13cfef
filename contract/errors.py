"""The error tree of Mien. Every error that a user may meet descends from `MienError` and reads as one line.

MienError
├── BadSource                 what was asked for cannot be looked at
│   ├── SourceNotFound        no such file, folder or host
│   ├── UnreadableVideo       the container or the picture cannot be opened
│   ├── NoVideoInSource       it opens, but holds no picture (audio only, zero frames)
│   ├── RefusedSource         a format, protocol or size that Mien does not open
│   └── SourceUnavailable     a camera that does not answer or refuses us
├── BadRequest                an option or a parameter outside its range
├── BadOutput                 a path that cannot be written (full disk, no permission, unknown ending)
├── BadStore                  a store that cannot be used
│   ├── StoreTooNew           written by a newer Mien
│   ├── StoreUnwritable       full disk, read-only, locked by another process
│   ├── StoreUnavailable      it does not answer, or refuses for now; the same call may succeed later
│   ├── LogReplaced           the topic is another one than the store has followed; an operator has to decide
│   └── NotAStore             the file is something else
├── BadLog                    a bus that cannot be used
│   ├── LogUnavailable        no broker answers
│   ├── RecordsExpired        the log no longer holds what the store has not seen; names how many
│   └── TooManyRejected       what arrives cannot be read; going on would drain the topic
├── BadModel                  a net, card or engine that cannot be used
│   ├── UnknownNet            no such name in the zoo or the registry
│   ├── WeightsDoNotFit       a checkpoint of another net; names the first mismatch
│   ├── EngineDoesNotFit      an engine made for another machine, net or version
│   ├── EngineUnavailable     the library that would run it is not installed
│   ├── EngineFailed          the processor gave up in the middle of a batch; the process should end
│   │   └── OutOfDeviceMemory a batch does not fit the GPU's memory; half of it may
│   └── TrainingDiverged      the loss is not a number any more; the last good checkpoint stays
├── StackFailed               a local Kafka or Redis that cannot be started, or gave up
└── NotFound                  no such source or person in the store
"""


class MienError(Exception):
    """Root of the tree. The text is one line: what was seen, what was wanted."""


class BadSource(MienError):
    """A source cannot be opened or looked at."""


class SourceNotFound(BadSource):
    """There is no such file, folder or host."""


class UnreadableVideo(BadSource):
    """The container or picture cannot be opened or decoded."""


class NoVideoInSource(BadSource):
    """The file opens but holds no picture."""


class RefusedSource(BadSource):
    """A format, protocol or size that Mien does not open."""


class SourceUnavailable(BadSource):
    """A camera does not answer, or refuses us."""


class BadRequest(MienError):
    """An option or a parameter is outside its range."""


class BadOutput(MienError):
    """A path cannot be written."""


class BadStore(MienError):
    """A store cannot be used."""


class StoreTooNew(BadStore):
    """The store was written by a newer Mien."""


class StoreUnwritable(BadStore):
    """The store cannot be written: full disk, read-only, locked."""


class StoreUnavailable(BadStore):
    """The store does not answer, or refuses for now (loading, out of memory, no replica); try the same call again."""


class LogReplaced(BadStore):
    """The topic was made anew since the store followed it: offsets mean something else now."""


class NotAStore(BadStore):
    """The file exists but is not a Mien store."""


class BadLog(MienError):
    """A bus cannot be used."""


class LogUnavailable(BadLog):
    """No broker answers, or the topic does not exist."""


class RecordsExpired(BadLog):
    """Retention has passed the store's position: records are gone that no reading was made of."""


class TooManyRejected(BadLog):
    """Too large a share of what arrives cannot be read; something is wrong with whoever writes, or with us."""


class BadModel(MienError):
    """A net, card or engine cannot be used."""


class UnknownNet(BadModel):
    """No net of this name is known."""


class WeightsDoNotFit(BadModel):
    """A checkpoint belongs to another net."""


class EngineDoesNotFit(BadModel):
    """An engine was made for another machine, net or version."""


class EngineUnavailable(BadModel):
    """The library that would run the engine is not installed."""


class EngineFailed(BadModel):
    """The processor gave up in the middle of a batch; its state is lost and the process should end."""


class OutOfDeviceMemory(EngineFailed):
    """A batch does not fit the GPU's memory; half of it may."""


class TrainingDiverged(BadModel):
    """The loss of a training run is not a number any more."""


class StackFailed(MienError):
    """A local Kafka or Redis cannot be started, or gave up."""


class NotFound(MienError):
    """No such source or person is in the store."""
