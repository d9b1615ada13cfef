"""Real crops to calibrate and compare on, cut by the code that cuts live ones."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource
from ingest.faces.align import DegenerateLandmarks, cut
from ingest.faces.detect import CenterFace
from train.data.ferplus import cut_crops, find_landmarks, read_npz

DETECTOR_SIDE = 192  # px: the pictures of FER+ are small
STILLS_SIDE = 640
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def read_crops(path: Path, edge: int, most: int, seed: int = 0) -> NDArray[np.uint8]:
    """Up to `most` crops (N, edge, edge, 3) u8 RGB, drawn at random but the same ones each time.

    Args:
        path: an npz of crops (field `crops`, (N, edge, edge, 3) u8) or of FER+ (images, votes, fer_row); or a folder
            of such files, of pictures, or both.
        edge: of the crops, px.
        most: how many.
        seed: of the draw.

    Raises:
        BadSource: nothing of the kind is there.
    """
    if not path.exists():
        raise BadSource(f"{path}: there is no such file or folder")
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    random = np.random.default_rng(seed)
    archives = [each for each in files if each.suffix == ".npz"]
    parts = [part for each in archives if (part := _from_npz(each, edge, most, random)) is not None]
    if not parts:
        stills = [each for each in files if each.suffix.lower() in PICTURES]
        parts = [_from_stills(stills, edge, most, random)] if stills else []
    crops = np.concatenate(parts) if parts else np.empty((0, edge, edge, 3), np.uint8)
    if len(crops) == 0:
        raise BadSource(f"{path}: no crops, no FER+ npz and no picture with a face")
    return crops[np.sort(random.permutation(len(crops))[:most])]


def _from_npz(path: Path, edge: int, most: int, random: np.random.Generator) -> NDArray[np.uint8] | None:
    """Crops of one file; None where it holds something else."""
    with np.load(path, allow_pickle=False) as fields:
        names = set(fields.files)
        if "crops" in names:
            crops: NDArray[np.uint8] = fields["crops"]
            if crops.dtype != np.uint8 or crops.shape[1:] != (edge, edge, 3):
                raise BadSource(f"{path}: crops are {crops.shape} {crops.dtype}, wanted (N, {edge}, {edge}, 3) uint8")
            return crops
    if not {"images", "votes", "fer_row"} <= names:
        return None
    images = read_npz(path).images
    some = images[np.sort(random.permutation(len(images))[:most])]
    return cut_crops(some, find_landmarks(some, CenterFace(input_long_side=DETECTOR_SIDE)), edge)


def _from_stills(paths: list[Path], edge: int, most: int, random: np.random.Generator) -> NDArray[np.uint8]:
    detector = CenterFace(input_long_side=STILLS_SIDE)
    crops: list[NDArray[np.uint8]] = []
    for index in random.permutation(len(paths)):
        picture = cv2.imread(str(paths[index]), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        for face in detector(rgb):
            try:
                crops.append(cut(rgb, face.landmarks, edge))
            except DegenerateLandmarks:
                continue
        if len(crops) >= most:
            break
    return np.stack(crops) if crops else np.empty((0, edge, edge, 3), np.uint8)
