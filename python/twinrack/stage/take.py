"""Takes: what came in, what was heard and all that was changed meanwhile, on disk; and the same once more, offline.

The audio thread says at which frame each change took effect. A replay runs the very mixer of the live stream over the
recorded input and makes the changes at those frames, so it gives the same samples, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from .. import __version__, _engine, patch
from ..audio import Audio
from ..files import atomic
from ..rack import Rack
from .line import Line, Safety, make_mixer, set_up

if TYPE_CHECKING:
    from .stream import LiveStream

FORMAT, VERSION = "twinrack.take", 1
BUFFER_S = 20
WRITE_S = 0.05
WAIT_S = 2.0
SETTLED_S = 1.5  # after so long, what the limiter and the ducking did before no longer matters
DRY, PROCESSED, HEAD, EVENTS = "dry.wav", "processed.wav", "take.json", "events.jsonl"
ALWAYS_VALID = 0x1061  # libsndfile's SFC_SET_UPDATE_HEADER_AUTO: the header fits what is written, also after a crash


class Recorder:
    """A take that is being recorded.

    Attributes:
        folder: where it goes; complete when `stop` has returned.
    """

    def __init__(self, stream: LiveStream, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._done = threading.Event()
        self._done.set()
        self._stream = stream
        self._mixer = stream._mixer
        self._frames = 0
        self._sent: dict[tuple[str, int], dict[str, Any]] = {}
        self._applied: dict[tuple[str, int], int] = {}  # the frame from which on something holds
        self._unsaid: list[tuple[tuple[str, int], int]] = []  # applied, and not described yet
        self._files: list[soundfile.SoundFile] = []
        self._engines: dict[str, _engine.Engine | None] = {}
        self._thread: threading.Thread | None = None
        self._forget: list[Callable[[], None]] = []
        self._racks = 0
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(f"{self.folder} is there already; give a new folder for the take") from None
        except OSError as error:
            raise OSError(f"{self.folder} cannot be made: {error.strerror}") from None
        try:
            self._begin()
        except BaseException:
            self._done.set()
            self._let_go()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def running(self) -> bool:
        """False once it was stopped, or the disk was full."""
        return not self._done.is_set()

    # --- begin and end -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        stream, mixer = self._stream, self._mixer
        rate = int(stream.sample_rate)
        inputs, outputs = stream._inputs, stream._outputs
        self._widths = (inputs, outputs)
        self._files += [self._open(DRY, rate, inputs), self._open(PROCESSED, rate, outputs)]
        self._history = (self.folder / EVENTS).open("w", encoding="utf-8")
        self._head = {
            "format": FORMAT,
            "version": VERSION,
            "written_by": f"twinrack {__version__}",
            "complete": False,
            "sample_rate": stream.sample_rate,
            "block_size": stream.block_size,
            "inputs": inputs,
            "outputs": outputs,
            "safety": vars(stream.safety),
            "lines": [self._line(line) for line in stream.lines.values()],
        }
        mixer.record_into(BUFFER_S)
        self._lost = mixer.lost_record
        self._listen()
        first = exact = 0
        self._done.clear()
        if stream._running:
            self._frame_of(("", stream.ask(_engine.Ask.record, 0, 0.0)))  # of a take before that could not be ended
        while len(mixer.read_record(1 << 16)):
            pass
        limited = mixer.output_state()
        number = stream.ask(_engine.Ask.record, 0, 1.0)
        if stream._running:
            first = exact = self._frame_of(("", number))
            for name, line in stream.lines.items():
                line.rack._swap()
                exact = max(exact, self._swapped(name))
            if limited.limiter_gain < 1.0 or limited.duck_gain < 1.0:
                exact = max(exact, first + round(SETTLED_S * rate))
        self._head |= {"first_frame": first, "exact_from": exact}
        self._write_head()
        self._thread = threading.Thread(target=self._run, name="twinrack-record", daemon=True)
        self._thread.start()
        stream.tell("record", f"recording into {self.folder}")

    def _open(self, name: str, rate: int, channels: int) -> soundfile.SoundFile:
        file = soundfile.SoundFile(
            self.folder / name, "w", samplerate=rate, channels=max(channels, 1), format="RF64", subtype="FLOAT"
        )
        with suppress(AttributeError):
            soundfile._snd.sf_command(file._file, ALWAYS_VALID, soundfile._ffi.NULL, 1)
        return file

    def _line(self, line: Line) -> dict[str, Any]:
        return {
            "name": line.name,
            "rack": self._save(line.rack),
            "inputs": list(line.inputs or ()),
            "outputs": list(line.outputs or ()),
            "sidechain": {k: v if isinstance(v, int) else list(v) for k, v in line.sidechain.items()},
            "level_db": line.level_db,
            "mute": line.mute,
        }

    def _save(self, rack: Rack) -> str:
        self._racks += 1
        name = f"{self._racks:04}.rack.json"
        rack.save(self.folder / name)
        return name

    def _listen(self) -> None:
        """Hear of every change from now on."""
        stream = self._stream
        stream._asked.append(self._asked)
        stream._changed.append(self._mixer_gone)
        self._forget = [partial(stream._asked.remove, self._asked), partial(stream._changed.remove, self._mixer_gone)]
        self._mixer.keep_history(True)
        self._mixer.history()
        for name, line in stream.lines.items():
            engine, listeners = line.rack._engine, line.rack._listeners
            assert engine is not None
            engine.keep_history(True)
            engine.history()
            listener = self._listener(name)
            listeners.append(listener)  # the list moves on with the stream when another rack takes over
            self._forget.append(partial(listeners.remove, listener))
        self._engines = {name: line.rack._engine for name, line in stream.lines.items()}

    def _listener(self, name: str) -> Callable[[int, dict[str, Any]], None]:
        def changed(number: int, change: dict[str, Any]) -> None:
            if "rack" in change:
                change = {"rack": change["rack"].copy()}  # written by the recorder's own thread
            self._sent[name, number] = {"line": name, **change}

        return changed

    def _asked(self, number: int, what: _engine.Ask, index: int, value: float) -> None:
        self._sent["", number] = {"ask": what.name, "index": index, "value": value}

    def _frame_of(self, key: tuple[str, int]) -> int:
        """When something that was sent took effect."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with self._lock:
                self._take_history()
            if key in self._applied:
                return self._applied[key]
            time.sleep(0.002)
        raise RuntimeError("the device does not call; a take cannot begin")

    def _swapped(self, name: str) -> int:
        """The frame from which on only the fresh program of a line is heard."""
        sent = dict(self._sent)
        key = max((k for k in sent if k[0] == name and "rack" in sent[k]), key=lambda k: k[1])
        engine = self._engines[name]
        assert engine is not None
        return self._frame_of(key) + int(engine.swap_frames)

    def stop(self) -> None:
        """End the take; what was recorded is then complete on disk."""
        if not self.running:
            return
        number = self._stream.ask(_engine.Ask.record, 0, 0.0)
        with suppress(RuntimeError):
            self._frame_of(("", number))
        self._finish()
        if self._thread is not None:
            self._thread.join(10.0)

    def _mixer_gone(self) -> None:
        self._finish("the device returned with another sample rate")

    def _finish(self, why: str = "") -> None:
        with self._lock:
            if self._done.is_set():
                return
            self._done.set()
            try:
                self._take_history()
                self._write()
            except OSError as error:
                why = why or f"the disk refuses: {error}"
            self._let_go()
            try:
                self._write_head()
            except OSError as error:
                why = f"{why or 'the disk refuses'}; {HEAD} could not be completed ({error}), the changes are in {EVENTS}"
        seconds = self._frames / self._stream.sample_rate
        self._stream.tell("record", f"{self.folder}: {seconds:.1f} s recorded" + (f"; ended because {why}" if why else ""))

    def _let_go(self) -> None:
        """Hear of nothing any more, and close the files."""
        for forget in self._forget:
            with suppress(ValueError):
                forget()
        self._mixer.keep_history(False)
        for engine in self._engines.values():
            if engine is not None:
                engine.keep_history(False)
        for file in (*self._files, getattr(self, "_history", None)):
            with suppress(soundfile.SoundFileError, OSError):
                if file is not None:
                    file.close()

    def _write_head(self) -> None:
        ended = self._done.is_set()
        hashes = {name: _hash(self.folder / name) for name in (DRY, PROCESSED, EVENTS)} if ended else {}
        head = {**self._head, "complete": ended, "frames": self._frames, "sha256": hashes}
        with atomic(self.folder / HEAD) as beside:
            beside.write_text(json.dumps(head, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    # --- meanwhile ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._done.wait(WRITE_S):
            why = ""
            with self._lock:
                if self._done.is_set():
                    return
                try:
                    self._take_history()
                    self._write()
                except OSError as error:
                    why = f"the disk refuses: {error}"
                if self._mixer.lost_record > self._lost:
                    why = f"the disk is too slow: {BUFFER_S} s of buffer did not suffice"
            if why:
                with suppress(RuntimeError):
                    self._stream.ask(_engine.Ask.record, 0, 0.0)
                self._finish(why)

    def _take_history(self) -> None:
        """Note what took effect. What is not described yet, because its sender is just about to, waits."""
        sources: list[tuple[str, Any]] = [("", self._mixer), *self._engines.items()]
        for name, source in sources:
            if source is not None:
                self._unsaid += [((name, number), frame) for number, frame in source.history()]
        waiting, self._unsaid = self._unsaid, []
        for key, frame in waiting:
            self._applied[key] = frame
            sent = self._sent.get(key)
            if sent is None:
                self._unsaid.append((key, frame))
                continue
            if "rack" in sent:
                try:
                    sent = {**sent, "rack": self._save(sent["rack"])}
                except ValueError as error:
                    sent = {**sent, "rack": None, "why": str(error)}
            self._history.write(json.dumps({"frame": frame, **sent}, allow_nan=False) + "\n")
            self._history.flush()

    def _write(self) -> None:
        """What waits in the ring. Raises OSError when it cannot be written."""
        inputs = self._widths[0]
        while True:
            x = self._mixer.read_record(1 << 16)
            if not len(x):
                return
            parts = (x[:, :inputs] if inputs else np.zeros((len(x), 1), np.float32), x[:, inputs:])
            for file, part in zip(self._files, parts, strict=True):
                try:
                    file.write(np.ascontiguousarray(part))
                except (soundfile.SoundFileError, AssertionError) as error:
                    raise OSError(str(error) or "no space left") from None
            self._frames += len(x)
            if len(x) < 1 << 16:
                return


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- replay ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replay:
    """A take rendered again.

    Attributes:
        audio: (outputs, frames) float32.
        sample_rate: Hz.
        exact_from: the first frame, counted in the take, from which on it must equal what was heard.
        equal: whether it does, bit for bit.
        difference_db: the largest difference from there on, in dBFS; -inf where it is equal.
    """

    audio: Audio
    sample_rate: float
    exact_from: int
    equal: bool
    difference_db: float

    def __str__(self) -> str:
        seconds = self.audio.shape[1] / self.sample_rate
        start = f" from {self.exact_from / self.sample_rate:.2f} s on" if self.exact_from else ""
        if self.equal:
            return f"{seconds:.1f} s: equal to what was heard, bit for bit{start}"
        return f"{seconds:.1f} s: differs from what was heard by up to {self.difference_db:.1f} dBFS{start}"


def replay(folder: str | os.PathLike[str], *, block_frames: int = 4096) -> Replay:
    """Render a take again, offline, with every change where it was made.

    Args:
        folder: what `LiveStream.record` made.
        block_frames: how much at once; the result does not depend on it.

    Raises:
        FileNotFoundError: there is no take, or a part of it is missing.
        ValueError: the take is broken, was changed, or is of a newer twinrack.
    """
    folder = Path(folder)
    head = _read_head(folder)
    rate, first = float(head["sample_rate"]), int(head["first_frame"])
    lines = []
    for line in head["lines"]:
        rack = patch.load(folder / line["rack"])
        rack.prepare(rate, len(line["inputs"]), first_frame=first)
        lines.append(Line(**{**line, "rack": rack}))
    mixer = make_mixer(lines, head["inputs"], head["outputs"], rate, first)
    for what, index, value in set_up(lines, Safety(**head["safety"])):
        mixer.ask(what, index, value)
    if head["exact_from"]:
        mixer.ask(_engine.Ask.fade, 0, 1.0)  # it sounded already
    by_name = {line.name: line for line in lines}
    there = min(soundfile.info(folder / name).frames for name in (DRY, PROCESSED))
    parts, at, count = [], 0, int(head["frames"]) if head["complete"] else there
    events = _read_events(folder)
    with soundfile.SoundFile(folder / DRY) as dry:
        for event in [*events, {"frame": first + count}]:
            end = min(max(int(event["frame"]) - first, at), count)
            while at < end:
                x = dry.read(min(block_frames, end - at), dtype="float32", always_2d=True).T[: head["inputs"]]
                if x.shape[1] == 0:
                    raise ValueError(f"{folder / DRY} ends after {at} frames; the take has {count}")
                parts.append(mixer.process(np.ascontiguousarray(x)))
                at += x.shape[1]
            _apply(event, mixer, by_name, folder)
    y = np.concatenate(parts, 1) if parts else np.zeros((head["outputs"], 0), np.float32)
    heard = soundfile.read(folder / PROCESSED, dtype="float32", always_2d=True)[0].T
    begin = int(head["exact_from"]) - first
    a, b = y[:, begin:], heard[:, begin : y.shape[1]]
    equal = a.shape == b.shape and bool(np.array_equal(a, b))
    largest = 0.0 if equal or a.shape != b.shape else float(np.max(np.abs(a - b), initial=0.0))
    difference = 20.0 * np.log10(largest) if largest > 0 else (-np.inf if equal else np.inf)
    return Replay(y, rate, begin, equal, float(difference))


def _apply(event: dict[str, Any], mixer: _engine.Mixer, lines: dict[str, Line], folder: Path) -> None:
    if "ask" in event:
        mixer.ask(getattr(_engine.Ask, event["ask"]), event["index"], event["value"])
        return
    if "line" not in event:
        return
    line = lines[event["line"]]
    if "set" in event:
        line.rack.set(event["set"], event["to"])
    elif "bypass" in event:
        line.rack[event["bypass"]].bypass = event["to"]
    elif event["rack"] is None:
        raise ValueError(f"{folder} cannot be rendered again: {event['why']}")
    else:
        other = patch.load(folder / event["rack"])
        line.rack._hand_over(other)
        line.rack = other


def _read_head(folder: Path) -> dict[str, Any]:
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no take in {folder}: {path.name} is missing") from None
    except NotADirectoryError:
        raise ValueError(f"{folder} is a file; give the folder of a take") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"{path} is not a twinrack take")
    if head.get("version") != VERSION:
        raise ValueError(f"{path} is take version {head.get('version')!r}; this twinrack reads {VERSION}: upgrade twinrack")
    missing = {"sample_rate", "first_frame", "exact_from", "frames", "lines", "complete", "sha256", "safety"} - set(head)
    if missing:
        raise ValueError(f"{path}: {sorted(missing)[0]} is missing")
    for name, digest in head["sha256"].items():
        if name not in (DRY, PROCESSED, EVENTS):
            raise ValueError(f"{path}: sha256 names {name!r}, which is no part of a take")
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder} has no {name}; a take consists of {DRY}, {PROCESSED}, {EVENTS} and {HEAD}")
        if _hash(folder / name) != digest:
            raise ValueError(f"{path}: sha256 does not fit {name}: the file was changed")
    found: dict[str, Any] = head
    return found


def _read_events(folder: Path) -> list[dict[str, Any]]:
    """What was changed, in order. The last line of a take that was cut off may be a part of one."""
    found = []
    for number, line in enumerate((folder / EVENTS).read_text(encoding="utf-8").splitlines()):
        try:
            event = json.loads(line)
            int(event["frame"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{folder / EVENTS}: line {number + 1} is no event") from None
        found.append(event)
    return sorted(found, key=lambda e: int(e["frame"]))
