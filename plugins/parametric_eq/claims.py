"""Claims of an equaliser: its response is that of the analogue prototypes of its bands."""

import numpy as np
import numpy.typing as npt

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

Numbers = npt.NDArray[np.float64]
TOLERANCE_DB = 1.0
LOWEST_HZ, HIGHEST = 20.0, 0.25  # of the sample rate
AXIS = 0.04  # within which the card promises the frequencies of matched bands
COMPARED_DB = -30.0  # below, little is left to be heard
BANDS = 16


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    """From the definitions of R. Bristow-Johnson's cookbook; cuts by their poles of a Butterworth filter at the default Q."""
    size = 1 << 17
    x = impulse(size / sample_rate, sample_rate, -20.0, 2)
    spectra = np.abs(np.fft.rfft(passed_through(Rack([effect.copy()]), x, sample_rate).astype(np.float64), size)) / x[0, 0]
    every = np.fft.rfftfreq(size, 1.0 / sample_rate)
    bins = np.unique(np.searchsorted(every, np.geomspace(LOWEST_HZ, HIGHEST * sample_rate, 400)))
    hertz = every[bins]
    worst, axis = 0.0, AXIS if effect.get("warping") == "matched" else 0.0
    for side, spectrum in zip(("left", "right"), spectra, strict=True):
        measured = 20.0 * np.log10(spectrum[bins] + 1e-12)
        low = high = np.zeros(hertz.size)
        for band in (f"band{i}" for i in range(1, BANDS + 1)):
            if effect.get(f"{band}.type") != "off" and effect.get(f"{band}.channel") in ("all", side):
                around = [_prototype_db(effect, band, hertz * (1.0 + sign * axis), sample_rate) for sign in (-1.0, 0.0, 1.0)]
                low, high = low + np.min(around, 0), high + np.max(around, 0)
        off = np.maximum(np.maximum(low - measured, measured - high), 0.0)
        worst = max(worst, float(off[high > COMPARED_DB].max(initial=0.0)))
    text = "the response from 20 Hz to a quarter of the sample rate is that of the prototypes, frequencies within 4 %"
    return [Claim("response", text, worst, high=TOLERANCE_DB)]


def _prototype_db(effect: Effect, band: str, hertz: Numbers, rate: float) -> Numbers:
    """The gain in dB of one band's analogue prototype; squeezed towards half the sample rate where it is bilinear."""
    kind, f, q = str(effect.get(f"{band}.type")), float(effect.get(f"{band}.frequency_hz")), float(effect.get(f"{band}.q"))
    bilinear = effect.get("warping") == "bilinear"
    s = 1j * (np.tan(np.pi * hertz / rate) / np.tan(np.pi * f / rate) if bilinear else hertz / f)
    a = 10.0 ** (float(effect.get(f"{band}.gain_db")) / 40.0)
    if kind in ("low_cut", "high_cut"):
        return _cut_db(s, kind, q, int(str(effect.get(f"{band}.slope_db_per_octave"))) // 12)
    over = {
        "bell": (s**2 + s * a / q + 1.0, s**2 + s / (a * q) + 1.0),
        "low_shelf": (a * (s**2 + np.sqrt(a) / q * s + a), a * s**2 + np.sqrt(a) / q * s + 1.0),
        "high_shelf": (a * (a * s**2 + np.sqrt(a) / q * s + 1.0), s**2 + np.sqrt(a) / q * s + a),
        "notch": (s**2 + 1.0, s**2 + s / q + 1.0),
        "band_pass": (s / q, s**2 + s / q + 1.0),
        "all_pass": (s**2 - s / q + 1.0, s**2 + s / q + 1.0),
    }[kind]
    return np.asarray(20.0 * np.log10(np.abs(over[0] / over[1]) + 1e-12))


def _cut_db(s: npt.NDArray[np.complex128], kind: str, q: float, sections: int) -> Numbers:
    """Sections in a row whose Qs are those of a Butterworth filter, the most resonant times the Q over 0.707."""
    total = np.zeros(s.size)
    for k in range(sections):
        own = (q * np.sqrt(2.0) if k == sections - 1 else 1.0) / (2.0 * np.cos((2 * k + 1) * np.pi / (4 * sections)))
        top = s**2 if kind == "low_cut" else np.ones(s.size)
        total += 20.0 * np.log10(np.abs(top / (s**2 + s / own + 1.0)) + 1e-12)
    return total
