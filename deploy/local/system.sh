#!/usr/bin/env bash
# Installs, on Debian or Ubuntu, the system parts that the component tests start:
# Redis, a Java 17 runtime and Maven (Kafka), GStreamer's RTSP server, Chromium, Mesa's EGL, promtool, docker-compose.
# --if-allowed: do nothing, quietly, where there is no apt or no right to use it.
set -euo pipefail

missing=()
have() { command -v "$1" >/dev/null 2>&1; }
have redis-server || missing+=(redis-server)
have java || missing+=(openjdk-17-jre-headless)
have mvn || missing+=(maven)
have promtool || missing+=(prometheus)
have docker-compose || missing+=(docker-compose)
have systemd-analyze || missing+=(systemd)
have chromium || have chromium-browser || have google-chrome || missing+=(chromium)
# OpenGL without a screen, by software: draws the faces of the synthetic action units.
if ! /sbin/ldconfig -p | grep -q 'libEGL\.so\.1' || ! compgen -G '/usr/lib/*/dri/swrast_dri.so' >/dev/null; then
  missing+=(libegl1 libgl1 libgl1-mesa-dri)
fi
if ! /usr/bin/python3 - <<'P' >/dev/null 2>&1
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst
Gst.init(None)
raise SystemExit(not all(Gst.ElementFactory.find(n) for n in ("x264enc", "rtph264pay", "qtdemux", "h264parse")))
P
then
  missing+=(gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
            gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly)
fi
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
if ! have apt-get || { [ ${#as_root[@]} -gt 0 ] && ! "${as_root[@]}" true 2>/dev/null; }; then
  [ "${1:-}" = --if-allowed ] && exit 0
  echo "Cannot install here (apt and root or sudo are needed): ${missing[*]}" >&2
  exit 1
fi
echo "Installing system parts for the tests: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
