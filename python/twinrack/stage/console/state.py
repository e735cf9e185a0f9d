"""Messages to the page: the racks with their cards, the present levels, and the curves of an effect."""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...measure.curves import curves
from ...rack.card import CARDS, Card, Parameter
from ...rack.effect import Effect
from ...rack.presets import READY_MADE, effect_presets, ready_made_presets
from ...rack.tree import Chain, MidSide, Parallel, Split
from ..desk import Desk
from ..midi import Midi
from ..midi_control import MODES
from ..places import LEVEL, MUTE

BANDS, LOWEST_HZ, HIGHEST_HZ = 120, 20.0, 20000.0
WINDOW = 4096
FLOOR_DB = -120.0
CURVE_POINTS = 150
DAILY = 6  # numbers of an effect that are shown at once, besides its mix; the rest is folded
SHORT_TERM_S = 3.0  # EBU Tech 3341


def parameter(p: Parameter) -> dict[str, Any]:
    """A control's description, from its card."""
    return {
        "id": p.id,
        "kind": p.kind,
        "unit": p.unit,
        "min": p.min,
        "max": p.max,
        "scale": p.scale,
        "default": p.default,
        "expected": list(p.expected),
        "options": list(p.options),
        "doc": p.doc,
        "perceptual": p.perceptual,
    }


def card(c: Card) -> dict[str, Any]:
    return {
        "id": c.id,
        "name": c.name,
        "category": c.category,
        "daily": [*[p.id for p in c.parameters if p.kind == "continuous"][:DAILY], "mix"],
        "presets": {n: p.text for n, p in effect_presets(c.id).items()} if c.id in CARDS else {},
        "purpose": c.purpose,
        "rationale": c.rationale,
        "parameters": [parameter(p) for p in c.parameters],
        "groups": [{"id": g.id, "count": g.count, "parameters": [parameter(p) for p in g.parameters]} for g in c.groups],
    }


def _tree(item: Effect | Chain | Parallel, addresses: dict[int, str]) -> dict[str, Any]:
    if isinstance(item, Effect):
        return {"effect": addresses[id(item)], "card": item.card.id}
    if isinstance(item, Split):
        words = "The mid, and the side, added:" if isinstance(item, MidSide) else "Each in a band, the lowest first, added:"
        branches = [_tree(branch, addresses) for branch in item.branches]
        return {"chain": [_tree(item.splitter, addresses), {"parallel": branches, "words": words}]}
    kind = "chain" if isinstance(item, Chain) else "parallel"
    return {kind: [_tree(child, addresses) for child in item.children()]}


def whole(desk: Desk) -> dict[str, Any]:
    """Everything but levels and curves."""
    stream = desk.stream
    lines = []
    for name, line in stream.lines.items():
        addresses = {id(e): desk.address(name, a) for a, e in line.rack.addresses().items()}
        lines.append(
            {
                "name": name,
                "rack": line.rack.name,
                "level": desk.address(name, LEVEL.id),
                "mute": desk.address(name, MUTE.id),
                "tree": [_tree(item, addresses) for item in line.rack.effects],
            }
        )
    return {
        "type": "state",
        "lines": lines,
        "values": {a: desk.get(a) for a in desk.addresses()},
        "line_parameters": [parameter(LEVEL), parameter(MUTE)],
        "cards": {c.id: {**card(c), "can_be_added": c.id in CARDS} for c in _cards(desk)},
        "ready": {f"{k}/{name}": f"{label}, {name}" for k, label in READY_MADE.items() for name in ready_made_presets(k)},
        "effects": effect_addresses(desk),
        "outputs": stream.mixer.outputs,
        "snapshots": list(desk.snapshots),
        "presets": desk.presets(),
        "side": desk.side,
        "listen": stream.listen,
        "listens": list(stream.mixer.listens),
        "sample_rate": stream.sample_rate,
        "block_size": stream.block_size,
        "input": stream.input.name,
        "output": f"{stream.output.name} ({stream.output.host_api})",
        "latencies_ms": stream.latencies_ms(),
        "safety": vars(stream.safety),
        "recording": stream.recording is not None,
        "events": [[round(e.at_s, 1), e.kind, e.words] for e in stream.events[-20:]],
    }


def _cards(desk: Desk) -> list[Card]:
    """The cards of all effects that can be added, and of those that play, such as other makers' plugins."""
    playing = [e.card for line in desk.stream.lines.values() for e in line.rack.addresses().values()]
    return list({c.id: c for c in (*CARDS.values(), *playing)}.values())


def midi(controls: Midi | None) -> list[dict[str, Any]]:
    """The MIDI controls that were learned, and the modes in which each may be read."""
    if controls is None:
        return []
    return [
        {
            "words": str(c),
            "kind": c.kind,
            "channel": c.channel,
            "number": c.number,
            "address": c.address,
            "mode": c.mode,
            "modes": list(MODES[c.kind]),
        }
        for _, c in sorted(tuple(controls.controls.items()))
    ]


def effect_addresses(desk: Desk) -> list[str]:
    """The effects in the order of their levels in a frame."""
    return [desk.address(name, a) for name, line in desk.stream.lines.items() for a in line.rack.addresses()]


class Spectrum:
    """Levels in 120 bands on a logarithmic scale, in dB of a sine's peak; of (signals, frames), (signals, bands)."""

    def __init__(self, sample_rate: float) -> None:
        self._window = np.hanning(WINDOW).astype(np.float32)
        top = min(HIGHEST_HZ, 0.49 * sample_rate)
        edges = np.geomspace(LOWEST_HZ, top, BANDS + 1)
        bins = np.clip(np.round(edges * WINDOW / sample_rate).astype(int), 1, WINDOW // 2)
        self._starts = np.minimum(bins[:-1], WINDOW // 2 - 1)
        self._scale = 4.0 / WINDOW

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        spectrum = np.fft.rfft(x * self._window)
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.maximum.reduceat(power, self._starts, axis=1) * self._scale**2
        levels: npt.NDArray[np.float32] = 10.0 * np.log10(np.maximum(bands, 1e-12)).astype(np.float32)
        return levels


class Frames:
    """The levels of a moment as one message of 32-bit floats, in the order that `layout` tells."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._spectrum = Spectrum(desk.stream.sample_rate)
        self._rate = desk.stream.sample_rate
        self._sums = (0, 0.0)
        self._turn, self._spectra = False, b""
        self._energies: deque[tuple[int, float]] = deque()
        self._since: tuple[list[int], float, int] | None = None

    def reset(self) -> None:
        """Count overruns and the longest callback anew."""
        load = self.desk.stream.load
        self._since = (list(load["counts"]), float(load["worst"]), self.desk.stream.xruns)

    def _worst_and_xruns(self) -> tuple[float, int]:
        """The longest callback in parts of a block's time, and overruns, since the last reset."""
        load, xruns = self.desk.stream.load, self.desk.stream.xruns
        if self._since is None:
            return float(load["worst"]), xruns
        counts, worst, before = self._since
        more = [n - m for n, m in zip(load["counts"], counts, strict=False)]
        if min(more, default=0) < 0 or xruns < before:  # another device, which counts from 0
            self._since = None
            return float(load["worst"]), xruns
        if load["worst"] > worst:
            return float(load["worst"]), xruns - before
        top = max((i + 1 for i, n in enumerate(more) if n), default=0)  # twentieths
        return min(top / 20.0, worst), xruns - before

    def _short_term(self, energy: float, frames: int) -> float:
        """Loudness of the last 3 s in LUFS; -120 where there was nothing."""
        if self._energies and not 0 <= frames - self._energies[-1][0] <= SHORT_TERM_S * self._rate:
            self._energies.clear()  # another device, or nobody looked
        self._energies.append((frames, energy))
        oldest = frames - round(SHORT_TERM_S * self._rate)
        while len(self._energies) > 2 and self._energies[1][0] <= oldest:
            self._energies.popleft()
        first, before = self._energies[0]
        power = (energy - before) / (frames - first) if frames > first else 0.0
        return max(-0.691 + 10.0 * math.log10(power), FLOOR_DB) if power > 0.0 else FLOOR_DB

    def __call__(self) -> bytes:
        stream = self.desk.stream
        if stream.sample_rate != self._rate:
            self._rate, self._spectrum = stream.sample_rate, Spectrum(stream.sample_rate)
        meters, output = stream.levels("console")
        load = stream.load
        calls, total = load["callbacks"], load["sum"]
        before, total_before = self._sums
        load_now = (total - total_before) / (calls - before) if calls > before else 0.0
        self._sums = (calls, total)
        worst, xruns = self._worst_and_xruns()
        head = [
            float(stream.active),
            load_now,
            worst,
            xruns,
            stream.late_callbacks,
            output.limiter_gain,
            output.duck_gain,
            float(len(meters)),
            float(len(output.peaks)),
            float(len(stream.lines)),
            self._short_term(output.weighted_energy, output.weighted_frames),
        ]
        rows: list[float] = []
        for m in meters.values():
            rows += [
                max(m.peak_in_db, FLOOR_DB),
                max(m.peak_out_db, FLOOR_DB),
                max(m.rms_in_db, FLOOR_DB),
                max(m.rms_out_db, FLOOR_DB),
                m.gain_reduction_db,
            ]
        numbers = [*head, *rows, *output.peaks]
        self._turn = not self._turn
        if self._turn or not self._spectra:  # a spectrum of 85 ms hardly changes within one frame
            scopes = [stream.mixer.engine.scope(n, after, WINDOW) for n in range(len(stream.lines)) for after in (False, True)]
            self._spectra = self._spectrum(np.stack(scopes)).tobytes()
        return struct.pack(f"<{len(numbers)}f", *numbers) + self._spectra


def curve(effect: Effect, sample_rate: float) -> dict[str, Any]:
    """The effect's first curve, measured on the engine.

    Raises:
        ValueError: it has none.
    """
    measured = next(iter(curves(effect, sample_rate)), None)
    if measured is None:
        raise ValueError(f"{effect.card.name} has no curve")
    step = max(1, len(measured.x) // CURVE_POINTS)
    return {
        "title": measured.title,
        "x_label": measured.x_label,
        "y_label": measured.y_label,
        "log_x": measured.log_x,
        "x": _rounded(measured.x[::step]),
        "y": _rounded(measured.y[::step]),
    }


def _rounded(x: Sequence[float] | npt.NDArray[np.float64]) -> list[float]:
    return [round(float(v), 3) for v in np.nan_to_num(np.asarray(x), posinf=200.0, neginf=-200.0)]
