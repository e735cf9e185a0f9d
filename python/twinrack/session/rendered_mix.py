"""The result of rendering a session to files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..measure.loudness import Loudness


@dataclass
class RenderedMix:
    """The files that a rendering wrote, and their measurements.

    Attributes:
        paths: of the mix, in each format; stems: of each channel that goes to the master.
        seconds: of sound; took_s: of time.
        loudness: of the first of these files, read back; measured: of each.
        gain_db: how much louder the mix was made for that, before the last limiter where there is one.
        clipped: samples beyond full scale, in files of integers.
        reused: channels that came out of the cache; continued_s: where it resumed after a crash, in seconds.
        notes: remarks, a sentence each.
        manifest: the file of hashes and settings.
    """

    paths: list[Path]
    stems: dict[str, Path]
    seconds: float
    took_s: float
    loudness: Loudness
    measured: dict[Path, Loudness] = field(default_factory=dict)
    gain_db: float = 0.0
    clipped: int = 0
    reused: list[str] = field(default_factory=list)
    continued_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    manifest: Path | None = None

    def __str__(self) -> str:
        speed = self.seconds / max(self.took_s, 1e-9)
        lines = [f"{', '.join(map(str, self.paths))}: {self.seconds:.2f} s in {self.took_s:.2f} s ({speed:.0f} × realtime)"]
        lines.append(f"  {self.loudness}")
        for path, other in self.measured.items():
            differences = (other.integrated - self.loudness.integrated, other.true_peak_db - self.loudness.true_peak_db)
            if max(map(abs, differences)) > 0.05:
                lines.append(f"  {path.name}: {other.integrated:.1f} LUFS, true peak {other.true_peak_db:.1f} dBTP")
        if self.gain_db:
            lines.append(f"  gain {self.gain_db:+.2f} dB")
        if self.stems:
            lines.append(f"  {len(self.stems)} stems in {next(iter(self.stems.values())).parent}")
        if self.reused:
            lines.append(f"  not computed again: {', '.join(self.reused)}")
        if self.continued_s:
            lines.append(f"  went on from {self.continued_s:.1f} s")
        if self.clipped:
            lines.append(f"  {self.clipped} samples clipped: lower the master, or put a limiter on it")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])
