"""Coverage of recordings: levels, spectrum, crest, silence, clipping, how long each value was shown, duplicates, groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..audio import Audio
from ..explain.evidence_map import evidence
from ..explain.overview import loudest_part
from ..explain.sound_change import hertz_text
from ..explain.wishes import GainReduction, Rendering, moves_own_gain
from ..measure.window_levels import window_levels_db
from ..perceptual import CriticalBands
from ..rack.rack import Rack
from .duplicates import Duplicate, duplicates
from .recordings import Recording, seconds_of

Numbers = npt.NDArray[np.float64]

WINDOW_S = 0.1
SILENT_DBFS = -60.0
CLIPPED_FRAMES = 3  # in a row at the largest value
EMPTY_BAND_DB = -70.0  # of the loudest
SHOWN_S = 10.0  # of a recording, for evidence
MOST_SHOWN = 6  # recordings, for evidence
NARROW_DB = 12.0  # between quiet and loud passages
ONE_SIDED = 0.02  # of the time on the other side of a threshold
ACTIVE_DB = 0.5
UNBALANCED, FEW_GROUPS = 0.8, 2
SHOWN_DB = -40.0  # of the sound in a second: what 1 JND of a value must change


@dataclass(frozen=True)
class Activity:
    """How one dynamics effect was used: the share of the time in which it took something away, and did not.

    Attributes:
        address: of the effect.
        acting, resting: shares of the windows that are not silent.
        most_db: the largest reduction.
    """

    address: str
    acting: float
    resting: float
    most_db: float


@dataclass(frozen=True)
class Shown:
    """For how long recordings show a value.

    Attributes:
        address: of the value.
        share: of the seconds in which 1 JND of the value changes more than -40 dB of the sound.
    """

    address: str
    share: float


@dataclass(frozen=True, eq=False)
class Coverage:
    """The coverage of recordings.

    Attributes:
        recordings: their number; `seconds` their length together.
        levels_dbfs: levels of windows of 100 ms that are not silent, at 5, 50 and 95 % of them.
        crest_db: largest sample over the level, of the median recording.
        silent, clipped: shares of the windows that are silent, and of the frames that are clipped.
        bands_db: (centre in Hz, level in dB of the loudest) of critical bands.
        activity: of every effect whose gain follows the sound.
        shown: for how long each value is shown.
        duplicates: pairs of recordings that hold the same sound.
        groups: seconds by column and value of the table.
    """

    recordings: int
    seconds: float
    levels_dbfs: tuple[float, float, float]
    crest_db: float
    silent: float
    clipped: float
    bands_db: tuple[tuple[float, float], ...]
    activity: tuple[Activity, ...]
    shown: tuple[Shown, ...]
    duplicates: tuple[Duplicate, ...]
    groups: dict[str, dict[str, float]]

    def warnings(self) -> list[str]:
        """Sentences on gaps, one each."""
        sentences = []
        low, _, high = self.levels_dbfs
        if high - low < NARROW_DB:
            sentences.append(
                f"levels lie between {low:.0f} and {high:.0f} dBFS only: nothing shows what is done to quieter and louder sound"
            )
        empty = [hz for hz, db in self.bands_db if db < EMPTY_BAND_DB]
        if empty:
            sentences.append(f"there is next to nothing about {', '.join(hertz_text(hz) for hz in empty[:4])}")
        if self.clipped > 0.0:
            sentences.append(f"{100.0 * self.clipped:.2g} % of the frames are clipped")
        for a in self.activity:
            if a.resting < ONE_SIDED:
                sentences.append(
                    f"{a.address} takes something away {100.0 * a.acting:.0f} % of the time: no passage shows where it rests, "
                    "so its threshold is not told from its makeup"
                )
            elif a.acting < ONE_SIDED:
                sentences.append(
                    f"{a.address} hardly ever acts ({100.0 * a.acting:.1f} % of the time), so little shows its values"
                )
        hidden = [s.address for s in self.shown if s.share == 0.0]
        if hidden:
            sentences.append(f"nothing shows {', '.join(hidden)}")
        sentences += [str(d) for d in self.duplicates]
        for column, seconds in self.groups.items():
            total = sum(seconds.values())
            name, most = max(seconds.items(), key=lambda item: item[1])
            if len(seconds) < FEW_GROUPS:
                sentences.append(f"{column}: all recordings are of {name!r}")
            elif most > UNBALANCED * total:
                sentences.append(f"{column}: {100.0 * most / total:.0f} % of the time is {name!r}, of {len(seconds)}")
        return sentences


def coverage(recordings: Sequence[Recording], rack: Rack, sample_rate: float) -> Coverage:
    """The coverage of recordings, for a rack.

    Args:
        recordings: training and held-out together.
        rack: that was trained on them.
        sample_rate: Hz.

    Raises:
        ValueError: there are none, or they are all silent.
    """
    if not recordings:
        raise ValueError("there are no recordings; give at least one")
    if (empty := next((r.name for r in recordings if r.dry.shape[1] == 0), None)) is not None:
        raise ValueError(f"{empty} holds no sound; leave it out")
    size = max(int(WINDOW_S * sample_rate), 1)
    levels = np.concatenate([window_levels_db(r.dry, size) for r in recordings])
    loud = levels[levels > SILENT_DBFS]
    if not loud.size:
        raise ValueError("all recordings are silent (below -60 dBFS); give some with sound")
    crests = [_crest_db(r.dry) for r in recordings if np.any(r.dry)]
    clipped = sum(_clipped(r.dry) for r in recordings) / sum(r.dry.size for r in recordings)
    low, middle, high = (float(v) for v in np.percentile(loud, (5.0, 50.0, 95.0)))
    groups: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for r in recordings:
        for column, value in r.metadata.items():
            groups[column][value or "(empty)"] += r.dry.shape[1] / sample_rate
    return Coverage(
        len(recordings),
        seconds_of(recordings, sample_rate),
        (low, middle, high),
        float(np.median(crests)),
        float(np.mean(levels <= SILENT_DBFS)),
        float(clipped),
        _bands_db(recordings, sample_rate),
        tuple(
            _activity(rack, address, recordings, sample_rate)
            for address, effect in rack.addresses().items()
            if moves_own_gain(effect) and not effect.bypass
        ),
        tuple(_shown(rack, recordings, sample_rate)),
        tuple(duplicates(recordings, sample_rate)),
        {column: dict(values) for column, values in groups.items()},
    )


def _crest_db(x: Audio) -> float:
    level = float(np.sqrt(np.mean(x.astype(np.float64) ** 2))) + 1e-10
    return float(20.0 * np.log10(float(np.abs(x).max()) / level + 1e-10))


def _clipped(x: Audio) -> int:
    """Frames in runs at the largest value."""
    most = float(np.abs(x).max())
    if most < 0.1:
        return 0
    at = (np.abs(x) >= most * (1.0 - 1e-6)).astype(np.int8)
    runs = np.lib.stride_tricks.sliding_window_view(at, CLIPPED_FRAMES, axis=1).all(-1)
    return int(runs.sum()) + (CLIPPED_FRAMES - 1 if runs.any() else 0)


def _bands_db(recordings: Sequence[Recording], rate: float) -> tuple[tuple[float, float], ...]:
    bands = CriticalBands(rate)
    total = torch.zeros(len(bands.centres_hz), dtype=torch.float64)
    with torch.no_grad():
        for r in recordings:
            total += bands(torch.from_numpy(np.ascontiguousarray(r.dry))[None])[0].double().sum((0, 2))
    level = 10.0 * torch.log10(total / total.max() + 1e-12)
    return tuple((float(hz), float(db)) for hz, db in zip(bands.centres_hz, level, strict=True))


def _activity(rack: Rack, address: str, recordings: Sequence[Recording], rate: float) -> Activity:
    """From the gain over time, without what is constant in it."""
    wish = GainReduction(rack, address, 0.0)
    together = np.concatenate([wish.gains(Rendering(rack, {}, r.dry, rate))[0][1] for r in recordings])
    together = together[np.isfinite(together)]
    if not together.size:
        return Activity(address, 0.0, 1.0, 0.0)
    acting = float(np.mean(together < -ACTIVE_DB))
    return Activity(address, acting, 1.0 - acting, float(max(-together.min(), 0.0)))


def _shown(rack: Rack, recordings: Sequence[Recording], rate: float) -> list[Shown]:
    """Seconds in which a value is shown, of recordings of all levels."""
    if rack.sidechains:
        return []
    order = np.argsort([float(np.mean(r.dry.astype(np.float64) ** 2)) for r in recordings])
    chosen = np.unique(np.linspace(0, len(recordings) - 1, min(MOST_SHOWN, len(recordings))).round().astype(int))
    bands = CriticalBands(rate)
    shown: dict[str, list[float]] = defaultdict(list)
    for i in chosen:
        sound = loudest_part(recordings[int(order[i])].dry, round(SHOWN_S * rate))
        if not np.any(sound):
            continue
        y = np.asarray(rack.copy()(sound, rate))
        with torch.no_grad():
            power = bands(torch.from_numpy(y)[None])[0].double().mean(0).sum(0).numpy()
        for e in evidence(rack, sound, rate):
            seconds = (e.times_s).astype(int)
            change, whole = (np.bincount(seconds, p) for p in (e.power.sum(0), power[: e.power.shape[1]]))
            shown[e.address] += list(change > 10.0 ** (SHOWN_DB / 10.0) * whole + 1e-12)
    return [Shown(a, float(np.mean(v))) for a, v in shown.items()]
