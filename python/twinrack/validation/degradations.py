"""Degradations: a clean sound made worse by degrees, as rooms, microphones, lines and codecs do it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from ..audio import Audio
from .rooms import room_response
from .signals import noise, resampled

Degrade = Callable[[Audio, float], Audio]
PHONE_HZ = (300.0, 3400.0)
HUM_HARMONICS = (1.0, 0.5, 0.35, 0.2, 0.15)  # amplitudes of 1, 2, 3, ... times the mains' frequency
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
SEARCHED_FRAMES = 4096  # for the delay of a codec


@dataclass(frozen=True)
class Rung:
    """One degree of one kind of degradation.

    Attributes:
        family: the kind, such as "noise"; rungs of a family stand in order, the mildest first.
        name: as it is printed, such as "noise, 20 dB SNR".
        degrade: gives (channels, frames) of the same length, in step, from a sound and its sample rate in Hz.
        rate: Hz, where the rung is another sample rate and the sound itself stays as it is.
    """

    family: str
    name: str
    degrade: Degrade
    rate: float | None = None


def ladder(others: Sequence[Audio] = (), sample_rate: float = 48000.0) -> list[Rung]:
    """All rungs, by families.

    Args:
        others: sounds of other voices or instruments, at the sample rate; without, the second voice is the sound backwards.
        sample_rate: Hz, of the sounds.
    """
    rungs = [Rung("noise", f"pink noise, {snr} dB SNR", _noisy(snr)) for snr in (50, 40, 30, 20, 10, 0)]
    rungs += [Rung("hum", f"mains hum, {snr} dB SNR", _humming(snr)) for snr in (50, 40, 30, 20, 10)]
    rungs += [Rung("room", f"room, RT60 {s} s", _in_a_room(s)) for s in (0.2, 0.4, 0.8, 1.6)]
    rungs += [Rung("quieter", f"{-db} dB quieter", _level(db)) for db in (-6, -12, -24)]
    rungs += [Rung("louder", f"{db} dB louder", _level(db)) for db in (6, 12, 24)]
    rungs += [Rung("clipping", f"clipped {db} dB below its peak", _clipped(db)) for db in (3, 6, 12, 20)]
    rungs += [Rung("band", "15 kHz band", _band(20.0, 15000.0)), Rung("band", "wideband telephone", _band(50.0, 7000.0))]
    rungs += [Rung("band", "telephone", _band(*PHONE_HZ))]
    if "MP3" in soundfile.available_formats():
        rungs += [Rung("codec", f"MP3, quality {q:.0%}", _coded("MP3", "MPEG_LAYER_III", 1.0 - q)) for q in (0.8, 0.2)]
    if "OPUS" in soundfile.available_subtypes("OGG"):
        rungs += [Rung("codec", f"Opus, quality {q:.0%}", _coded("OGG", "OPUS", 1.0 - q)) for q in (0.5, 0.05)]
    several: list[Audio | None] = [*others] or [None]
    for level in (-20, -10, 0):
        for i, other in enumerate(several):
            which = "the sound backwards" if other is None else f"other {i + 1}"
            rungs.append(Rung("second voice", f"second voice ({which}), {level} dB", _beside(other, level)))
    every = [rate for rate in (44100.0, 48000.0, 96000.0) if rate != sample_rate]
    return rungs + [Rung("sample rate", f"{rate:g} Hz", _as_it_is, rate) for rate in every]


def _power(x: Audio) -> float:
    return float(np.mean(x.astype(np.float64) ** 2)) + 1e-20


def _added(x: Audio, other: Audio, db: float) -> Audio:
    """A sound with another one, which has so many dB of the first one's power."""
    return np.asarray(x + other * np.sqrt(_power(x) / _power(other)) * 10.0 ** (db / 20.0), np.float32)


def _as_it_is(x: Audio, sample_rate: float) -> Audio:
    return x


def _noisy(snr_db: float) -> Degrade:
    def degrade(x: Audio, sample_rate: float) -> Audio:
        both = [noise(x.shape[1] / sample_rate, sample_rate, pink=True, seed=11 + c)[0] for c in range(x.shape[0])]
        return _added(x, np.stack(both)[:, : x.shape[1]], -snr_db)

    return degrade


def _humming(snr_db: float) -> Degrade:
    def degrade(x: Audio, sample_rate: float) -> Audio:
        t = np.arange(x.shape[1]) / sample_rate
        hum = sum(a * np.sin(2.0 * np.pi * 50.0 * (n + 1) * t + n) for n, a in enumerate(HUM_HARMONICS))
        return _added(x, np.broadcast_to(np.asarray(hum, np.float32), x.shape), -snr_db)

    return degrade


def _in_a_room(rt60_s: float) -> Degrade:
    def degrade(x: Audio, sample_rate: float) -> Audio:
        h = room_response(rt60_s, sample_rate, x.shape[0])
        size = 1 << (x.shape[1] + h.shape[1] - 1).bit_length()
        y = np.fft.irfft(np.fft.rfft(x.astype(np.float64), size) * np.fft.rfft(h.astype(np.float64), size), size)
        y = y[:, : x.shape[1]]
        return np.asarray(y * np.sqrt(_power(x) / _power(np.asarray(y, np.float32))), np.float32)

    return degrade


def _level(db: float) -> Degrade:
    return lambda x, sample_rate: np.asarray(x * 10.0 ** (db / 20.0), np.float32)


def _clipped(db: float) -> Degrade:
    def degrade(x: Audio, sample_rate: float) -> Audio:
        most = float(np.abs(x).max()) * 10.0 ** (-db / 20.0)
        return np.asarray(np.clip(x, -most, most), np.float32)

    return degrade


def _band(low_hz: float, high_hz: float) -> Degrade:
    """A band with edges of half an octave, linear in phase."""

    def degrade(x: Audio, sample_rate: float) -> Audio:
        size = 1 << (x.shape[1] + round(0.2 * sample_rate) - 1).bit_length()
        octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / sample_rate), 1e-3))
        rise = np.clip((octaves - np.log2(low_hz)) * 2.0 + 1.0, 0.0, 1.0)
        fall = np.clip((np.log2(high_hz) - octaves) * 2.0 + 1.0, 0.0, 1.0)
        weight = np.sin(0.5 * np.pi * rise) * np.sin(0.5 * np.pi * fall)
        y = np.fft.irfft(np.fft.rfft(x.astype(np.float64), size) * weight, size)[:, : x.shape[1]]
        return np.asarray(y, np.float32)

    return degrade


def _coded(file_format: str, subtype: str, compression: float) -> Degrade:
    """Written and read again, in step with what went in."""

    def degrade(x: Audio, sample_rate: float) -> Audio:
        if x.shape[0] > 2:  # what these formats hold
            return np.concatenate([degrade(channel[None], sample_rate) for channel in x])
        known = subtype != "OPUS" and round(sample_rate) in MP3_RATES
        coded_rate = round(sample_rate) if known else 48000
        given = (x if known else resampled(x, sample_rate, coded_rate)).T
        peak = max(float(np.abs(given).max()), 1.0)
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", coded_rate, given.shape[1], subtype, format=file_format, compression_level=compression
        ) as out:
            out.write(given / peak)
        file.seek(0)
        y = np.asarray(soundfile.read(file, dtype="float32", always_2d=True)[0].T * peak, np.float32)
        return _in_step(y if known else resampled(y, coded_rate, sample_rate), x)

    return degrade


def _in_step(y: Audio, x: Audio) -> Audio:
    """A sound moved to where it correlates best with another one, and cut to its length."""
    size = 1 << (max(x.shape[1], y.shape[1]) + SEARCHED_FRAMES).bit_length()
    cross = np.fft.irfft(
        np.fft.rfft(y.astype(np.float64).mean(0), size) * np.conj(np.fft.rfft(x.astype(np.float64).mean(0), size))
    )
    late = int(np.argmax(np.concatenate([cross[-SEARCHED_FRAMES:], cross[:SEARCHED_FRAMES]]))) - SEARCHED_FRAMES
    moved = y[:, late:] if late >= 0 else np.pad(y, ((0, 0), (-late, 0)))
    short = max(x.shape[1] - moved.shape[1], 0)
    return np.ascontiguousarray(np.pad(moved, ((0, 0), (0, short)))[:, : x.shape[1]])


def _beside(other: Audio | None, db: float) -> Degrade:
    def degrade(x: Audio, sample_rate: float) -> Audio:
        second = x[:, ::-1] if other is None else _fitted(other, x.shape)
        return _added(x, second, db)

    return degrade


def _fitted(other: Audio, shape: tuple[int, ...]) -> Audio:
    """A sound repeated or cut to a length, its channels repeated or left out."""
    rows = np.stack([other[c % other.shape[0]] for c in range(shape[0])])
    return np.tile(rows, (1, -(-shape[1] // rows.shape[1])))[:, : shape[1]]
