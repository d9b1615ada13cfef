"""System parts that some tests need: a test skips where its part is missing, and says what would bring it."""

import ctypes.util
import os
import shutil
import subprocess
from typing import NoReturn

import pytest

_RTSP = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
raise SystemExit(0 if Gst.ElementFactory.find("x264enc") and Gst.ElementFactory.find("h264parse") else 1)
"""

APT = {
    "rtsp": "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
    " gstreamer1.0-plugins-ugly",
    "chromium": "chromium",
    "redis": "redis-server",
    "kafka": "openjdk-17-jre-headless maven",
    "egl": "libegl1 libgl1 libgl1-mesa-dri",
}


def require(name: str) -> None:
    """Go on if this part is on the machine; else skip, or fail where MIEN_REQUIRE_COMPONENTS=1 (as CI sets it)."""
    if present(name):
        return
    missing(f"{name} is not installed: apt-get install -y {APT[name]}")


def missing(reason: str) -> NoReturn:
    """Skip, or fail where MIEN_REQUIRE_COMPONENTS=1."""
    if os.environ.get("MIEN_REQUIRE_COMPONENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def present(name: str) -> bool:
    """Is this part on the machine?"""
    if name == "rtsp":
        return _runs(["/usr/bin/python3", "-c", _RTSP])
    if name == "chromium":
        return shutil.which("chromium") is not None
    if name == "redis":
        return shutil.which("redis-server") is not None
    if name == "kafka":
        return shutil.which("java") is not None and shutil.which("mvn") is not None
    if name == "egl":
        return ctypes.util.find_library("EGL") is not None
    raise ValueError(f"unknown component {name!r}; known are {', '.join(APT)}")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False
