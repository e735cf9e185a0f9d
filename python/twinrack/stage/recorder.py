"""Recording of a take while the sound goes on: audio through a ring buffer to disk, and every change with its frame.

The audio thread reports the frame at which a change took effect; here it is joined with what the change was.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import soundfile

from .. import _engine
from ..formats.sound import library_name
from ..rack.rack import Rack
from ..system.disk import atomic
from ..version import __version__
from .background import every, weakly
from .line import Line
from .mixer import LiveMixer
from .take import DRY, EVENTS, FORMAT, HEAD, PROCESSED, VERSION, digest

BUFFER_S = 20
WRITE_S = 0.05
WAIT_S = 2.0
MOST_APPLIED = 1000
PROTECTION_MEMORY_S = 1.5  # after so long, what the limiter and the ducking did before no longer matters
ALWAYS_VALID = 0x1061  # libsndfile's SFC_SET_UPDATE_HEADER_AUTO: the header fits what is written, also after a crash


class Recorder:
    """A take that is being recorded.

    Args:
        mixer: what is recorded, and whose changes are.
        folder: a new one.
        sample_rate: Hz.
        block_size: frames of a callback.
        sounding: whether the device calls already, so that the take begins in the middle of the sound.
        tell: called with the kind of an event, "record", and a sentence.

    Attributes:
        folder: where it goes; complete when `stop` has returned.
    """

    def __init__(
        self,
        mixer: LiveMixer,
        folder: str | os.PathLike[str],
        sample_rate: float,
        block_size: int,
        *,
        sounding: bool,
        tell: Callable[[str, str], None],
    ) -> None:
        self.folder = Path(folder)
        self._done = threading.Event()
        self._done.set()
        self._mixer = mixer
        self._engine = mixer.engine  # of this take; when the mixer gets another one, the take ends
        self._rate, self._block_size, self._tell = sample_rate, block_size, tell
        self._frames = 0
        self._sent: dict[tuple[str, int], dict[str, Any]] = {}
        self._applied: dict[tuple[str, int], int] = {}  # the frame from which on something holds
        self._undescribed: list[tuple[tuple[str, int], int]] = []  # applied, and not described yet
        self._files: list[soundfile.SoundFile] = []
        self._engines: dict[str, _engine.Engine | None] = {}
        self._thread: threading.Thread | None = None
        self._forget: list[Callable[[], None]] = []
        self._racks = 0
        self._lock = threading.Lock()
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise FileExistsError(f"{self.folder} exists already; give a new folder for the take") from None
        except OSError as error:
            raise OSError(f"{self.folder} cannot be created: {error.strerror}") from None
        try:
            self._begin(sounding)
        except BaseException:
            self._done.set()
            self._let_go()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __reduce__(self) -> NoReturn:
        raise TypeError("a take cannot be copied or pickled: it is being recorded; its folder can be copied")

    @property
    def running(self) -> bool:
        """False once it was stopped, or the disk was full."""
        return not self._done.is_set()

    def _begin(self, sounding: bool) -> None:
        mixer, engine = self._mixer, self._engine
        rate = int(self._rate)
        inputs, outputs = mixer.inputs, mixer.outputs
        self._widths = (inputs, outputs)
        self._files += [self._open(DRY, rate, inputs), self._open(PROCESSED, rate, outputs)]
        self._history = (self.folder / EVENTS).open("w", encoding="utf-8")
        self._head = {
            "format": FORMAT,
            "version": VERSION,
            "written_by": f"twinrack {__version__}",
            "complete": False,
            "sample_rate": self._rate,
            "block_size": self._block_size,
            "inputs": inputs,
            "outputs": outputs,
            "safety": vars(mixer.safety),
            "lines": [self._line(line) for line in mixer.lines.values()],
        }
        engine.record_into(BUFFER_S)
        self._lost = engine.lost_record
        self._listen()
        first = exact = 0
        self._done.clear()
        if sounding:
            self._frame_of(
                ("", mixer.set_control(_engine.MixerControl.record, 0, 0.0))
            )  # of a take before that could not be ended
        while len(engine.read_record(1 << 16)):
            pass
        protection = engine.output_state()
        number = mixer.set_control(_engine.MixerControl.record, 0, 1.0)
        if sounding:
            first = exact = self._frame_of(("", number))
            for name, line in mixer.lines.items():
                exact = max(exact, self._swapped((name, line.rack.running.swap())))
            if protection.limiter_gain < 1.0 or protection.duck_gain < 1.0:
                exact = max(exact, first + round(PROTECTION_MEMORY_S * rate))
        self._head |= {"first_frame": first, "exact_from": exact}
        self._write_head()
        self._thread = every(WRITE_S, self._done, self._turn, "twinrack-record")
        self._tell("record", f"recording into {self.folder}")

    def _open(self, name: str, rate: int, channels: int) -> soundfile.SoundFile:
        file = soundfile.SoundFile(
            library_name(self.folder / name), "w", samplerate=rate, channels=max(channels, 1), format="RF64", subtype="FLOAT"
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
        """Be told of every change from now on."""
        mixer = self._mixer
        mixer.request_listeners.append(self._note_request)
        mixer.replaced_listeners.append(self._end_with_the_mixer)
        self._forget = [
            partial(mixer.request_listeners.remove, self._note_request),
            partial(mixer.replaced_listeners.remove, self._end_with_the_mixer),
        ]
        self._engine.keep_history(True)
        self._engine.history()
        for name, line in mixer.lines.items():
            engine, witnesses = line.rack.running.engine, line.rack.running.witnesses
            assert engine is not None
            engine.keep_history(True)
            engine.history()
            witness = partial(weakly(self._note_change), name)
            witnesses.append(witness)  # the list moves on with the stream when another rack takes over
            self._forget.append(partial(witnesses.remove, witness))
        self._engines = {name: line.rack.running.engine for name, line in mixer.lines.items()}

    def _note_change(self, name: str, number: int, change: dict[str, Any]) -> None:
        if "rack" in change:
            change = {"rack": change["rack"].copy()}  # written by the recorder's own thread
        self._sent[name, number] = {"line": name, **change}

    def _note_request(self, number: int, control: _engine.MixerControl, index: int, value: float) -> None:
        self._sent["", number] = {"ask": control.name, "index": index, "value": value}

    def _frame_of(self, key: tuple[str, int]) -> int:
        """When something that was sent took effect, or what took its place."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with self._lock:
                self._take_history()
                frames = [frame for (name, number), frame in self._applied.items() if name == key[0] and number >= key[1]]
            if frames:
                return min(frames)
            time.sleep(0.002)
        raise RuntimeError("the device does not call; a take cannot begin")

    def _swapped(self, key: tuple[str, int]) -> int:
        """The frame from which on only the new program of a line is heard."""
        engine = self._engines[key[0]]
        assert engine is not None
        return self._frame_of(key) + int(engine.swap_frames)

    def stop(self) -> None:
        """End the take; what was recorded is then complete on disk."""
        if not self.running:
            return
        number = self._mixer.set_control(_engine.MixerControl.record, 0, 0.0)
        with suppress(RuntimeError):
            self._frame_of(("", number))
        self._finish()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10.0)

    def _end_with_the_mixer(self) -> None:
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
        seconds = self._frames / self._rate
        self._tell("record", f"{self.folder}: {seconds:.1f} s recorded" + (f"; ended because {why}" if why else ""))

    def _let_go(self) -> None:
        """Be told of nothing any more, and close the files."""
        for forget in self._forget:
            with suppress(ValueError):
                forget()
        self._engine.keep_history(False)
        for engine in self._engines.values():
            if engine is not None:
                engine.keep_history(False)
        for file in (*self._files, getattr(self, "_history", None)):
            with suppress(soundfile.SoundFileError, OSError):
                if file is not None:
                    file.close()

    def _write_head(self) -> None:
        ended = self._done.is_set()
        names = [DRY, PROCESSED, EVENTS, *sorted(p.name for p in self.folder.glob("*.rack.json"))]
        hashes = {name: digest(self.folder / name) for name in names} if ended else {}
        head = {**self._head, "complete": ended, "frames": self._frames, "sha256": hashes}
        with atomic(self.folder / HEAD) as temporary:
            temporary.write_text(json.dumps(head, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def _turn(self) -> None:
        why = ""
        with self._lock:
            if self._done.is_set():
                return
            try:
                self._take_history()
                self._write()
            except OSError as error:
                why = f"the disk refuses: {error}"
            if self._engine.lost_record > self._lost:
                why = f"the disk is too slow: {BUFFER_S} s of buffer did not suffice"
        if why:
            with suppress(RuntimeError):
                self._mixer.set_control(_engine.MixerControl.record, 0, 0.0)
            self._finish(why)

    def _take_history(self) -> None:
        """Note what took effect. What is not described yet, because its sender is just about to, waits."""
        sources: list[tuple[str, Any]] = [("", self._engine), *self._engines.items()]
        for name, source in sources:
            if source is not None:
                self._undescribed += [((name, number), frame) for number, frame in source.history()]
        waiting, self._undescribed = self._undescribed, []
        newest: dict[str, int] = {}
        for key, frame in waiting:
            self._applied[key] = frame
            newest[key[0]] = max(newest.get(key[0], 0), key[1])
            sent = self._sent.pop(key, None)
            if sent is None:
                self._undescribed.append((key, frame))
                continue
            if "rack" in sent:
                try:
                    sent = {**sent, "rack": self._save(sent["rack"])}
                except ValueError as error:
                    sent = {**sent, "rack": None, "why": str(error)}
            self._history.write(json.dumps({"frame": frame, **sent}, allow_nan=False) + "\n")
            self._history.flush()
        undescribed = {key for key, _ in self._undescribed}
        for key in [k for k in self._sent if k[1] < newest.get(k[0], 0) and k not in undescribed]:
            self._sent.pop(key, None)  # a newer structure took its place before it sounded
        for key in list(self._applied)[:-MOST_APPLIED]:
            del self._applied[key]

    def _write(self) -> None:
        """Write what waits in the ring buffer.

        Raises:
            OSError: it cannot be written.
        """
        inputs = self._widths[0]
        while True:
            x = self._engine.read_record(1 << 16)
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
