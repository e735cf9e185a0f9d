"""Another maker's plugin as an effect of a rack."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from ..checks import brief, check_integer, to_float
from ..rack.card import Card, Parameter, Value
from ..rack.effect import GroupItem
from ..rack.external_effect import WAITED_FRAMES, ExternalEffect
from ..system.disk import atomic
from .catalogue import Listed, by_address, find, remember
from .catalogue import describe as describe_plugin
from .check import PluginCheck, check_plugin
from .child import HostProcess, PluginError
from .description import Description, format_of
from .editor import EditorWindow
from .midi import Message, Score, message_text, score_of
from .plugin import HostedPlugin
from .plugin_card import PluginParameter, card_of
from .plugin_work import BLOCKS, MOST_WAITED, WAITED_BLOCKS, PluginWork, latency_of
from .preset_files import ENDINGS, preset_bytes, state_of_preset

log = logging.getLogger("twinrack.live")
BLOCK_FRAMES, LEAST_FRAMES = 256, 64  # in a live stream, without a device and with one
WAITED_FOR_FRAMES, LEAST_WAITED_FOR_FRAMES = 64, 32  # the same, where the audio thread waits for it
BPM = 120.0
LEAST_BPM, MOST_BPM = 1.0, 2000.0
LATENCY_EVERY_S = 1.0
RATE = 48000.0  # of the instance that takes a preset


class Plugin(ExternalEffect):
    """Another maker's plugin (LV2, CLAP or VST3) as an effect: its controls are attributes, in the units that it declares.

    Args:
        plugin: its address, a part of its name that only one has, or the path of its file.
        preset: name of one of its presets, or path of a `.vstpreset` or `.clap-preset` file; values that are given replace its.
        block_frames: 32 to 4096, a multiple of 32; in a live stream it is given so many frames at once and heard twice as many
            plus 32 later. None: as many as the audio device, at least 64; 256 without one. Fewer than that come too late.
        synchronous: in a live stream the audio thread waits for each block, for 0.4 of the time that a callback has at most,
            which all such plugins of a rack share; it is heard `block_frames` plus 32 frames later. Its process is then nearly
            always awake: each such plugin needs a core that is otherwise free. Without block_frames: as many as the device, at
            least 32; 64 without one.
        bpm: 1 to 2000 beats a minute, from the first frame of a render or stream on, for plugins that follow the tempo. In a
            session its tempo map holds instead.
        midi: messages that it hears, by their seconds from the first frame (or the session's beginning): pairs such as
            `(0.5, (0x90, 60, 100))`, or the path of a MIDI file. For plugins with an input for MIDI.
        name, bypass, key: as for every effect; `key` where it has inputs for a sidechain.
        values: its controls by name; one that is called like an argument or attribute of every effect ends in "_": `bypass_`.

    Mono plugins play each channel by themselves. A plugin with one input hears the mean of several channels; a mono rack hears
    the mean of several outputs. Each stream has a process of its own for it. A block that comes too late in a live stream, or
    not because the process ended, is heard dry, with a fade, and counted in `late`; the process is started again, three times
    a minute at most. Offline, the rendering waits, and stops with a sentence where the process ends.

    Raises:
        PluginError: it is not on this machine, cannot be loaded, or several fit.
        TypeError, ValueError: it has no such control, or a value is out of its range.
    """

    card: ClassVar[Card]
    _parameters: ClassVar[dict[str, Parameter]] = {}
    _group_classes: ClassVar[dict[str, type[GroupItem]]] = {}
    _listed: ClassVar[Listed]
    _description: ClassVar[Description]
    outside = "another maker's plugin"

    def __new__(cls, plugin: str | Path | Listed | None = None, /, **_: Any) -> Self:
        if cls is not Plugin:
            return object.__new__(cls)
        if not isinstance(plugin, str | Path | Listed):
            raise TypeError('give the address of a plugin, or a part of its name: tr.Plugin("Calf Compressor")')
        return cast(Self, object.__new__(_class_of(plugin if isinstance(plugin, Listed) else find(str(plugin)))))

    def __init__(
        self,
        plugin: str | Path | Listed | None = None,
        /,
        *,
        preset: str | None = None,
        block_frames: int | None = None,
        synchronous: bool = False,
        bpm: float = BPM,
        midi: str | Path | Iterable[tuple[float, Message]] = (),
        name: str | None = None,
        bypass: bool = False,
        key: str | None = None,
        **values: Any,
    ) -> None:
        if block_frames is not None and check_integer(block_frames, "block_frames", 32, WAITED_FRAMES) % 32:
            raise ValueError(f"block_frames = {block_frames} is not a multiple of 32")
        super().__init__(name=name, bypass=bypass, key=key, **values)
        if not isinstance(synchronous, bool):
            raise TypeError(f"synchronous = {brief(synchronous)} is not True or False")
        self._block_frames, self._bpm, self._state = block_frames, _checked_bpm(bpm), ""
        self._synchronous = synchronous
        self._midi: Score = self._checked_midi(midi)
        self._works: list[weakref.ref[PluginWork]] = []
        self._live_latency: int | None = None  # that a live stream saw
        self._latency_taken_at = 0.0
        if preset is not None:
            self.load_preset(preset)
            for id, value in values.items():
                self.set(id, value)

    @property
    def uri(self) -> str:
        """The plugin's address."""
        return self._description.uri

    @property
    def uri_format(self) -> str:
        """The plugin's format: "lv2", "clap" or "vst3"."""
        return self._listed.format

    @property
    def presets(self) -> list[str]:
        """Names of the presets that are on this machine."""
        return list(self._description.presets)

    @property
    def bpm(self) -> float:
        """Beats a minute outside of sessions. Setting it lets a running stream crossfade to the plugin at that tempo."""
        return self._bpm

    @bpm.setter
    def bpm(self, bpm: float) -> None:
        self._bpm = _checked_bpm(bpm)
        self.rebuild()

    @property
    def hears_midi(self) -> bool:
        """Whether it has an input for MIDI."""
        return self._description.hears_midi

    @property
    def midi(self) -> Score:
        """The messages that it hears, by seconds: pairs of a time and three bytes in hexadecimal.

        Setting them takes what `midi=` takes, and lets a running stream crossfade to the plugin from their beginning on.

        Raises:
            ValueError: it has no input for MIDI, or a time or message is none.
        """
        return self._midi

    @midi.setter
    def midi(self, midi: str | Path | Iterable[tuple[float, Message]]) -> None:
        self._midi = self._checked_midi(midi)
        self.rebuild()

    def _checked_midi(self, midi: str | Path | Iterable[tuple[float, Message]]) -> Score:
        score = score_of(midi)
        if score and not self.hears_midi:
            raise ValueError(f"{self.card.name} has no input for MIDI; leave midi= out")
        return score

    def send_midi(self, message: Message) -> None:
        """Let it hear a message now, at the beginning of its next block, in every stream that plays it.

        Args:
            message: bytes of a channel message, such as (0x90, 60, 100) for a key that is hit, or one of mido.

        Raises:
            ValueError: it is not a message of a channel.
        """
        text = message_text(message)
        if self.hears_midi and not self.bypass:
            for work in self._of_streams():
                work.send_midi(text)

    @property
    def state(self) -> str:
        """All that the plugin keeps beside its values, as text, from a preset or an earlier session; often empty.

        Setting it lets a running stream crossfade to the plugin in that state.
        """
        return self._state

    @state.setter
    def state(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("a state is the text that `state` gave")
        before, self._state = self._state, text
        if text:
            try:
                with HostedPlugin(self._listed, RATE) as plugin:
                    plugin.restore(text)
            except BaseException:
                self._state = before
                raise
        self.rebuild()

    def load_preset(self, name: str) -> None:
        """Take one of its presets: values and state.

        Args:
            name: of the preset; or the path of a `.vstpreset` or `.clap-preset` file.

        Raises:
            PluginError: it has none of this name, or the file is of another plugin.
            FileNotFoundError: there is no such file.
        """
        if Path(name).suffix in ENDINGS.values() and name not in self._description.presets:
            path = self.preset_path(name)
            if not path.is_file():
                raise FileNotFoundError(f"there is no preset file {path}")
            try:
                self.restore(state_of_preset(self.uri, path.read_bytes()))
            except PluginError as error:
                raise PluginError(f"{path.name} cannot be taken: {error}") from None
            return
        with HostedPlugin(self._listed, RATE) as plugin:
            plugin.preset(name)
            self._take(plugin)

    def restore(self, state: str) -> None:
        """Take a whole state: that text, and the values that are in it.

        Raises:
            PluginError: it is none of this plugin.
        """
        with HostedPlugin(self._listed, RATE) as plugin:
            plugin.restore(state)
            self._take(plugin)

    def _take(self, plugin: HostedPlugin) -> None:
        """Take over all that a loaded instance has."""
        values, self._state = plugin.values(), plugin.save()
        for id, p in self._parameters.items():
            assert isinstance(p, PluginParameter)
            self.set(id, p.from_plugin(values[p.symbol]))
        self.rebuild()

    def preset_path(self, path: str | Path) -> Path:
        """The path of a preset of this plugin.

        Raises:
            PluginError: its name has the ending of another format.
        """
        path, ending = Path(path).expanduser(), ENDINGS[self.uri_format]
        if path.suffix != ending:
            raise PluginError(f"{path.name}: presets of {self.card.name} ({self.uri_format.upper()}) are {ending} files")
        return path

    def save_preset(self, path: str | Path) -> None:
        """Write values and state as other hosts read them: `.vstpreset`, `.clap-preset`, or Turtle (`.ttl`) of LV2.

        Raises:
            PluginError: the name has another ending.
            OSError: the folder is missing, read-only or full.
        """
        path = self.preset_path(path)
        data = preset_bytes(self.uri, self.whole_state(), path.stem)
        with atomic(path) as beside:
            beside.write_bytes(data)

    def whole_state(self) -> str:
        """The state with the present values in it, as text."""
        with HostedPlugin(self._listed, RATE) as plugin:
            self._give(plugin)
            return plugin.save()

    def _give(self, plugin: HostedPlugin) -> None:
        """Bring a loaded instance into the present state."""
        if self._state:
            plugin.restore(self._state)
        for id, p in self._parameters.items():
            assert isinstance(p, PluginParameter)
            plugin.put(p.symbol, p.to_engine(self.get(id)))

    def open_editor(self) -> EditorWindow:
        """Open the window that the plugin brings: of its process in the newest stream, or of one without sound.

        It stays open until somebody closes it, or it is closed here; it may be used in a `with` block. Values that are moved in
        it move the effect's; what else the plugin keeps is taken over into `state` when it is closed. It needs an X11 display.

        Raises:
            PluginError: it has none, or there is no display; one sentence.
        """
        if works := self._of_streams():
            return self._window(works[-1].host, lambda: None)
        plugin = HostedPlugin(self._listed, RATE)
        try:
            self._give(plugin)
            return self._window(plugin.host, plugin.close)
        except BaseException:
            plugin.close()
            raise

    def _window(self, host: HostProcess, finish: Callable[[], None]) -> EditorWindow:
        before = _saved(host)

        def done(host: HostProcess) -> None:
            state = _saved(host)
            if state and state != before:
                self._state = state

        return EditorWindow(self, host, done, finish)

    def check(self) -> PluginCheck:
        """Put it to the test, in processes of its own: see `twinrack plugins check`. Takes seconds."""
        return check_plugin(self._listed)

    @property
    def late(self) -> int:
        """Blocks of the present streams that were heard dry because the plugin was not in time."""
        return sum(w.worker.missed for w in self._of_streams())

    @property
    def restarts(self) -> int:
        """How often its process was started again in the present streams."""
        return sum(w.restarts for w in self._of_streams())

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that play it in the present streams."""
        return [w.pid for w in self._of_streams()]

    @property
    def complaint(self) -> str:
        """The last thing that went wrong in the present streams; empty where nothing did."""
        return next((w.complaint for w in reversed(self._of_streams()) if w.complaint), "")

    @property
    def latency_frames(self) -> int:
        """The latency in a live stream at 48 kHz, in frames: that of the way to its process and back, and its own."""
        return self.latency_at(RATE, offline=False)

    def _live_block(self) -> int:
        """Frames that it is given at once in a live stream."""
        if self._block_frames is not None:
            return self._block_frames
        usual, least = (WAITED_FOR_FRAMES, LEAST_WAITED_FOR_FRAMES) if self._synchronous else (BLOCK_FRAMES, LEAST_FRAMES)
        return min(max(-(-self.device_frames // 32) * 32, least), WAITED_FRAMES) if self.device_frames else usual

    def _of_streams(self) -> list[PluginWork]:
        works = [w for reference in self._works if (w := reference()) is not None and not w.worker.detached]
        self._works = [weakref.ref(w) for w in works]
        return works

    def _numbers(self) -> dict[int, float]:
        """Values as the plugin knows them, by port."""
        ports: dict[int, float] = {}
        for id, p in self._parameters.items():
            assert isinstance(p, PluginParameter)
            ports[p.port] = p.to_engine(self.get(id))
        return ports

    def latency_at(self, sample_rate: float, offline: bool) -> int:
        block = WAITED_FRAMES if offline else self._live_block()
        blocks = WAITED_BLOCKS if self._synchronous and not offline else BLOCKS
        return block * blocks + 32 + self._own_latency(sample_rate, block, offline)

    def _own_latency(self, sample_rate: float, block: int, offline: bool) -> int:
        """The latency that it reports; in a live stream the last one there, which may have moved with its values."""
        if not offline and self._live_latency is not None:
            return self._live_latency
        return latency_of(self._listed, self._description, sample_rate, block, self._numbers(), self._state)

    def _take_latency(self, frames: int) -> None:
        """Let the live stream compensate another latency, once a second at most."""
        now = time.monotonic()
        if now - self._latency_taken_at > LATENCY_EVERY_S:
            self._live_latency, self._latency_taken_at = frames, now
            self.rebuild()

    def identity(self) -> str:
        bundle = Path(self._listed.bundle)
        files = [bundle] if bundle.is_file() else bundle.rglob("*")
        newest = max((p.stat().st_mtime_ns for p in files if p.is_file()), default=0)
        return f"{self.uri} {newest} {self._bpm} {self._midi} {self._state}"

    def build(self) -> object:
        return self._bpm, self._midi, self._state

    def work(self, channels: int, sample_rate: float, offline: bool) -> PluginWork:
        block = WAITED_FRAMES if offline else self._live_block()
        work = PluginWork(
            self._listed,
            self._description,
            {p.port: p for p in self._parameters.values() if isinstance(p, PluginParameter)},
            self._numbers,
            lambda: self._state,
            channels,
            sample_rate,
            block,
            self._own_latency(sample_rate, block, offline),
            self._take_latency,
            self.timeline or ((0.0, 0.0), (60.0 * sample_rate / self._bpm, 1.0)),
            (self._midi, self.frames_before),
            self._wait_s(block, sample_rate) if self._synchronous and not offline else 0.0,
        )
        self._works = [*(weakref.ref(w) for w in self._of_streams()), weakref.ref(work)]
        return work

    @property
    def is_waited_for(self) -> bool:
        return self._synchronous

    def _wait_s(self, block: int, sample_rate: float) -> float:
        """For which the audio thread waits for a block at most: all plugins that it waits for share a part of a callback."""
        return MOST_WAITED * min(block, self.device_frames or block) / sample_rate / self.waiting_beside

    def copy(self) -> Self:
        copied = super().copy()
        copied._block_frames, copied._bpm, copied._state = self._block_frames, self._bpm, self._state
        copied._midi, copied._synchronous = self._midi, self._synchronous
        return copied

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        if same is not True or not isinstance(other, Plugin):
            return same
        mine, others = ((e._state, e._block_frames, e._synchronous, e._bpm, e._midi) for e in (self, other))
        return mine == others

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        arguments: dict[str, Any] = {"name": self.name, "bypass": self.bypass, "key": self.key}
        arguments |= {"block_frames": self._block_frames, "synchronous": self._synchronous}
        arguments |= {"bpm": self._bpm, "midi": self._midi}
        return _from_pickle, (self._listed, self._description.name, arguments, self.values(), self._state)

    def __repr__(self) -> str:
        parts = [repr(self.uri), *self._differences()]
        if self._state:
            parts.append("state=…")
        if self._midi:
            parts.append("midi=…")
        for argument, value, usual in (
            ("block_frames", self._block_frames, None),
            ("synchronous", self._synchronous, False),
            ("bpm", self._bpm, BPM),
            ("name", self.name, None),
            ("key", self.key, None),
            ("bypass", self.bypass, False),
        ):
            if value != usual:
                parts.append(f"{argument}={value!r}")
        return f"Plugin({', '.join(parts)})"


def _saved(host: HostProcess) -> str:
    """The state of a plugin that is loaded; empty where it gives none."""
    with suppress(PluginError):
        return host.request("save").decode(errors="replace")
    return ""


def _checked_bpm(bpm: object) -> float:
    number = to_float(bpm)
    if number is None or isinstance(bpm, bool) or not LEAST_BPM <= number <= MOST_BPM:
        raise ValueError(f"bpm = {brief(bpm)} is not a tempo; give {LEAST_BPM:g} to {MOST_BPM:g} beats a minute")
    return number


@cache
def _class_of(listed: Listed) -> type[Plugin]:
    """The class of one plugin's effects.

    Raises:
        PluginError: it cannot be used.
    """
    if listed.problem:
        raise PluginError(f"{listed.name} cannot be used: {listed.problem}")
    description = describe_plugin(listed)
    card = card_of(description)
    members: dict[str, Any] = {p.id: _property(p) for p in card.parameters}
    lines = [f"{card.purpose}", "", "Args:", *(f"    {p.id}: {p.doc} Range: {p.range_text()}." for p in card.parameters)]
    members |= {
        "card": card,
        "_parameters": {p.id: p for p in card.parameters},
        "_listed": listed,
        "_description": description,
        "__doc__": "\n".join(lines),
        "__module__": __name__,
    }
    return type("Plugin", (Plugin,), members)


def _property(p: Parameter) -> property:
    return property(lambda self: self.get(p.id), doc=f"{p.doc} Range: {p.range_text()}.")


def from_patch(uri: str, label: str, arguments: Mapping[str, Any], values: Mapping[str, Value], state: str) -> Plugin:
    """A plugin as a patch has it.

    Args:
        uri, label: its address, and what it is called.
        arguments: name, bypass, key, block_frames, synchronous, bpm and midi.
        values: of its controls.
        state: text, or empty.

    Raises:
        PluginError: it is not on this machine, or the state is none of it.
        ValueError: it has no such control, or a value is out of its range.
    """
    listed = by_address(uri)
    if listed is None:
        where = f"install it, or name its folder in {format_of(uri).upper()}_PATH"
        raise PluginError(f"the plugin {brief(label)} ({brief(uri)}) is not on this machine; {where}")
    effect = Plugin(listed, **arguments)
    for id, value in values.items():
        effect.set(id, value)
    if state:
        effect.state = state
    return effect


def _from_pickle(listed: Listed, *rest: Any) -> Plugin:
    """The same in another process, which may not have heard of the path of its file."""
    remember(listed)
    return from_patch(listed.uri, *rest)


def to_patch(effect: Plugin) -> dict[str, Any]:
    """The entry of a patch, without name, bypass and key."""
    entry: dict[str, Any] = {"plugin": effect.uri, "format": effect.uri_format, "label": effect.card.name}
    entry |= {"block_frames": effect._block_frames} if effect._block_frames is not None else {}
    entry |= {"synchronous": True} if effect._synchronous else {}
    entry |= {"values": effect.values()}
    entry |= {"bpm": effect.bpm} if effect.bpm != BPM else {}
    entry |= {"midi": [list(pair) for pair in effect.midi]} if effect.midi else {}
    return entry | ({"state": effect.state} if effect.state else {})
