"""`twinrack doctor`: what keeps this machine from running small blocks, and what to do about each."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import _engine
from ..version import __version__

GOOD, POOR, BAD = "good", "could be better", "does not work"
LIMITS = "/etc/security/limits.d/audio.conf"
SHORT_BLOCK_MS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what, how it is ("good", "could be better" or "does not work"), and what to do."""

    what: str
    how: str
    words: str
    fix: str = ""

    def __str__(self) -> str:
        mark = {GOOD: "ok  ", POOR: "note", BAD: "BAD "}[self.how]
        return f"{mark}  {self.what}: {self.words}" + (f"\n      → {self.fix}" if self.fix else "")


def examine() -> list[Finding]:
    """Look at everything; opens no stream."""
    findings: list[Finding] = []
    for look in (_build, _servers, _devices, _priority, _memory, _governor, _kernel, _extras):
        findings += look()
    return findings


def _build() -> Iterator[Finding]:
    target = _engine.simd_target()
    yield Finding("twinrack", GOOD, f"{__version__}, Python {platform.python_version()}, vectors {target}")


def _servers() -> Iterator[Finding]:
    from . import jack_server

    if jack_server.library() is None:
        fix = "Debian, Ubuntu: sudo apt-get install jackd2, or pipewire-jack; devices are then shared with other programs"
        yield Finding("JACK", POOR, "its library is not installed", fix)
        return
    try:
        client = jack_server.open_client("twinrack-doctor")
    except OSError as error:
        yield Finding("JACK", BAD, str(error))
        return
    if client is None:
        yield from _no_server()
        return
    try:
        rate, block, realtime = client.samplerate, client.blocksize, bool(client.realtime)
    finally:
        client.close()
    ms = 1000.0 * block / rate
    behind = "PipeWire" if jack_server.is_pipewire() else "JACK"
    yield Finding(behind, GOOD, f"runs at {rate} Hz with blocks of {block} frames ({ms:.1f} ms)")
    if ms > SHORT_BLOCK_MS:
        fix = (
            "twinrack live --block 64 asks for a block of its own"
            if behind == "PipeWire"
            else "start it with -p 64, or let twinrack choose where nobody else uses it"
        )
        yield Finding(f"{behind}'s block", POOR, f"{ms:.1f} ms come twice into the latency", fix)
    if not realtime:
        fix = f"start jackd with -R as a user who may: `@audio - rtprio 95` in {LIMITS}, then log in anew"
        yield Finding("JACK's priority", POOR, "the server runs without real-time priority", fix)


def _no_server() -> Iterator[Finding]:
    fix = "start one (jackd -R -d alsa -p 64, or PipeWire), or use a device directly; `jackd -d dummy` needs no hardware"
    yield Finding("JACK", POOR, "no server runs", fix)
    folder = Path("/dev/shm")
    registries = [p for p in folder.glob("jack_*_0_0")] if folder.exists() else []
    running = subprocess.run(["pgrep", "-x", "jackd"], capture_output=True).returncode == 0 if shutil.which("pgrep") else True
    if len(registries) >= 8 and not running:
        fix = "no jackd runs, so: rm /dev/shm/jack*"
        yield Finding("JACK's registry", BAD, "it is full of servers that were killed, so none can start", fix)


def _devices() -> Iterator[Finding]:
    from .device import without_repeats
    from .hosts import devices

    try:
        available = without_repeats(devices())
    except OSError as error:
        yield Finding("devices", BAD, str(error))
        return
    if not available:
        yield Finding("devices", BAD, "there is none", "plug one in, or start a server such as JACK")
        return
    inputs = sum(d.inputs > 0 for d in available)
    outputs = sum(d.outputs > 0 for d in available)
    yield Finding("devices", GOOD if inputs and outputs else POOR, f"{inputs} with inputs, {outputs} with outputs")
    if sys.platform.startswith("linux") and os.geteuid() != 0 and Path("/dev/snd").exists():
        import grp

        names = {grp.getgrgid(g).gr_name for g in os.getgroups()}
        if "audio" not in names and not shutil.which("loginctl"):
            yield Finding("group", POOR, "you are not in the group audio", "sudo usermod -aG audio $USER, then log in anew")


def _priority() -> Iterator[Finding]:
    if not hasattr(os, "sched_setscheduler"):
        return
    before, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        os.sched_setscheduler(0, before, parameters)
    except PermissionError:
        fix = f"put `@audio - rtprio 95` into {LIMITS} and be in the group audio, or install rtkit; then log in anew"
        yield Finding("real-time priority", POOR, "is not allowed to you; small blocks will drop out under load", fix)
    else:
        yield Finding("real-time priority", GOOD, "is allowed")


def _memory() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        return
    import resource

    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        yield Finding("locked memory", GOOD, "is allowed")
    else:
        fix = f"put `@audio - memlock unlimited` into {LIMITS}, then log in anew"
        yield Finding("locked memory", POOR, f"is limited to {limit // 1024} KiB, so memory may be paged out", fix)


def _governor() -> Iterator[Finding]:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not path.exists():
        yield Finding("CPU governor", GOOD, "none here that the system tells of")
        return
    now = path.read_text().strip()
    if now in ("performance", "schedutil"):
        yield Finding("CPU governor", GOOD, now)
    else:
        fix = "sudo cpupower frequency-set -g performance, while you play"
        yield Finding("CPU governor", POOR, f"{now}: the clock may be low when a block is due", fix)


def _kernel() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        return
    words = platform.uname().version
    kind = "PREEMPT_RT" if "PREEMPT_RT" in words else "PREEMPT" if "PREEMPT" in words else "without preemption"
    how = GOOD if kind != "without preemption" else POOR
    fix = "" if how == GOOD else "a kernel with PREEMPT (boot option preempt=full) wakes audio threads sooner"
    yield Finding("kernel", how, f"{platform.release()}, {kind}", fix)


def _extras() -> Iterator[Finding]:
    lacking = []
    for package in ("starlette", "uvicorn", "websockets", "mido", "python-rtmidi", "python-osc"):
        try:
            version(package)
        except PackageNotFoundError:
            lacking.append(package)
    if lacking:
        yield Finding("console, MIDI, OSC", POOR, f"{', '.join(lacking)} not installed", "pip install 'twinrack[live]'")
        return
    from .midi import ports

    inputs = ports()
    yield Finding("console, MIDI, OSC", GOOD, f"installed; MIDI inputs: {', '.join(inputs) or 'none'}")
