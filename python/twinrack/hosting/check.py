"""A plugin put to the test: does it load, sound, keep its state, tell its latency truly, and stay fit for live sound?

Every test is done in a process of its own, so that a crash is a finding and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .. import _engine
from ..audio import Audio
from ..measure.difference import difference_db, level_db
from .catalogue import Listed, find
from .child import PluginDiedError, PluginError
from .description import Description, Port
from .plugin import HostedPlugin

RATE, OTHER_RATES = 48000.0, (44100.0, 96000.0)
SECONDS, BLOCK = 1.0, 512
ODD_BLOCKS = (1, 17, 64, 500, 512)
CHANGED_DB, SAME_DB, SILENT_DB = -80.0, -100.0, -140.0
MOST_CONTROLS = 64  # that are moved one by one


@dataclass(frozen=True)
class Finding:
    """One test: what was asked, whether it held (None where it could not be asked), and a sentence."""

    name: str
    holds: bool | None
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.holds else '-   ' if self.holds is None else 'FAIL'} {self.name}: {self.text}"


@dataclass(frozen=True)
class PluginCheck:
    """The report on one plugin.

    Attributes:
        plugin: which one.
        findings: in the order of the tests.
        silent_controls: symbols of controls that were moved without a change of the sound.
    """

    plugin: Listed
    findings: tuple[Finding, ...]
    silent_controls: tuple[str, ...] = field(default=())

    @property
    def is_usable(self) -> bool:
        """Whether it loads, gives finite sound, and its state comes back."""
        needed = {"loads", "sounds", "state"}
        return needed <= {f.name for f in self.findings if f.holds is not False} and self.findings[0].holds is True

    def __str__(self) -> str:
        about = [self.plugin.category] if self.plugin.category else []
        about += [f"by {self.plugin.author}"] if self.plugin.author else []
        head = ", ".join([f"{self.plugin.name} ({self.plugin.uri})", *about])
        return "\n".join([head, *(f"  {f}" for f in self.findings)])


def check_plugin(plugin: str | Listed) -> PluginCheck:
    """Test a plugin with its initial values.

    Args:
        plugin: its address or a part of its name, or an entry of the list.
    """
    listed = find(plugin) if isinstance(plugin, str) else plugin
    if listed.problem:
        return PluginCheck(listed, (Finding("loads", False, listed.problem),))
    test = _Test(listed)
    findings = []
    for name, ask in test.questions():
        try:
            findings.append(Finding(name, *ask()))
        except (ValueError, PluginDiedError) as error:
            findings.append(Finding(name, False, str(error)))
            if name == "loads":
                break
    return PluginCheck(listed, tuple(findings), tuple(test.silent))


class _Test:
    """The questions to one plugin, and what earlier ones found."""

    def __init__(self, listed: Listed) -> None:
        self.listed = listed
        self.silent: list[str] = []
        self.description: Description | None = None
        self._x = _sound(min(max(listed.inputs, 1), _engine.MAX_CHANNELS), SECONDS, RATE)
        self._y: Audio | None = None

    def questions(self) -> Iterator[tuple[str, Callable[[], tuple[bool | None, str]]]]:
        yield "loads", self._loads
        yield "sounds", self._sounds
        yield "controls", self._controls
        yield "state", self._state
        yield "latency", self._latency
        yield "repeats", self._repeats
        yield "blocks", self._blocks
        yield "live", self._live
        yield "silence", self._silence
        yield "NaN", self._nan
        yield "rates", self._rates

    def _open(self, rate: float = RATE, block: int = BLOCK) -> HostedPlugin:
        return HostedPlugin(self.listed, rate, block_frames=block)

    def _play(self, x: Audio, rate: float = RATE, block: int = BLOCK) -> Audio:
        with self._open(rate, block) as plugin:
            return plugin.process(x)

    def _loads(self) -> tuple[bool, str]:
        with self._open() as plugin:
            self.description = plugin.description
            return True, f"{len(plugin.description.controls)} controls, {len(plugin.description.presets)} presets"

    def _output(self) -> Audio:
        """The sound that it gives; played once."""
        if self._y is None:
            self._y = self._play(self._x)
        return self._y

    def _sounds(self) -> tuple[bool, str]:
        if not np.isfinite(self._output()).all():
            return False, "it gives NaN or infinity"
        level = level_db(self._output())
        if level < SILENT_DB:
            return True, "silence with its initial values"
        return True, f"{level:.1f} dBFS for {level_db(self._x):.1f} dBFS"

    def _controls(self) -> tuple[bool | None, str]:
        """Each control is moved to another value; is that read back, and does it sound?"""
        assert self.description is not None
        controls = list(self.description.controls.values())[:MOST_CONTROLS]
        wrong = []
        with self._open() as plugin:
            for control in controls:
                plugin.reset()
                before = plugin.process(self._x[:, : int(0.25 * RATE)])
                old, moved = plugin.values()[control.symbol], _other_value(control)
                if moved is None:
                    continue
                plugin.put(control.symbol, moved)
                plugin.reset()
                after = plugin.process(self._x[:, : before.shape[1]])
                if not _same(control, plugin.values()[control.symbol], moved):
                    wrong.append(control.symbol)
                if difference_db(after, before) < CHANGED_DB:
                    self.silent.append(control.symbol)
                plugin.put(control.symbol, old)
        if wrong:
            return False, f"set, but not read back: {', '.join(wrong)}"
        if not controls:
            return None, "it has none"
        unheard = f"; no change of the sound by {', '.join(self.silent[:8])}" if self.silent else ""
        audible = len(controls) - len(self.silent)
        return True, f"{audible} of {len(controls)} change the sound, each moved from the initial values{unheard}"

    def _state(self) -> tuple[bool, str]:
        """Moved values must come back in a new instance."""
        assert self.description is not None
        with self._open() as plugin, self._open() as other:
            for control in list(self.description.controls.values())[:MOST_CONTROLS]:
                moved = _other_value(control)
                if moved is not None and not control.is_trigger:
                    plugin.put(control.symbol, moved)
            plugin.process(self._x[:, :BLOCK])
            state = plugin.save()
            other.restore(state)
            other.process(self._x[:, :BLOCK])
            mine, theirs = plugin.values(), other.values()
            lost = [n for n, control in self.description.controls.items() if not _same(control, mine[n], theirs[n])]
        return not lost, f"not restored: {', '.join(lost[:8])}" if lost else f"{len(state)} bytes, values come back"

    def _latency(self) -> tuple[bool | None, str]:
        x = np.zeros_like(self._x)
        x[:, 1000] = 0.5
        with self._open() as plugin:
            y = plugin.process(x)
            reported = plugin.latency_frames
        peak = np.abs(y).max(0)
        if peak.max() < 1e-4:
            return None, f"reported {reported} frames; an impulse does not come through, so it was not measured"
        measured = int(np.argmax(peak)) - 1000
        first = int(np.argmax(peak > 0.1 * peak.max())) - 1000
        if first - 32 <= reported <= measured + 32:
            return True, f"{reported} frames, as measured"
        return None if reported == 0 else False, f"reported {reported} frames, the impulse comes after {measured}"

    def _repeats(self) -> tuple[bool, str]:
        again = difference_db(self._play(self._x), self._output())
        return again < SAME_DB, "the same again" if again < SAME_DB else f"another sound every time ({again:.0f} dB)"

    def _blocks(self) -> tuple[bool, str]:
        """Blocks of odd lengths, one after the other, against equal ones."""
        parts, at, i = [], 0, 0
        with self._open() as plugin:
            while at < self._x.shape[1] // 2:
                size = ODD_BLOCKS[i % len(ODD_BLOCKS)]
                parts.append(plugin.process(self._x[:, at : at + size]))
                at, i = at + size, i + 1
        y = np.concatenate(parts, 1)
        if not np.isfinite(y).all():
            return False, "NaN or infinity in blocks of odd lengths"
        apart = difference_db(y, self._output()[:, : y.shape[1]])
        same = "does not depend on them" if apart < SAME_DB else f"depends on their lengths ({apart:.0f} dB)"
        return True, f"lengths from 1 to 512 play; the sound {same}"

    def _live(self) -> tuple[bool, str]:
        with self._open() as plugin:
            plugin.process(self._x)
            first = plugin.allocations
            plugin.process(self._x)
            later = plugin.allocations - first
        if not first and not later:
            return True, "no allocations while it plays"
        return False, f"{first} allocations in the first second of sound, {later} in the next"

    def _silence(self) -> tuple[bool, str]:
        with self._open() as plugin:
            plugin.process(self._x)
            tail = plugin.process(np.zeros_like(self._x))
        if not np.isfinite(tail).all():
            return False, "NaN or infinity after the sound has ended"
        return True, f"{level_db(tail[:, -BLOCK:]):.0f} dBFS are left after 1 s"

    def _nan(self) -> tuple[bool, str]:
        bad = self._x.copy()
        bad[:, 100] = np.nan
        with self._open() as plugin:
            plugin.process(bad)
            plugin.process(self._x)
            stuck = not np.isfinite(plugin.process(self._x)[:, -BLOCK:]).all()
        return not stuck, "NaN stays in it for ever" if stuck else "one NaN does not stay in it"

    def _rates(self) -> tuple[bool, str]:
        bad = []
        for rate in OTHER_RATES:
            try:
                if not np.isfinite(self._play(_sound(self._x.shape[0], 0.25, rate), rate)).all():
                    bad.append(f"{rate:g} Hz gives NaN")
            except PluginError as error:
                bad.append(f"{rate:g} Hz: {error}")
        return not bad, "; ".join(bad) or " and ".join(f"{rate:g}" for rate in OTHER_RATES) + " Hz play too"


def _sound(channels: int, seconds: float, rate: float) -> Audio:
    """Tones and noise with onsets, -20 dBFS."""
    random, frames = np.random.default_rng(1), round(seconds * rate)
    t = np.arange(frames) / rate
    envelope = np.exp(-6.0 * (t % 0.25))
    tones = sum(np.sin(2.0 * np.pi * f * t) / (k + 1) for k, f in enumerate((110.0, 440.0, 1760.0, 7040.0)))
    x = envelope * (tones + 0.3 * random.standard_normal((channels, frames)))
    x *= 0.1 / np.sqrt(np.mean(x**2))
    return np.ascontiguousarray(x, np.float32)


def _same(control: Port, a: float, b: float) -> bool:
    """Whether two values of a control are equal but for the rounding of 32 bits."""
    span = control.max - control.min
    return bool(np.isclose(a, b, rtol=1e-5, atol=1e-6 * max(span if np.isfinite(span) else 1.0, 1.0)))


def _other_value(control: Port) -> float | None:
    """A value of a control that is not the initial one; None where there is no other."""
    if control.is_trigger:
        return None
    if control.is_switch:
        return 0.0 if control.default > 0.5 else 1.0
    if control.options:
        return next((v for v in control.options.values() if v != control.default), None)
    low, high = control.min, control.max
    if not (np.isfinite(low) and np.isfinite(high)) or low >= high:
        return None
    default = control.default if np.isfinite(control.default) else low
    moved = low + 0.3 * (high - low) if default > low + 0.5 * (high - low) else low + 0.7 * (high - low)
    return float(round(moved)) if control.is_integer else float(moved)
