"""The work of one hosted plugin in one stream: its process, which plays blocks of the engine's ring, and who watches it."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from .. import _engine
from .catalogue import Listed
from .child import HostProcess, PluginDiedError, PluginError
from .description import Description
from .midi import Score, requests_of
from .plugin import LOAD_S, Scales, load
from .plugin_card import PluginParameter

log = logging.getLogger("twinrack.live")
BLOCKS, WAITED_BLOCKS = 2, 1  # a result is due one block after its block's last frame, or at once
MOST_WAITED = 0.4  # of the time that a callback has
WATCH_S = 0.01
STUCK_S = 0.15  # without a block played while blocks come
MOST_DEATHS, IN_S = 3, 60.0
PUMP_S = 120.0
MOST_WAITING, SENDS_FOR_S = 1000, 1.0  # messages; seconds without one, after which it is looked whether the stream has ended


class PluginWork:
    """See `external_effect.Work`.

    Args:
        listed, description: which plugin.
        parameters: of its card, by port.
        numbers: gives the present values by port, for a process that is started.
        state: gives the present state, as text.
        channels, sample_rate: of the stream.
        block_frames: given at once.
        latency: frames that the plugin itself delays the sound by.
        moved: called with another latency that it reports in a live stream.
        knots: frames and the beats that come at them.
        midi: messages of the timeline, and by how many frames the sound is late where the plugin stands.
        wait_s: for which the audio thread waits for a block's result at most; 0 where it does not.
    """

    def __init__(
        self,
        listed: Listed,
        description: Description,
        parameters: Mapping[int, PluginParameter],
        numbers: Callable[[], dict[int, float]],
        state: Callable[[], str],
        channels: int,
        sample_rate: float,
        block_frames: int,
        latency: int,
        moved: Callable[[int], None],
        knots: Sequence[tuple[float, float]],
        midi: tuple[Score, float],
        wait_s: float,
    ) -> None:
        self._listed, self._description, self._ports = listed, description, list(parameters)
        self._numbers, self._state, self._moved, self._knots = numbers, state, moved, tuple(knots)
        self._midi = requests_of(midi[0], sample_rate, midi[1])
        self._channels, self._rate, self.block_frames = channels, sample_rate, block_frames
        self._blocks = WAITED_BLOCKS if wait_s > 0.0 else BLOCKS
        self._keys = sum(p.is_sidechain for p in description.audio(True))
        self.restarts, self.complaint = 0, ""
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._thread: threading.Thread | None = None
        self._sender: threading.Thread | None = None
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()
        now = numbers()
        self.own_latency, self._warned = latency, False
        self._lock, self._stopped = threading.Lock(), False
        self._stuck_s = max(STUCK_S, 3.0 * block_frames / sample_rate)
        self._memory = os.memfd_create("twinrack-plugin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            ranges = [(p.kind != "continuous" or p.is_integer, *p.span, now[port]) for port, p in parameters.items()]
            self.worker = _engine.WorkerEffect(
                channels, block_frames, self._blocks, self._keys, ranges, self.own_latency, self._memory, wait_s
            )
            self._host = self._begin()
        except BaseException:
            os.close(self._memory)
            raise

    def _begin(self) -> HostProcess:
        """A process that has joined the ring, in the present state."""
        host = HostProcess(self._listed.name, self._memory)
        try:
            numbers, state = self._numbers().items(), self._state()
            load(host, self._listed, self._description.scales(), self._rate, self.block_frames, state, numbers)
            host.request("tempo", *(f"{n:.17g}" for knot in self._knots for n in knot))
            for words in self._midi:
                host.request("midi", *words)
            sides = "".join("1" if p.is_sidechain else "0" for p in self._description.audio(True))
            host.request("join", self._channels, self._keys, self._blocks, sides, *self._ports, seconds=LOAD_S)
        except BaseException:
            host.close()
            raise
        return host

    @property
    def host(self) -> HostProcess:
        """Its process."""
        return self._host

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._host.pid

    def pump(self) -> bool:
        """Let the plugin play all blocks that wait; always False, as none is left.

        Raises:
            PluginDiedError: its process ended.
        """
        self._host.request("pump", seconds=PUMP_S)
        reported = self.worker.reported_latency
        if reported not in (-1, self.own_latency) and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._listed.name} reports a latency of {reported} frames while it plays, {self.own_latency} at first; what "
                f"follows is {reported - self.own_latency} frames late: set the values that move it before rendering",
                stacklevel=2,
            )
        return False

    def run(self) -> None:
        """Let the plugin play by itself, and watch it, until the stream has ended."""
        self._play()
        self.worker.let_wait()
        self._thread = threading.Thread(target=self._watch, name=f"twinrack-{self._listed.name}", daemon=True)
        self._thread.start()

    def _play(self) -> None:
        self._host.request("play", *(["waited-for"] if self._blocks == WAITED_BLOCKS else []))

    def send_midi(self, text: str) -> None:
        """Let the plugin hear a message, if it plays live; at once for who calls, whatever the plugin is busy with."""
        if self._thread is None:
            return
        if self._sender is None:
            self._sender = threading.Thread(target=self._send, name=f"twinrack-midi-{self._listed.name}", daemon=True)
            self._sender.start()
        if self._messages.qsize() < MOST_WAITING:
            self._messages.put(text)

    def _send(self) -> None:
        while not self._stopped:
            try:
                self._host.request("send", self._messages.get(timeout=SENDS_FOR_S))
            except queue.Empty:
                if self.worker.detached:
                    return
            except (PluginError, PluginDiedError):  # it is started again by who watches it
                continue

    def stop(self) -> None:
        """End the process."""
        self.worker.detach()
        self._close()

    def _close(self) -> None:
        with self._lock:
            self._stopped = True
            self._host.close()
            memory, self._memory = self._memory, -1
        if memory >= 0:
            os.close(memory)

    def __del__(self) -> None:
        if getattr(self, "_host", None) is not None:
            self._close()

    def _watch(self) -> None:
        worked, played, since = 0, 0, time.monotonic()
        while not self.worker.detached:
            time.sleep(WATCH_S)
            now = time.monotonic()
            if self.worker.worked != worked or self.worker.blocks == played:
                worked, played, since = self.worker.worked, self.worker.blocks, now
            is_stuck = now - since > self._stuck_s
            if is_stuck or self._host.has_ended:
                with self._lock:
                    if self._stopped or not self._start_again(is_stuck):
                        return
                since = time.monotonic()
            elif self.worker.reported_latency not in (-1, self.own_latency):
                try:
                    self._moved(self.worker.reported_latency)
                except Exception:
                    log.exception("the new latency of %s could not be taken over", self._listed.name)
        self._close()

    def _start_again(self, is_stuck: bool) -> bool:
        """Start the process again; False where it ended too often."""
        self._deaths.append(time.monotonic())
        if is_stuck:
            self._host.close(at_once=True)
            how = f"{self._listed.name} played nothing for {self._stuck_s:.2g} s, and was ended"
        else:
            how = self._host.describe_end()
        self.worker.reclaim()
        if len(self._deaths) == MOST_DEATHS and self._deaths[-1] - self._deaths[0] < IN_S:
            self.complaint = f"{how}; that was the third time in a minute, so it stays bypassed"
            log.error("%s", self.complaint)
            return False
        self.complaint = how
        log.warning("%s; it is started again", how)
        try:
            self._host = self._begin()
            self._play()
        except Exception as error:
            self.complaint = f"{error}; it could not be started again, so it stays bypassed"
            log.error("%s", self.complaint)
            return False
        self.restarts += 1
        return True


def latency_of(
    listed: Listed, description: Description, sample_rate: float, block: int, numbers: Mapping[int, float], state: str
) -> int:
    """The latency that a plugin reports with these values by port, in this state and in blocks of so many frames; in frames."""
    if not description.reports_latency:
        return 0
    return _reported(listed, description.scales(), sample_rate, block, state, tuple(numbers.items()))


@lru_cache(maxsize=512)
def _reported(
    listed: Listed, scales: Scales, sample_rate: float, block: int, state: str, numbers: tuple[tuple[int, float], ...]
) -> int:
    with HostProcess(listed.name) as host:
        load(host, listed, scales, sample_rate, block, state, numbers)
        return int(host.request("latency-played"))
