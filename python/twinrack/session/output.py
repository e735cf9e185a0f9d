"""A session to files: several formats at once, stems, loudness, a manifest; and from where it was after a crash."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio import Audio, check_rate
from ..disk import path_of
from ..files import check_audio, check_tags, check_writable, sweep
from ..loudness import Loudness, LoudnessMeter
from ..words import brief, to_float
from .cache import Cache, CacheEndedError, Recording, Stored
from .fingerprint import Fingerprints, engine_identity, has_python, hash_of
from .manifest import finite, write_manifest
from .media import Media
from .mix import Mix
from .render import End, bounds
from .timeline import Time
from .work import Files, Samples

if TYPE_CHECKING:
    from .session import Session

CHECK_S = 20.0  # of the mix, between two places from which it can go on
Progress = Callable[[float, float], None]


@dataclass
class RenderedMix:
    """What came of a rendering.

    Attributes:
        paths: of the mix, in each format; stems: of each channel that goes to the master.
        seconds: of sound; took_s: of time.
        loudness: of the mix as it was written; gain_db: how much louder it was made for that.
        clipped: samples beyond full scale, in files of whole numbers.
        reused: channels that came out of the cache; continued_s: from where it went on after a crash.
        notes: what else to know, a sentence each.
        manifest: the file that says what was rendered.
    """

    paths: list[Path]
    stems: dict[str, Path]
    seconds: float
    took_s: float
    loudness: Loudness
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
        if self.gain_db:
            lines.append(f"  made {self.gain_db:+.2f} dB louder; it was {self.loudness.integrated - self.gain_db:.1f} LUFS")
        if self.stems:
            lines.append(f"  {len(self.stems)} stems in {next(iter(self.stems.values())).parent}")
        if self.reused:
            lines.append(f"  not computed again: {', '.join(self.reused)}")
        if self.continued_s:
            lines.append(f"  went on from {self.continued_s:.1f} s")
        if self.clipped:
            lines.append(f"  {self.clipped} samples clipped: lower the master, or put a limiter on it")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def render_to(
    session: Session,
    *paths: str | os.PathLike[str],
    stems: str | os.PathLike[str] | None = None,
    stems_through_master: bool = True,
    start: Time | None = None,
    end: Time | None = None,
    tail: str | float | None = "auto",
    channel: str = "master",
    bits: int = 24,
    sample_rate: int | None = None,
    normalize_lufs: float | None = None,
    true_peak_db: float | None = None,
    cache: str | os.PathLike[str] | Cache | None = None,
    checkpoint: bool = False,
    resume: bool = False,
    manifest: bool = True,
    threads: int | None = None,
    step: int | None = None,
    progress: Progress | None = None,
) -> RenderedMix:
    """Render the mix to files, in constant memory.

    Args:
        paths: of the mix; endings choose WAV, FLAC, OGG, AIFF, MP3. They appear complete or not at all.
        stems: folder for what each channel that goes to the master adds to the mix, in the first path's format.
        stems_through_master: through a copy of the master's rack and fader, so that they add up where that is linear.
        start, end, tail: as in `render.render`.
        channel: whose sound instead of the master's.
        bits: 16, 24 (both with dither), or 32 (float in WAV and AIFF).
        sample_rate: Hz of the files, if it is to differ (soxr, highest quality).
        normalize_lufs: integrated loudness that the mix is brought to; stems get the same gain.
        true_peak_db: the mix is turned down so far that its true peak stays below, in dBTP, at most 0.
        cache: folder of channels rendered before; those that did not change are not computed again.
        checkpoint: keep, each 20 s of sound, what is needed to go on after a crash, in a folder beside the result.
        resume: go on from there; implies `checkpoint`. What was changed meanwhile is noticed, and it begins anew.
        manifest: write `NAME.manifest.json`: hashes of recordings, racks and results, versions, settings.
        threads, step: the result does not depend on them.
        progress: called with the seconds rendered and their expected number.

    Raises:
        OSError, ValueError: one sentence that names the file and the fix. Nothing half-written is left.
    """
    files = [path_of(p) for p in paths]
    if not files:
        raise ValueError("name the file to render to")
    rate = int(check_rate(sample_rate or session.sample_rate))
    for path in files:
        check_writable(path)
        check_audio(path, rate, session.width, bits)
    if len({p.resolve() for p in files}) < len(files):
        raise ValueError("two of the files to render to are the same")
    check_tags(session.metadata)
    for name, given in (("normalize_lufs", normalize_lufs), ("true_peak_db", true_peak_db)):
        if given is not None and to_float(given) is None:
            raise ValueError(f"{name} = {brief(given)}; give a number")
    normalize_lufs, true_peak_db = (None if v is None else float(v) for v in (normalize_lufs, true_peak_db))
    for name, value, low, high in (("normalize_lufs", normalize_lufs, -70, 0), ("true_peak_db", true_peak_db, -60, 0)):
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name} = {value:g} is outside {low} to {high}")
    folder = None if stems is None else Path(stems)
    if folder is not None and channel != "master":
        raise ValueError("stems are those of the master; leave out channel, or stems")
    job = _Job(
        session, files, folder, stems_through_master, session.channel(channel).name, bits,
        rate, (start, end, tail), (normalize_lufs, true_peak_db),
        None if cache is None else cache if isinstance(cache, Cache) else Cache(cache),
        checkpoint or resume, resume, manifest, threads, step, progress,
    )  # fmt: skip
    return job.run()


@dataclass
class _Job:
    """One call of `render_to`."""

    session: Session
    files: list[Path]
    stems: Path | None
    through_master: bool
    channel: str
    bits: int
    to_rate: int
    stretch: tuple[Time | None, Time | None, str | float | None]
    level: tuple[float | None, float | None]
    cache: Cache | None
    checkpoint: bool
    resume: bool
    manifest: bool
    threads: int | None
    step: int | None
    progress: Progress | None

    def run(self) -> RenderedMix:
        self.began = time.monotonic()
        self.date = datetime.now(UTC).isoformat(timespec="seconds")
        needs_hashes = self.cache is not None or self.checkpoint or self.manifest
        self.prints = Fingerprints(self.session) if needs_hashes else None
        made_stems = self.stems is not None and not self.stems.exists()
        if self.stems is not None:
            self.stems.mkdir(parents=True, exist_ok=True)
        try:
            return self._until_done()
        except BaseException:
            if made_stems and self.stems is not None:
                with suppress(OSError):  # something is in it
                    self.stems.rmdir()
            raise

    def _until_done(self) -> RenderedMix:
        if self.resume:
            for path in self.files:
                sweep(path)
        self.notes: list[str] = []
        python = [c.name for c in self.session if has_python(c)]
        if self.checkpoint and python:
            self.checkpoint = self.resume = False
            self.notes.append(
                f"{python[0]} has a Python effect, whose state cannot be kept, so nothing could go on after a crash"
            )
        without: set[str] = set()
        while True:
            try:
                with Media(self.session.sample_rate) as media:
                    return self._render(media, without)
            except CacheEndedError as error:  # the sound is asked for longer than it was stored
                without.add(error.key)
            except _AnewError:
                self.resume = False

    def _render(self, media: Media, without: set[str]) -> RenderedMix:
        reuse, recordings = self._cached(without)
        kept = False
        try:
            mix = Mix(
                self.session, media, [self.channel], stems=self.stems is not None, dry_stems=not self.through_master,
                reuse=reuse, record=recordings, apart=self.cache is not None,
            )  # fmt: skip
            reused = [name for name in reuse if name in mix.strips]
            end = bounds(self.session, mix, *self.stretch)
            self.stem_files = {name: self._stem_file(name) for name in mix.stem_names}
            self._check_targets()
            made = self._to_files(mix, end)
            kept = True
        finally:
            for recording in recordings.values():
                recording.close(kept)
            if self.cache is not None:
                self.cache.tidy()
        made.reused = reused
        made.notes += [*self.notes, *mix.faults()]
        if self.manifest:
            made.manifest = self._write_manifest(made)
        made.took_s = time.monotonic() - self.began
        return made

    def _check_targets(self) -> None:
        """Refuse to write over what the session plays, or one result over another."""
        played = {c.path.resolve() for ch in self.session for c in ch.clips if c.path is not None}
        played |= {Path(ch.frozen).resolve() for ch in self.session if ch.frozen is not None}
        if self.session.path is not None:
            played.add(self.session.path.resolve())
        seen: set[Path] = set()
        for path in [*self.files, *self.stem_files.values(), *([self._manifest_file()] if self.manifest else [])]:
            real = path.resolve()
            if real in played:
                raise ValueError(f"{path} is a recording of the session itself; give another output")
            if real in seen:
                raise ValueError(f"two results would be written to {path}; give the stems a folder of their own")
            seen.add(real)
        for path in self.stem_files.values():
            check_writable(path)

    def _manifest_file(self) -> Path:
        return self.files[0].with_name(f"{self.files[0].name}.manifest.json")

    def _stem_file(self, name: str) -> Path:
        assert self.stems is not None
        return self.stems / f"{name}{self.files[0].suffix}"

    def _cached(self, without: set[str]) -> tuple[dict[str, Any], dict[str, Recording]]:
        """Channels that need not be computed, and those whose sound is to be kept."""
        if self.cache is None or self.prints is None:
            return {}, {}
        reuse: dict[str, Any] = {}
        recordings: dict[str, Recording] = {}
        keys: set[str] = set()  # two channels may sound the same
        for channel in self.session:
            if not channel.rack.addresses() or channel.frozen:
                continue
            key = self.prints.before[channel.name]
            found = None if key in without else self.cache.find(key, self.session.width)
            if found is not None:
                reuse[channel.name] = found
            elif not self.resume and key not in keys and not has_python(channel):
                recordings[channel.name] = self.cache.record(key)
                keys.add(key)
        return reuse, recordings

    # --- the sound -----------------------------------------------------------------------------------------------------

    def _paths(self) -> list[list[Path]]:
        return [self.files, *([path] for path in self.stem_files.values())]

    def _writers(self, frames: int) -> Files:
        session = self.session
        first = 0 if self.stretch[0] is None else session.timeline.frames(self.stretch[0])
        return Files(
            self._paths(), round(session.sample_rate), self.to_rate, session.width, self.bits,
            frames=frames, tags=session.metadata, first_frame=first,
        )  # fmt: skip

    def _to_files(self, mix: Mix, end: End) -> RenderedMix:
        if not self.checkpoint and self.level == (None, None):
            return self._directly(mix, end)
        return self._in_two_goes(mix, end)

    def _tell(self, mix: Mix, end: End) -> None:
        if self.progress is not None:
            rate = self.session.sample_rate
            self.progress(max(end.at - end.first, 0) / rate, ((end.last or mix.end) - end.first) / rate)

    def _directly(self, mix: Mix, end: End) -> RenderedMix:
        meter = LoudnessMeter(self.session.sample_rate, self.session.width)
        with self._writers((end.last or mix.end) - end.first) as files:

            def give(blocks: list[Audio]) -> bool:
                ready, more = end.take(blocks)
                if ready is not None:
                    meter.process(np.ascontiguousarray(ready[0]))
                    files.write(ready)
                self._tell(mix, end)
                return more

            mix.run(give, threads=self.threads, step=self.step)
            self._reaches(mix, end)
            files.finish()
        return self._made(files, meter.finish(), 0.0)

    def _reaches(self, mix: Mix, end: End) -> None:
        """Refuse stored sounds that were shorter than what was given."""
        for strip in mix.all:
            if isinstance(strip.replay, Stored):
                strip.replay.reaches(end.looked + strip.lead)

    def _in_two_goes(self, mix: Mix, end: End) -> RenderedMix:
        """Into bare samples first."""
        rate = self.session.sample_rate
        folder = self.files[0].with_name(f".{self.files[0].name}.rendering")
        samples = Samples(folder, len(mix.outputs), self.session.width, self._identity(mix, end), self.resume)
        continued = 0.0
        try:
            if samples.state is not None:
                meta, arrays = samples.state["meta"], samples.state["arrays"]
                try:
                    mix.restore(meta["mix"], arrays)
                    end.restore(meta["end"], arrays)
                except (ValueError, KeyError, TypeError):
                    raise _AnewError from None
                continued = samples.frames / rate
            if samples.state is None or not samples.state["meta"]["complete"]:
                self._mix_into(samples, mix, end)
                self._reaches(mix, end)
            meter = LoudnessMeter(rate, self.session.width)
            for blocks in samples.read():
                meter.process(blocks[0])
            loudness = meter.finish()
            gain_db, note = self._gain(loudness)
            gain = np.float32(10.0 ** (gain_db / 20.0))
            with self._writers(samples.frames) as files:
                for blocks in samples.read():
                    files.write(blocks if gain_db == 0.0 else [x * gain for x in blocks])
                files.finish()
        except BaseException as error:
            samples.close()
            if isinstance(error, KeyboardInterrupt | CacheEndedError | _AnewError) or not (folder / "state.npz").exists():
                samples.remove()
            raise
        samples.remove()
        made = self._made(files, loudness, continued)
        made.gain_db, made.loudness = gain_db, loudness.louder(gain_db)
        made.notes += note
        return made

    def _mix_into(self, samples: Samples, mix: Mix, end: End) -> None:
        more = True
        interval = round(CHECK_S * self.session.sample_rate)
        due = mix.given + interval

        def give(blocks: list[Audio]) -> bool:
            nonlocal more
            ready, more = end.take(blocks)
            if ready is not None:
                samples.write(ready)
            self._tell(mix, end)
            return more and not (self.checkpoint and end.at >= due)

        while True:
            mix.run(give, threads=self.threads, step=self.step)
            due = mix.given + interval
            over = not more
            if self.checkpoint and (not over or samples.frames > interval):
                meta, arrays = mix.state()
                ends = end.state(arrays)
                samples.keep({"mix": meta, "end": ends, "complete": over}, arrays)
            if over:
                return

    def _identity(self, mix: Mix, end: End) -> str:
        assert not self.checkpoint or self.prints is not None
        what = [
            None if self.prints is None else self.prints.after, self.channel, [end.first, end.last, end.until], mix.stem_names,
            self.through_master, engine_identity(), sorted(mix.strips),
            [[bool(s.replay), s.splits, s.fader is not None, s.lead] for s in mix.all], mix.end,
        ]  # fmt: skip
        return hash_of(what)

    def _gain(self, loudness: Loudness) -> tuple[float, list[str]]:
        """How much louder, and what to say about it."""
        lufs, peak = self.level
        if not math.isfinite(loudness.true_peak_db) or (lufs is not None and not math.isfinite(loudness.integrated)):
            return 0.0, [] if self.level == (None, None) else [
                "the mix is silent, or shorter than the 0.4 s that a loudness takes, so its level stays as it is"
            ]
        if lufs is None:
            return (0.0 if peak is None else min(peak - loudness.true_peak_db, 0.0)), []
        gain = lufs - loudness.integrated
        if peak is not None and loudness.true_peak_db + gain > peak:
            less = peak - loudness.true_peak_db
            return less, [
                f"{lufs:g} LUFS would take the true peak to {loudness.true_peak_db + gain:.1f} dBTP; for {peak:g} it became "
                f"{loudness.integrated + less:.1f} LUFS: a limiter on the master lets it be louder"
            ]
        return gain, []

    def _made(self, files: Files, loudness: Loudness, continued: float) -> RenderedMix:
        return RenderedMix(
            self.files, self.stem_files, files.frames / self.session.sample_rate, 0.0, loudness,
            clipped=files.clipped, continued_s=continued,
        )  # fmt: skip

    # --- the manifest --------------------------------------------------------------------------------------------------

    def _write_manifest(self, made: RenderedMix) -> Path:
        assert self.prints is not None
        settings = {
            "start": self.stretch[0], "end": self.stretch[1], "tail": self.stretch[2], "channel": self.channel,
            "bits": self.bits, "sample_rate": self.to_rate, "normalize_lufs": self.level[0], "true_peak_db": self.level[1],
            "stems_through_master": self.through_master,
        }  # fmt: skip
        result = {
            "seconds": made.seconds, "gain_db": made.gain_db, "integrated_lufs": finite(made.loudness.integrated),
            "range_lu": made.loudness.range, "true_peak_dbtp": finite(made.loudness.true_peak_db), "clipped": made.clipped,
        }  # fmt: skip
        said = {"date": self.date, "settings": settings, "result": result, "notes": made.notes}
        return write_manifest(self._manifest_file(), self.session, self.prints, said, made.paths, made.stems.values())


class _AnewError(Exception):
    """What was kept does not fit; begin anew."""
