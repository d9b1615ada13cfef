"""Faces in, entries out: crops, nets, what cannot be read."""

import os

CROP_EDGE_LIMIT = 1024  # px; ours are 160, and a small file may claim to hold a huge picture


def limit_decoder() -> None:
    """Let OpenCV refuse pictures larger than a crop before it takes memory for them.

    OpenCV reads the limit when it is loaded: call this before anything imports it. A process that also opens stills
    must not call it; there crops are pixels and nothing from outside is decoded as one.
    """
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(CROP_EDGE_LIMIT**2)
