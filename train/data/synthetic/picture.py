"""What cameras do to a face: size, blur, tone, noise, compression."""

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST_PX = 26  # across the crop: a face of 16 px
SHARP, JPEG, NOISY = 0.3, 0.4, 0.5  # shares of pictures that keep their size; are compressed; get noise


def seen_by_a_camera(crop: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """(edge, edge) u8 grey of (edge, edge, 3) u8 RGB, worse in the ways of cameras."""
    edge = len(crop)
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
    if random.random() >= SHARP:
        px = int(np.exp(random.uniform(np.log(SMALLEST_PX), np.log(edge))))
        grey = cv2.resize(grey, (px, px), interpolation=cv2.INTER_AREA).astype(np.float32)
        way = cv2.INTER_CUBIC if random.random() < 0.5 else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (edge, edge), interpolation=way).astype(np.float32)
    if random.random() < 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), random.uniform(0.3, 1.6)).astype(np.float32)
    if random.random() < 0.15:
        grey = cv2.filter2D(grey, -1, _streak(random)).astype(np.float32)
    grey = toned(grey, random)
    if random.random() < NOISY:
        grey = grey + random.normal(0.0, random.uniform(0.5, 6.0), grey.shape).astype(np.float32)
    kept = np.clip(grey, 0, 255).astype(np.uint8)
    if random.random() < JPEG:
        _, body = cv2.imencode(".jpg", kept, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(35, 95))])
        kept = np.asarray(cv2.imdecode(body, cv2.IMREAD_GRAYSCALE), np.uint8)
    return kept


def toned(grey: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Another exposure: gamma, contrast about the mean, brightness."""
    curved = 255 * (np.clip(grey, 0, 255) / 255) ** np.exp(random.normal(0.0, 0.25))
    mean = float(curved.mean())
    shown = mean + (curved - mean) * np.exp(random.normal(0.0, 0.2)) + random.normal(0.0, 15.0)
    return np.asarray(np.clip(shown, 0, 255), np.float32)


def _streak(random: np.random.Generator) -> NDArray[np.float32]:
    """A kernel as of a face that moved a few px while the shutter was open."""
    kernel = np.zeros((9, 9), np.float32)
    angle, half = random.uniform(0, np.pi), random.uniform(1.0, 3.5)
    ends = [(4 + sign * half * np.cos(angle), 4 + sign * half * np.sin(angle)) for sign in (-1, 1)]
    cv2.line(kernel, *[tuple(round(float(each)) for each in end) for end in ends], 1.0)  # type: ignore[call-overload]
    return np.asarray(kernel / kernel.sum(), np.float32)
