"""Speed, memory and recall of `mien run` on clips with known faces, against a plain pipeline in the same run."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.clips import Clip
from ingest.faces.align import cut
from ingest.faces.detect import CenterFace, iou
from ingest.faces.follow import Follower
from ingest.faces.quality import judge
from ingest.footage import Frame, Rgb
from ingest.footage.video import VideoFile
from models.engines.onnx import OnnxEngine
from models.zoo import find

MATCH_IOU = 0.4
PLAIN_FRAMES = 100
SEARCHED_SIDE = 640


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command line, from its start to its end."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    start_up_s: float
    document: dict  # type: ignore[type-arg]


def run_once(clip: Clip) -> Run:
    """`mien run CLIP --no-serve --out x.json` as a process of its own, by the operating system's accounting."""
    with tempfile.TemporaryDirectory() as folder:
        out, statistics = Path(folder) / "x.json", Path(folder) / "s.json"
        command = [sys.executable, "-m", "mien", "run", str(clip.path), "--no-serve", "--out", str(out)]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--statistics", str(statistics)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"mien run ended with {process.returncode}"
        figures = json.loads(statistics.read_text())
        inside_s = figures["run_s"]
        return Run(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=usage.ru_maxrss / 1024,
            start_up_s=wall_s - inside_s + figures["start_up_s"],
            document=json.loads(out.read_text()),
        )


def recall_and_false_positives(clip: Clip, document: dict) -> tuple[float, float]:  # type: ignore[type-arg]
    """Share of the true faces that were reported (IoU ≥ 0.4), and reports without a face per frame."""
    reported: dict[int, list[list[float]]] = {}
    for person in document["sources"][0]["people"]:
        for frame, box in zip(person["frame"], person["box_xywh"], strict=True):
            reported.setdefault(frame, []).append(box)
    found = wrong = 0
    for frame in range(clip.frames):
        boxes = np.array(reported.get(frame, []), np.float32).reshape(-1, 4)
        hits = iou(clip.truth(frame).astype(np.float32), boxes) >= MATCH_IOU
        found += int(hits.any(axis=1).sum())
        wrong += int((~hits.any(axis=0)).sum())
    return found / (clip.frames * len(clip.faces_xywh)), wrong / clip.frames


def stage_ms(clip: Clip, frames: int = 250) -> dict[str, float]:
    """CPU ms per frame of each stage; decoding runs ahead on a thread of its own, the others follow one another."""
    cv2.setNumThreads(1)  # as `mien run` does
    follower, engine = Follower(CenterFace()), OnnxEngine(*find("expressions.int8"))
    spent = dict.fromkeys(("decode", "detect and follow", "cut and judge", "read"), 0.0)
    waiting: list[NDArray[np.uint8]] = []
    seen, whole, own = 0, time.process_time(), time.thread_time()
    for frame in _frames(clip, frames):
        mark = time.thread_time()
        picture = _picture(frame)
        mark = _add(spent, "decode", mark)
        faces = follower.see(picture, frame.media_time)
        mark = _add(spent, "detect and follow", mark)
        for face in faces:
            crop = cut(picture, face.landmarks)
            judge(crop, face.landmarks, face.score, picture.shape[1::-1])
            waiting.append(crop)
        mark = _add(spent, "cut and judge", mark)
        if len(waiting) >= 8:
            engine(np.stack([cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA) for crop in waiting]))
            waiting.clear()
        _add(spent, "read", mark)
        seen += 1
    spent["decode"] += (time.process_time() - whole) - (time.thread_time() - own)
    return {stage: 1e3 * seconds / seen for stage, seconds in spent.items()}


def plain_ms(clip: Clip) -> float:
    """CPU ms per frame of the plain way: search every frame at 640 px, read every face alone, all in fp32."""
    detector, engine = CenterFace(SEARCHED_SIDE, precision="fp32"), OnnxEngine(*find("expressions"))
    began, seen = time.process_time(), 0
    for frame in _frames(clip, PLAIN_FRAMES):
        picture = _picture(frame)
        for face in detector(picture):
            engine(cut(picture, face.landmarks, 112)[None])
        seen += 1
    return 1e3 * (time.process_time() - began) / seen


def _frames(clip: Clip, count: int) -> Iterator[Frame]:
    footage = VideoFile(clip.path)
    try:
        for item in footage.items(threading.Event()):
            if isinstance(item, Frame):
                yield item
                if item.index + 1 >= count:
                    return
    finally:
        footage.close()


def _picture(frame: Frame) -> Rgb:
    picture = frame.picture()
    assert picture is not None, "the clips of the bench are sound"
    return picture


def _add(spent: dict[str, float], stage: str, mark: float) -> float:
    now = time.thread_time()
    spent[stage] += now - mark
    return now
