"""Advice after a fit: more steps, options to try, where in the spectrum the structure does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..audio import Audio
from ..measure.residual import Residual
from ..rack.idle import idle
from ..rack.rack import Rack
from .settings import RackSettings
from .starts import analysis_of

REACHED_DB = -60.0  # a residual below this is as good as found
STILL_FALLING_DB = 0.5  # in the last quarter of the steps
NAMED_CHOICES = 3
LARGE_PART = 0.2  # of the residual's energy in one third of an octave, where the structure counts as not fitting there
STANDS_OUT_DB = 0.5  # and by so much the residual must be nearer to the target there than over all
INCOHERENT = 0.2  # part of the residual that is a gain of the result, below which it is something else
ECHOES = 0.3  # part of it that is a filter with a long memory
LONGER = 1.5  # times the part that is a short filter, and more than is a gain over time, where it is echoes
FOLLOWS = 0.5  # correlation of its level with that of the sound
STEADY = 0.5  # part of it that is one gain for all frequencies
LEAST_FRAMES = 512  # of a stretch, to say anything of its spectrum


def advice(
    rack: Rack,
    error_db: float,
    history: Sequence[dict[str, float]],
    settings: RackSettings,
    stopped: str,
    pieces: Sequence[tuple[Audio, Audio]],
    rate: float,
) -> list[str]:
    """Sentences, the most useful first; none where the target is reached.

    Args:
        rack: fitted.
        error_db: its residual on held-out audio, relative to the target.
        history: one row for each check, with "step" and "error_db".
        settings: of the fit.
        stopped: why it ended.
        pieces: result and target of each held-out stretch.
        rate: Hz.
    """
    if error_db < REACHED_DB or not settings.learn:
        return []
    sentences = []
    falling = _falling(history, settings.steps)
    if falling > STILL_FALLING_DB and stopped.startswith("all steps"):
        more = 2 * settings.steps
        sentences.append(
            f"the error was still falling, by {falling:.1f} dB in the last quarter: more steps, such as steps={more}"
        )
    closed = _closed_choices(rack, settings.choices, pieces[0][0].shape[0] if pieces else None)
    if closed:
        named = ", ".join(f'"{a}"' for a in closed[:NAMED_CHOICES])
        others = f" (or others of {len(closed)})" if len(closed) > NAMED_CHOICES else ""
        sentences.append(f"options were not tried: choices=[{named}]{others}")
    if not settings.starts and any(analysis_of(e.card) and not e.bypass for e in rack.addresses().values()):
        sentences.append("start values were the rack's own: starts=3 reads them from the recordings")
    worst = worst_band(pieces, rate)
    if worst is not None:
        sentences.append(
            f"the structure fits worst around {worst[0]:.0f} Hz, where the residual is {worst[1]:.1f} dB re the target: "
            "a band or block for it may be missing"
        )
    return sentences


def verdict(rack: Rack, residual: Residual) -> list[str]:
    """Sentences on what is left after a search: which block it points to, and what to try; none where the target is reached.

    Args:
        rack: fitted.
        residual: of held-out audio.
    """
    if residual.error_db < REACHED_DB:
        return []
    if residual.is_noise:
        return [f"what is left ({residual.error_db:.1f} dB) is noise of the recording: the values are as near as it tells"]
    categories = {a: e.card.category for a, e in rack.addresses().items() if not e.bypass}
    left = f"the target is not reached: what is left ({residual.error_db:.1f} dB)"
    if residual.gain_share < INCOHERENT and residual.echo_share < ECHOES:
        if residual.follows_level > FOLLOWS:
            return [
                f"{left} is noise that follows the sound, as MP3 and other codecs leave it: fit to the uncompressed recording"
            ]
        return [f"{left} is another sound than the recording's: noise, hum or other voices, in wet only"]
    if residual.echo_share > max(ECHOES, LONGER * residual.filter_share, residual.level_share):
        kind, what, add = "reverb", "is echoes of the sound, or another reverb", "FDNReverb or ConvolutionReverb"
    elif residual.filter_share >= residual.level_share:
        kind, what, add = "linear", "is a constant filter", "ParametricEQ with more bands"
    elif residual.level_share > STEADY:
        kind, what, add = "dynamics", "is a gain that changes over time", "Compressor, Gate or Limiter"
    else:
        kind, what, add = "nonlinear", "changes with the sound at each frequency by itself", "Saturation, or an Adapter"
    more = None if kind == "reverb" else _grey_box(rack)
    if more is None and kind == "dynamics":
        more = _leveller(rack)
    if more is not None:
        return [f"{left} {what}; {more}"]
    suspects = [a for a, category in categories.items() if category == kind]
    blocks = (
        f"the structure of {' or '.join(suspects)} does not fit" if suspects else f"no block of the rack does that: try a {add}"
    )
    return [f"{left} {what}; {blocks}"]


def _grey_box(rack: Rack) -> str | None:
    """Additions around a curve without memory where it does not reach the target: filters, and if there are, a network."""
    playing, at = _playing(rack, "saturation")
    if at is None or any(card == "adapter" for _, card in playing):
        return None
    curve = playing[at][0]
    sides = {"before": playing[:at], "after": playing[at + 1 :]}
    missing = [side for side, others in sides.items() if all(card != "parametric_eq" for _, card in others)]
    if missing:
        return (
            f"a curve that depends on frequency is filter, curve, filter: try a ParametricEQ {' and '.join(missing)} {curve}, "
            "which get their bands from the recordings"
        )
    return "filter, curve, filter do not reach it: try an Adapter with a Network at the end, which learns what has no name"


def _leveller(rack: Rack) -> str | None:
    """An addition before a limiter that does not reach the target alone: many hold the level down before they catch peaks."""
    playing, at = _playing(rack, "limiter")
    if at is None or any(card == "compressor" for _, card in playing[:at]):
        return None
    return f"many limiters also level, slowly, before they catch peaks: try a Compressor before {playing[at][0]}"


def _playing(rack: Rack, card: str) -> tuple[list[tuple[str, str]], int | None]:
    """Addresses and cards of the effects that are heard, in order, and the place of the first of a card among them."""
    playing = [(address, e.card.id) for address, e in rack.addresses().items() if not e.bypass]
    return playing, next((i for i, (_, own) in enumerate(playing) if own == card), None)


def _falling(history: Sequence[dict[str, float]], steps: int) -> float:
    """By how many dB the error fell in the last quarter of the steps."""
    errors = [(row["step"], row["error_db"]) for row in history if row["step"] <= steps and "error_db" in row]
    early = [e for step, e in errors if step <= 0.75 * steps]
    late = [e for step, e in errors if step > 0.75 * steps]
    return min(early) - min(late) if early and late else 0.0


def _closed_choices(rack: Rack, opened: Sequence[str], channels: int | None) -> list[str]:
    """Choices that change the sound and were left as they are; those of group items, such as types of bands, are many."""
    closed = []
    for address, effect in rack.addresses().items():
        if effect.bypass or not any(p.learnable for p in effect.card.parameters):
            continue
        without_effect = idle(effect.card, effect.values(), channels)
        closed += [
            f"{address}.{p.id}"
            for p in effect.card.parameters
            if p.kind == "choice" and p.id not in without_effect and p.role == "main" and f"{address}.{p.id}" not in opened
        ]
    return closed


def worst_band(pieces: Sequence[tuple[Audio, Audio]], rate: float) -> tuple[float, float] | None:
    """The third of an octave that holds most of the residual: its centre in Hz, and the residual in dB re the target there.

    None where none stands out of the whole, or nothing is left.
    """
    shortest = min((y.shape[1] for y, _ in pieces), default=0)
    if shortest < LEAST_FRAMES:
        return None
    size = min(1 << (shortest.bit_length() - 1), 4096)
    window = np.hanning(size)
    left, wanted = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    for y, target in pieces:
        for start in range(0, y.shape[1] - size + 1, size // 2):
            part = slice(start, start + size)
            left += np.sum(np.abs(np.fft.rfft(window * (y[:, part] - target[:, part]))) ** 2, axis=0)
            wanted += np.sum(np.abs(np.fft.rfft(window * target[:, part])) ** 2, axis=0)
    if not left.sum() or not wanted.sum():
        return None
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    centres = 1000.0 * 2.0 ** (np.arange(-14, 14) / 3.0)
    bands = [(hertz >= c * 2 ** (-1 / 6)) & (hertz < c * 2 ** (1 / 6)) for c in centres]
    energy = np.array([left[band].sum() for band in bands])
    worst = int(np.argmax(energy))
    over_all = 10.0 * np.log10(left.sum() / wanted.sum())
    here = 10.0 * np.log10(left[bands[worst]].sum() / max(float(wanted[bands[worst]].sum()), 1e-30))
    stands_out = here > over_all + STANDS_OUT_DB and energy[worst] > LARGE_PART * left.sum()
    return (float(centres[worst]), float(here)) if stands_out else None
