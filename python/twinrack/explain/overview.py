"""An explanation of a rack on a sound: what it does in a few sentences, warnings, and every block with its values and evidence.

All of it is measured by rendering, so each sentence names the figure that shows it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..audio import Audio, as_planar, check_rate
from ..checks import check_number
from ..measure.difference import harmonic_powers
from ..measure.loudness import Loudness, loudness
from ..measure.window_levels import window_levels_db
from ..rack.describe import order_text, value_text
from ..rack.effect import Effect
from ..rack.external_effect import has_external
from ..rack.rack import Rack, as_rack, silent_keys
from ..rack.running import Sidechain
from .ablation import Ablation, ablate
from .cause import Cause, cause_of_reduction
from .certify import certify
from .evidence_map import Evidence, evidence
from .intermediate import Stage, stages
from .origin import Origin, origin
from .sound_change import HEARD_BAND_DB, SoundDifference, hertz_text, sound_difference
from .trust import Trust, trust
from .wishes import GainReduction, Rendering, moves_own_gain

LONGEST_S, SHORTEST_S = 10.0, 0.25
CLIPPED_DB = 0.0
TONE_HZ, TONE_DB = 1000.0, -18.0
AUDIBLE_HARMONICS_DB = -60.0
TAIL_DB, NOTABLE_TAIL_S, LONGEST_TAIL_S = 60.0, 0.05, 30.0
SILENT = 1e-7  # -140 dBFS
LEVELS = (10.0, 95.0)  # percentiles of the level, for quiet and loud passages
NOTABLE_RANGE_DB, NOTABLE_REDUCTION_DB = 0.5, 0.1
NOTABLE_WIDTH_DB, MONO_DB = 1.0, -60.0


@dataclass(frozen=True)
class Sentence:
    """A sentence on the rack, and the id of the figure on the page that shows it."""

    text: str
    figure: str


@dataclass(frozen=True, eq=False)
class Block:
    """One effect: what it does to the sound, and its values.

    Attributes:
        address, effect: which one.
        stage: the sound on both sides of it.
        left_out: the rack without it; None where it is bypassed.
        reduction_db: largest gain reduction in windows of 10 ms, of effects whose gain follows the sound.
        values: ablations of its values that differ from their defaults, the most important first.
        evidence: of its numbers.
        cause: of its largest gain reduction, in the input.
    """

    address: str
    effect: Effect
    stage: Stage | None
    left_out: Ablation | None
    reduction_db: float | None
    values: tuple[Ablation, ...]
    evidence: tuple[Evidence, ...]
    cause: Cause | None = None

    def lines(self) -> list[str]:
        """Its effect on the sound, in words."""
        if self.left_out is None:
            return ["bypassed; it changes nothing"]
        a = self.left_out
        text = [
            f"left out, the result would differ by {a.jnds:.2g} JND where it is heard most ({a.distances.error_db:.1f} dB), "
            f"and by {a.loudness_lu:+.1f} LU"
        ]
        if self.reduction_db is not None:
            text.append(f"takes away {self.reduction_db:.1f} dB at most (windows of 10 ms)")
        if self.cause is not None:
            text.append(str(self.cause))
        return text


@dataclass(frozen=True, eq=False)
class Explanation:
    """An explanation of a rack on one sound.

    Attributes:
        rack, sound, output, sample_rate: what was explained; sounds are (channels, frames).
        sentences: what the rack does.
        warnings: what a reader must know first.
        blocks: every effect, in order.
        stages: the sound after every block.
        difference: the output against the input.
        trust: how far ablation and evidence can be relied on.
        origin: of the output's loudest moment in the input; None where an effect has no twin or a sidechain is given.
    """

    rack: Rack
    sound: Audio
    output: Audio
    sample_rate: float
    sentences: tuple[Sentence, ...]
    warnings: tuple[str, ...]
    blocks: tuple[Block, ...]
    stages: tuple[Stage, ...]
    difference: SoundDifference
    trust: Trust
    origin: Origin | None = None

    def __str__(self) -> str:
        lines = [s.text for s in self.sentences]
        lines += [f"warning: {w}" for w in self.warnings]
        for block in self.blocks:
            lines += ["", f"{block.address}: {block.effect.card.purpose}", *(f"    {line}" for line in block.lines())]
            for a in block.values:
                name = a.address.partition(".")[2]
                p = block.effect.card.addresses[name]
                if a.before is not None and a.after is not None:
                    values = f"{name} = {value_text(p, a.before)} (default {value_text(p, a.after)})"
                    lines.append(f"    {values}: without it {a.jnds:.2g} JND")
            lines += [f"    {e}" for e in block.evidence if not e.is_empty]
        lines += ["", self.trust.ablation_text(), self.trust.evidence_text()]
        if self.origin is not None:
            lines.append(str(self.origin))
        return "\n".join(lines)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained HTML page, and return its path."""
        from .overview_page import write_page

        return write_page(self, Path(path))


def explanation(
    rack: Rack,
    x: npt.ArrayLike,
    sample_rate: float,
    *,
    seconds: float = LONGEST_S,
    sidechain: Sidechain = None,
) -> Explanation:
    """Explain a rack on a sound.

    Args:
        rack: it is not changed.
        x: (channels, frames) or (frames,): a sound that the rack is for.
        sample_rate: Hz.
        seconds: at most so much of the sound, from where it is loudest.
        sidechain: as in a call of the rack; then all of the sound is taken.
    """
    rate = check_rate(sample_rate)
    rack = as_rack(rack)
    check_number(seconds, "seconds", 0.5, 600.0)
    sound = telling_sound(x, rate, SHORTEST_S)
    if sidechain is None:
        sound = loudest_part(sound, round(seconds * rate))
    passed = tuple(stages(rack, sound, rate, sidechain=sidechain))
    output = passed[-1].after if passed else np.array(sound)
    difference = sound_difference(sound, output, rate)
    left_out = {a.address: a for a in ablate(rack, sound, rate, sidechain=sidechain)}
    every = evidence(rack, sound, rate, sidechain=sidechain)
    blocks = []
    for address, effect in rack.addresses().items():
        stage = next((s for s in passed if s.address == address), None)
        off = effect.bypass or address not in left_out
        blocks.append(
            Block(
                address,
                effect,
                stage,
                None if off else left_out[address],
                None if off else _reduction(rack, address, sound, rate, sidechain),
                tuple(a for a in left_out.values() if a.address.startswith(f"{address}.")),
                tuple(e for e in every if e.address.startswith(f"{address}.")),
                _cause(rack, address, sound, rate) if not off and sidechain is None else None,
            )
        )
    measured = [loudness(s, rate) for s in (sound, output)]
    return Explanation(
        rack.copy(),
        sound,
        output,
        rate,
        tuple(_sentences(rack, sound, output, rate, measured, difference, blocks)),
        tuple(_warnings(rack, measured[1], every)),
        tuple(blocks),
        passed,
        difference,
        trust(rack, sound, rate, [a for a in left_out.values() if a.address in rack.addresses()], every, sidechain),
        None if sidechain is not None or _has_external(rack) else origin(rack, sound, output, rate),
    )


def telling_sound(x: npt.ArrayLike, rate: float, shortest_s: float) -> Audio:
    """A sound, (channels, frames), on which something can be shown.

    Raises:
        ValueError: it is silent, shorter than `shortest_s`, or has NaN or infinity in it.
    """
    sound = as_planar(x, "the sound")[0]
    if not np.isfinite(sound).all():
        raise ValueError("the sound has NaN or infinity in it; mend the recording first")
    if not np.any(sound):
        raise ValueError("the sound is silent, so nothing can be shown on it")
    if sound.shape[1] < shortest_s * rate:
        raise ValueError(f"the sound has {sound.shape[1]} frames; give at least {shortest_s:g} s")
    return sound


def loudest_part(sound: Audio, frames: int) -> Audio:
    """So many frames of a sound, where it has the most energy."""
    if sound.shape[1] <= frames:
        return sound
    energy = np.concatenate([[0.0], np.cumsum(np.mean(sound.astype(np.float64) ** 2, 0))])
    step = max(frames // 20, 1)
    starts = np.arange(0, sound.shape[1] - frames + 1, step)
    first = int(starts[np.argmax(energy[starts + frames] - energy[starts])])
    return np.ascontiguousarray(sound[:, first : first + frames])


def _reduction(rack: Rack, address: str, sound: Audio, rate: float, sidechain: Sidechain) -> float | None:
    if not moves_own_gain(rack.addresses()[address]):
        return None
    return float(GainReduction(rack, address, 0.0).measured(Rendering(rack, {}, sound, rate, sidechain))[0])


def _cause(rack: Rack, address: str, sound: Audio, rate: float) -> Cause | None:
    moves = moves_own_gain(rack.addresses()[address])
    return cause_of_reduction(rack, address, sound, rate) if moves and not _has_external(rack) else None


def _has_external(rack: Rack) -> bool:
    """Whether an effect in it has no twin."""
    return has_external(rack.addresses().values())


def _sentences(
    rack: Rack,
    sound: Audio,
    output: Audio,
    rate: float,
    measured: Sequence[Loudness],
    difference: SoundDifference,
    blocks: Sequence[Block],
) -> list[Sentence]:
    if np.max(np.abs(output)) < SILENT:
        return [Sentence("The rack gives silence for this sound.", "stages"), Sentence(_importance_sentence(blocks), "blocks")]
    order = order_text(rack.root, {id(e): a for a, e in rack.addresses().items()}) or "nothing, so it stays as it is"
    before, after = (max(m.integrated, -120.0) for m in measured)
    sentences = [
        Sentence(
            f"The sound goes through {order} and comes out {abs(after - before):.1f} LU "
            f"{'louder' if after >= before else 'quieter'}: {before:.1f} -> {after:.1f} LUFS, true peak "
            f"{measured[1].true_peak_db:.1f} dBTP.",
            "stages",
        ),
        Sentence(_spectrum_sentence(difference), "spectrum"),
        Sentence(_dynamics_sentence(sound, output, rate, blocks), "levels"),
        Sentence(_space_sentence(rack, sound, output, rate), "stages"),
        Sentence(_importance_sentence(blocks), "blocks"),
    ]
    distortion = _distortion_sentence(rack, rate, sound.shape[0])
    return [*sentences, Sentence(distortion, "blocks")] if distortion else sentences


def _spectrum_sentence(difference: SoundDifference) -> str:
    bands = np.array(difference.bands_db)
    mean = float(np.median(bands[:, 1]))
    relative = bands[:, 1] - mean
    if np.abs(relative).max() < HEARD_BAND_DB:
        return f"It leaves the balance of the spectrum as it is (within {HEARD_BAND_DB} dB in every critical band)."
    parts = []
    for words, sign in (("raises", 1.0), ("lowers", -1.0)):
        which = np.flatnonzero(sign * relative >= max(HEARD_BAND_DB, 0.5 * np.max(sign * relative)))
        if which.size and np.max(sign * relative) >= HEARD_BAND_DB:
            most = which[np.argmax(sign * relative[which])]
            parts.append(f"{words} the region about {hertz_text(bands[most, 0])} by {abs(relative[most]):.1f} dB")
    return f"Against the middle of the spectrum it {' and '.join(parts)}."


def _dynamics_sentence(sound: Audio, output: Audio, rate: float, blocks: Sequence[Block]) -> str:
    spans = []
    for s in (sound, output):
        levels = window_levels_db(s, int(0.1 * rate))
        levels = levels[levels > levels.max() - 60.0]
        spans.append(float(np.percentile(levels, LEVELS[1]) - np.percentile(levels, LEVELS[0])))
    moved = spans[1] - spans[0]
    if abs(moved) < NOTABLE_RANGE_DB:
        text = f"Loud and quiet passages stay as far apart as they were ({spans[0]:.1f} dB)"
    else:
        text = f"Loud and quiet passages come {'closer' if moved < 0 else 'further apart'}: {spans[0]:.1f} -> {spans[1]:.1f} dB"
    moving = [b for b in blocks if b.reduction_db is not None and b.reduction_db >= NOTABLE_REDUCTION_DB]
    reductions = [f"{b.address} takes away up to {b.reduction_db:.1f} dB" for b in moving]
    if reductions:
        text += f"; {', '.join(reductions)}"
    return f"{text}."


def _space_sentence(rack: Rack, sound: Audio, output: Audio, rate: float) -> str:
    tail_s = _tail_s(rack, sound, rate)
    if tail_s >= LONGEST_TAIL_S:
        text = f"After the sound ends it goes on for more than {LONGEST_TAIL_S:.0f} s"
    else:
        text = (
            f"After the sound ends it goes on for {tail_s:.2f} s (to -60 dB)" if tail_s > NOTABLE_TAIL_S else "It adds no tail"
        )
    if sound.shape[0] >= 2:
        widths = []
        for s in (sound, output):
            side, middle = (float(np.sum((s[0].astype(np.float64) + sign * s[1]) ** 2)) for sign in (-1.0, 1.0))
            widths.append(10.0 * np.log10((side + 1e-12) / (middle + 1e-12)))
        before, after = (max(width, MONO_DB) for width in widths)
        way = "wider" if after > before else "narrower"
        if after == before == MONO_DB:
            text += "; the sound stays mono"
        elif before == MONO_DB:
            text += f"; the mono sound gets sides of {after:.0f} dB against its middle"
        else:
            moved = f"{abs(after - before):.1f} dB {way}" if abs(after - before) > NOTABLE_WIDTH_DB else "as wide as before"
            text += f"; the image is {moved}"
    return f"{text}."


def _tail_s(rack: Rack, sound: Audio, rate: float) -> float:
    """How long a short burst goes on, to -60 dB of its loudest; sidechains are silent."""
    burst = np.zeros((sound.shape[0], round(0.1 * rate)), np.float32)
    noise = np.random.default_rng(0).standard_normal(round(0.05 * rate)) * 0.1
    burst[:, : noise.size] = noise
    y = rack.copy()(burst, rate, tail=LONGEST_TAIL_S, sidechain=silent_keys(rack, burst))
    if np.max(np.abs(y)) < SILENT:
        return 0.0
    size = max(int(0.01 * rate), 1)
    levels = window_levels_db(y, size, 1e-20)
    audible = np.flatnonzero(levels > levels.max() - TAIL_DB)
    return float(max((audible[-1] + 1) * size / rate - 0.05, 0.0)) if audible.size else 0.0


def _importance_sentence(blocks: Sequence[Block]) -> str:
    ranked = sorted((b for b in blocks if b.left_out is not None), key=lambda b: -_jnds(b))
    if not ranked:
        return "No block is switched on."
    first = ranked[0]
    text = f"Most depends on {first.address}: without it the result differs by {_jnds(first):.2g} JND"
    silent = [b.address for b in ranked if _jnds(b) < 1.0]
    if silent:
        text += f"; nobody is likely to miss {', '.join(silent)} (below 1 JND)"
    return f"{text}."


def _jnds(block: Block) -> float:
    return 0.0 if block.left_out is None else block.left_out.jnds


def _distortion_sentence(rack: Rack, rate: float, channels: int) -> str:
    """Harmonics of a tone, where they can be heard."""
    size = 1 << 15
    cycles = round(TONE_HZ * size / rate)
    tone = 10.0 ** (TONE_DB / 20.0) * np.sin(2.0 * np.pi * cycles * np.arange(4 * size) / size)
    x = np.ascontiguousarray(np.broadcast_to(tone, (channels, tone.size)), np.float32)
    y = rack.copy()(x, rate, sidechain=silent_keys(rack, x))[0, -size:]
    own, *harmonics = harmonic_powers(y, cycles, int(0.45 * rate / TONE_HZ) - 1)
    level = 10.0 * np.log10((sum(harmonics) + 1e-20) / (own + 1e-20))
    if level < AUDIBLE_HARMONICS_DB or own < 1e-12 * float(np.sum(np.hanning(size))) ** 2:
        return ""
    return f"A tone of 1 kHz at -18 dBFS gets harmonics of {level:.0f} dB ({100 * 10 ** (level / 20):.2g} %)."


def _warnings(rack: Rack, output: Loudness, every: Sequence[Evidence]) -> list[str]:
    warnings = []
    if output.true_peak_db > CLIPPED_DB:
        warnings.append(f"the output reaches {output.true_peak_db:+.1f} dBTP: an interface or a file of integers clips it")
    for address, effect in rack.addresses().items():
        for name, p in effect.card.addresses.items():
            if p.kind != "continuous" or name in effect.unused() or effect.bypass:
                continue
            low, high = p.expected
            value = float(effect.get(name))
            if not low - 1e-9 <= value <= high + 1e-9:
                warnings.append(
                    f"{address}.{name} = {value_text(p, value)} is outside what its card expects, {low:g} to {high:g}"
                )
    silent = [e.address for e in every if e.is_empty]
    if silent:
        warnings.append(f"nothing in this sound shows what these values do: {', '.join(silent)}")
    vague = rack.provenance.get("not_determined") or []
    if vague:
        warnings.append(f"the recordings it was fitted to do not determine: {', '.join(vague)}")
    warnings += [f"of the fit: {note}" for note in rack.provenance.get("warnings") or []]
    if not _has_external(rack):
        try:
            certify(rack.copy())
        except ValueError as error:
            warnings.append(f"its stability cannot be proved: {error}")
    return warnings
