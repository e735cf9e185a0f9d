"""Polarity of a recording and of the rack that is to play it: where they differ, a Gain inverts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..audio import Audio
from ..rack.effects import Gain
from ..rack.rack import Rack
from . import recordings
from .data import Pair

Polarity = Literal["normal", "invert", "invert_left", "invert_right"]
OPTIONS: dict[tuple[int, int], Polarity] = {
    (1, 1): "normal",
    (-1, -1): "invert",
    (-1, 1): "invert_left",
    (1, -1): "invert_right",
}  # of left and right
SIGNS: dict[str, tuple[int, int]] = {option: signs for signs, option in OPTIONS.items()}
CHANNELS = {"invert": "", "invert_left": " in the left channel", "invert_right": " in the right channel"}


@dataclass(frozen=True)
class Polarized:
    """Inputs of a fit: the rack with its polarity set, the pairs, sentences to report, the address of a Gain that was added."""

    rack: Rack
    pairs: list[Pair]
    notes: list[str]
    added: str | None = None


def polarized(rack: Rack, pairs: Sequence[Pair], rate: float, opened: Collection[str] = (), fixed: bool = False) -> Polarized:
    """A rack that plays the polarity of the recordings: the last Gain of its chain is set, or one is added at the end.

    Args:
        opened: addresses of choices that are tried anyway.
        fixed: the rack may get no further effect, because a stream plays it: then the recordings are turned instead.
    """
    # a curve that folds turns the sound over by itself, as its drive says
    folds = any(e.card.id == "saturation" and e.get("curve") == "fold" for e in rack.addresses().values() if not e.bypass)
    if folds or any(a.endswith(".curve") or a.endswith(".polarity") for a in opened):
        return Polarized(rack, list(pairs), [])
    pairs, notes = _agreeing(pairs)
    sides = sides_of(pairs)
    gains = [e for e in rack.effects if isinstance(e, Gain) and not e.bypass]
    gain = gains[-1] if gains else None
    inverts = any(e.get("polarity") != "normal" for e in gains)
    inverted = sorted({c + 1 for p in pairs for c, sign in enumerate(p.polarity) if sign == -1})
    if sides is None and inverted:
        which = ", ".join(str(c) for c in inverted)
        notes = [*notes, f"wet has inverted polarity in channel {which}, which no Gain does; turn it in the recording"]
    if sides is None or (-1 not in sides and not inverts):
        return Polarized(rack, pairs, notes)
    own = sides_of([replace(p, polarity=polarities(p.dry, rack.copy()(p.dry, rate))) for p in pairs[:1]]) or (1, 1)
    turn = (sides[0] * own[0], sides[1] * own[1])
    if turn == (1, 1):
        return Polarized(rack, pairs, notes)
    what = OPTIONS[turn]
    if sides == (1, 1):
        note = f"the rack inverts the polarity{CHANNELS[what]}, but wet does not"
    else:
        note = f"wet has inverted polarity{CHANNELS[OPTIONS[sides]]}"
    if gain is not None:
        changed = rack.copy()
        address = next(a for a, e in rack.addresses().items() if e is gain)
        before = SIGNS[str(gain.get("polarity"))]
        now = OPTIONS[(before[0] * turn[0], before[1] * turn[1])]
        changed.set(f"{address}.polarity", now)
        return Polarized(changed, pairs, [*notes, f"{note}; {address}.polarity was set to {now}"])
    if fixed:
        signs = np.asarray([turn[c % 2] for c in range(pairs[0].wet.shape[0])], np.float32)[:, None]
        pairs = [replace(p, wet=p.wet * signs) for p in pairs]
        note += "; wet was turned for the fit, as the live stream's rack may get no further effect"
        return Polarized(rack, pairs, [*notes, f'{note}: put Gain(polarity="{what}") behind it'])
    changed = rack.copy()
    changed.append(Gain(polarity=what))
    address = next(a for a, e in changed.addresses().items() if e is changed.effects[-1])
    return Polarized(
        changed, pairs, [*notes, f"{note}; {address} with polarity {what} was added at the end of the rack"], address
    )


def polarities(dry: Audio, played: Audio) -> tuple[int, ...]:
    """1, -1 or 0 for each channel (see `recordings.polarity`)."""
    return tuple(recordings.polarity(recordings.transfer(d, y)) for d, y in zip(dry, played, strict=True))


def _agreeing(pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    """The pairs with one polarity, and a note: where only some are inverted, no rack fits them all, so these are turned."""
    signs = np.asarray([p.polarity for p in pairs if p.polarity])
    if not len(signs) or len(signs) < len(pairs):
        return list(pairs), []
    mixed = (signs == -1).any(0) & (signs == 1).any(0)
    if not mixed.any():
        return list(pairs), []
    agreeing, turned = [], []
    for p in pairs:
        turn = np.asarray([m and s == -1 for m, s in zip(mixed, p.polarity, strict=True)])
        if turn.any():
            turned.append(p.name)
            signs_now = tuple(1 if t else s for t, s in zip(turn, p.polarity, strict=True))
            p = replace(p, wet=np.where(turn[:, None], -p.wet, p.wet), polarity=signs_now)
        agreeing.append(p)
    return agreeing, [f"wet of {', '.join(turned)} has inverted polarity, unlike the others; it was turned for the fit"]


def sides_of(pairs: Sequence[Pair]) -> tuple[int, int] | None:
    """Polarity of the left (even) and right (odd) channels; where one side is unclear it is taken as the other; None where
    both are unclear, or channels of a side differ."""
    known = []
    for side in (0, 1):
        signs = {s for p in pairs for s in p.polarity[side::2] if s}
        if len(signs) > 1:
            return None
        known.append(signs.pop() if signs else 0)
    if not any(known):
        return None
    return (known[0] or known[1], known[1] or known[0])
