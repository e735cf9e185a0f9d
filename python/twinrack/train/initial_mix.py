"""Least-squares start values for gain and pan of the channels of a mix, and for the bands of their equalisers.

The stems, as they come out of their racks, are to add up to the mix. Linear least squares in third octaves, for each side:
mix_c(f) = sum of g_ic(f) stem_ic(f). The effects of groups and the master, and reverberation, are in the residual. A fader's
level and pan follow from both sides' gains by its law, an equaliser's bands from how these differ with frequency.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..audio import Audio
from ..rack.effects import Fader
from ..session.session import Session
from ..twins.effect_twin import arithmetic
from .polarity import SIGNS
from .starts import curve_fit_of
from .stems import with_stems

Numbers = npt.NDArray[np.float64]

SOFTEST = 10.0 ** (-60.0 / 20.0)
FFT = 8192


def initial_mix(session: Session, stems: Audio, mix: Audio, addresses: Iterable[str]) -> Session:
    """The session with start values for gain, pan and bands of the channels that have clips. Only of stereo sessions.

    Args:
        stems: (channels with clips x 2, frames). mix: (2, frames).
        addresses: which values may be changed.
    """
    result, allowed = session.copy(), set(addresses)
    if session.width != 2:
        return result
    plain = with_stems(session, stems)
    mix = mix * np.asarray(SIGNS[session.master.polarity], np.float32)[:, None]  # gains are not below 0
    inputs = [c.name for c in session if c.clips]
    sounds = []
    for name in inputs:
        alone = plain.copy()
        alone[name].fader = Fader()
        alone[name].automation = {a: p for a, p in alone[name].automation.items() if alone[name].find(a)[0] != ""}
        sounds.append(alone.render(channel=name))
    hertz, power, gains = band_gains(sounds, mix, session.sample_rate)
    for i, name in enumerate(inputs):
        audible = power[i] > 1e-6 * max(float(power[i].max()), 1e-30)
        if audible.any():
            _set(result, name, allowed, hertz[audible], power[i, audible], gains[i][:, audible])
    return result


def band_gains(sounds: Sequence[Audio], mix: Audio, rate: float) -> tuple[Numbers, Numbers, Numbers]:
    """The gains with which sounds add up to a mix, in third octaves.

    Args:
        sounds: (2, frames) each. mix: (2, frames).

    Returns:
        Frequencies (bands,), the power of each sound in each (sounds, bands), gains (sounds, 2, bands), not below 0.
    """
    centres = 1000.0 * 2.0 ** (np.arange(-15, 13) / 3.0)
    centres = centres[centres < 0.45 * rate]
    frequencies = np.fft.rfftfreq(FFT, 1.0 / rate)
    which = np.digitize(frequencies, np.concatenate([centres[:1] / 2 ** (1 / 6), centres * 2 ** (1 / 6)])) - 1
    count, bands = len(sounds), len(centres)
    normal, right = np.zeros((2, bands, count, count)), np.zeros((2, bands, count))
    window = np.hanning(FFT)
    for start in range(0, max(mix.shape[1] - FFT, 0) + 1, FFT // 2):
        part = [
            np.fft.rfft(x[:, start : start + FFT] * window[: x[:, start : start + FFT].shape[1]], FFT) for x in (*sounds, mix)
        ]
        spectra = np.stack(part)  # sounds and the mix, sides, bins
        for b in range(bands):
            x = spectra[:, :, which == b]
            for c in range(2):
                normal[c, b] += np.real(np.conj(x[:-1, c]) @ x[:-1, c].T)
                right[c, b] += np.real(np.conj(x[:-1, c]) @ x[-1, c])
    gains = np.zeros((count, 2, bands))
    for c in range(2):
        for b in range(bands):
            a = normal[c, b]
            ridge = np.eye(count) * (1e-4 * np.diag(a) + 1e-9 * max(float(np.trace(a)), 1e-30))
            gains[:, c, b] = np.linalg.solve(a + ridge, right[c, b])
    power = np.einsum("cbii->ib", normal)
    return centres, np.asarray(power), np.maximum(gains, 0.0)


def _set(session: Session, name: str, allowed: set[str], hertz: Numbers, power: Numbers, gains: Numbers) -> None:
    """A channel's fader and equaliser, from its gains (2, bands) and what it has in each band."""
    channel = session[name]
    weight = power / power.sum()
    sides = np.sqrt((gains**2 * weight).sum(1))
    curve = 20.0 * np.log10(np.maximum(np.sqrt((gains**2).sum(0)), SOFTEST))
    order = np.argsort(curve)
    median = curve[order][np.searchsorted(np.cumsum(np.sqrt(weight)[order]), 0.5 * np.sqrt(weight).sum())]
    size = max(math.hypot(*sides), SOFTEST)
    equalisers = [(a, e) for a, e in channel.rack.addresses().items() if curve_fit_of(e.card) is not None and not e.bypass]
    scale = 1.0
    for address, equaliser in equalisers[:1]:
        # only gains, at the frequencies and widths that are given: with all free, bands take each other's place
        prefix = f"{name}.{address}."
        bands = {a.removeprefix(prefix) for a in allowed if a.startswith(f"{prefix}band") and a.endswith(".gain_db")}
        fit_curve = curve_fit_of(equaliser.card)
        if not bands or fit_curve is None:
            continue
        scale = 10.0 ** (median / 20.0) / size  # the fader has the median, the bands the rest
        answers = fit_curve(equaliser, hertz, curve - median, np.sqrt(weight), session.sample_rate, bands)
        for band, value in (answers[0] if answers else {}).items():
            equaliser.set(band, value)
    if {f"{name}.gain_db", f"{name}.pan"} <= allowed and not channel.automation.keys() & {"gain_db", "pan"}:
        level, place = arithmetic(Fader.card).level_and_pan(float(sides[0]) * scale, float(sides[1]) * scale, str(channel.law))
        gain, pan = (Fader.card.addresses[n] for n in ("gain_db", "pan"))
        channel.gain_db = min(max(level, gain.min), gain.max)
        channel.pan = min(max(place, pan.min), pan.max)
