"""The vocabularies, in output order. Outputs name what a face does, never what a person feels."""

from enum import StrEnum

EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""FER+ order (Barsoum et al. 2016, `vote_names`): the order of the logits of every expression net shipped here."""

ACTION_UNITS = ("AU1", "AU2", "AU4", "AU5", "AU6", "AU9", "AU12", "AU15", "AU17", "AU20", "AU25", "AU26")
"""The twelve units of DISFA and DISFA+ (Mavadati et al. 2013, 2016), in their order."""


class GapReason(StrEnum):
    """Why a stretch of a source was not looked at. A gap is never read as «no face» or «neutral»."""

    DECODE_ERROR = "decode_error"  # the bytes are damaged; decoding went on behind the damage
    TRUNCATED = "truncated"  # the file ends before its own header says
    RESOLUTION_CHANGE = "resolution_change"  # frames lost while the picture size changed
    INTERRUPTED = "interrupted"  # the user stopped the run
    SOURCE_DOWN = "source_down"  # the camera did not deliver
    DROPPED = "dropped"  # more arrived than could be looked at
    NO_FRAMES = "no_frames"  # the source holds no frame for this time, and is sound around it
    LOW_QUALITY = "low_quality"  # looked at, but faces below --min-quality were left out; `Gap.faces` counts them
    NOT_ASKED = "not_asked"  # outside --from and --to
    REJECTED = "rejected"  # a face arrived that could not be read: a damaged picture or record
