"""NAL units of H.264 and HEVC, and the numbers of H.264 pictures: which of them are missing."""

from collections.abc import Iterator
from dataclasses import dataclass

LOOKED_THROUGH = 8192  # bytes of a packet: parameter sets and the first slice's header lie at its beginning
SPS, PPS, IDR, SLICE = 7, 8, 5, 1  # nal_unit_type of H.264, ITU-T H.264 table 7-1
HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # §7.3.2.1.1


def length_size(extradata: bytes) -> int | None:
    """Bytes of the length before each unit in MP4 and Matroska; None: start codes separate the units."""
    if len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    return None


def units(content: bytes, prefix: int | None) -> Iterator[bytes]:
    """The NAL units at the beginning of a packet; the last one may be cut."""
    if prefix is not None:
        at = 0
        while at + prefix < len(content):
            end = at + prefix + int.from_bytes(content[at : at + prefix], "big")
            yield content[at + prefix : end]
            at = end
        return
    at = content.find(b"\0\0\1")
    while at >= 0:
        end = content.find(b"\0\0\1", at + 3)
        yield content[at + 3 : end if end >= 0 else len(content)]
        at = end


class _Bits:
    """Reads a raw byte sequence payload bit by bit (§7.2, §9.1)."""

    def __init__(self, unit: bytes, most: int = 1024) -> None:
        payload = unit[1:most].replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def take(self, count: int) -> int:
        """The next `count` bits. Raises ValueError at the end."""
        if count > self._left:
            raise ValueError("no more bits")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """The next unsigned Exp-Golomb number."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        """The next signed Exp-Golomb number."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What a sequence parameter set says of picture numbers."""

    number_bits: int
    gaps_allowed: bool
    separate_planes: bool


class PictureNumbers:
    """Finds pictures missing in an H.264 track: its reference pictures are numbered in the stream (§7.4.3)."""

    def __init__(self, extradata: bytes) -> None:
        self._prefix = length_size(extradata)
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}  # by picture parameter set
        self._last: int | None = None  # number of the last reference picture
        self.cycle = 16  # pictures after which the numbers begin again
        for unit in units(extradata, None) if self._prefix is None else _of_configuration(extradata):
            self._learn(unit)

    def missing_before(self, packet: bytes) -> bool:
        """Whether reference pictures between the last packet and this one are missing."""
        for unit in units(packet, self._prefix):
            kind = unit[0] & 31 if unit else 0
            if kind in (SPS, PPS):
                self._learn(unit)
            elif kind in (IDR, SLICE):
                try:
                    return self._follows(unit, kind)
                except (ValueError, KeyError):
                    return False  # no number to be read: the decoder finds out
        return False

    def _follows(self, unit: bytes, kind: int) -> bool:
        bits = _Bits(unit, 32)
        bits.ue(), bits.ue()  # first_mb_in_slice, slice_type
        sequence = self._sequences[self._sequence_of[bits.ue()]]
        bits.take(2 * sequence.separate_planes)
        number, last = bits.take(sequence.number_bits), self._last
        self.cycle = 1 << sequence.number_bits
        if unit[0] & 0x60:  # a reference picture
            self._last = number
        if last is None or kind == IDR or sequence.gaps_allowed or number == 0:
            return False
        return number not in (last, (last + 1) % self.cycle)

    def _learn(self, unit: bytes) -> None:
        try:
            bits = _Bits(unit)
            if unit[0] & 31 == PPS:
                number = bits.ue()
                self._sequence_of[number] = bits.ue()
            elif unit[0] & 31 == SPS:
                number, sequence = _sequence(bits)
                self._sequences[number] = sequence
        except (ValueError, IndexError):
            return  # damaged: what was known stays


def _of_configuration(extradata: bytes) -> Iterator[bytes]:
    """The parameter sets in an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1.2)."""
    at = 5
    for mask in (31, 255):
        if at >= len(extradata):
            return
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            yield extradata[at + 2 : at + 2 + size]
            at += 2 + size


def _sequence(bits: _Bits) -> tuple[int, _Sequence]:
    profile = bits.take(8)
    bits.take(16)
    number, separate = bits.ue(), False
    if profile in HIGH_PROFILES:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.take(1))
        bits.ue(), bits.ue(), bits.take(1)
        if bits.take(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    number_bits = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1), bits.se(), bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()  # max_num_ref_frames
    return number, _Sequence(min(number_bits, 16), bool(bits.take(1)), separate)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last
