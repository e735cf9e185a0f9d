"""Claims of a crossover: its bands add up to a flat response, and neighbours are 6 dB down where they meet."""

import numpy as np

from twinrack.rack.effect import Effect
from twinrack.rack.rack import Rack
from twinrack.validation.claims import Claim
from twinrack.validation.signals import impulse, passed_through

FLAT_DB, EDGE_DB = 0.01, 0.05
HALF_DB = -6.0206


def claims(effect: Effect, sample_rate: float) -> list[Claim]:
    bands, highest = int(str(effect.get("number_of_bands"))), 0.45 * sample_rate
    own = effect.copy()
    for band in range(1, bands + 1):
        own.set(f"band{band}.gain_db", 0.0)
        own.set(f"band{band}.mute", False)
    hertz, response = _response_db(own, sample_rate)
    audible = (hertz > 20.0) & (hertz < highest)
    claimed = [Claim("sum", "bands at 0 dB add up to a flat response", float(np.abs(response[audible]).max()), high=FLAT_DB)]
    edge = float(own.get("split1_hz"))
    if edge < highest:
        for band in range(2, bands + 1):
            own.set(f"band{band}.mute", True)
        hertz, response = _response_db(own, sample_rate)
        gain_db = float(np.interp(edge, hertz, response))
        words = "the lowest band is 6 dB down where it ends"
        claimed.append(Claim("split", words, gain_db, HALF_DB - EDGE_DB, HALF_DB + EDGE_DB))
    return claimed


def _response_db(effect: Effect, sample_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and the gain there in dB."""
    size = 1 << 18
    x = impulse(size / sample_rate, sample_rate, -20.0, 1)
    y = passed_through(Rack([effect.copy()]), x, sample_rate)[0].astype(np.float64)
    gain = np.abs(np.fft.rfft(y, size)) / np.abs(np.fft.rfft(x[0].astype(np.float64), size))
    return np.fft.rfftfreq(size, 1.0 / sample_rate), 20.0 * np.log10(gain + 1e-12)
