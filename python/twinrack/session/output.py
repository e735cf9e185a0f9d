"""A session to files: several formats at once, stems, loudness, a manifest; and from where it was after a crash."""

from __future__ import annotations

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
from ..files.audio_file import check_audio, check_tags
from ..measure.loudness import Loudness, LoudnessMeter
from ..rack.rack import Rack
from ..render.file import AgainError, over_full_scale
from ..render.level import Finish, Keep, LastLimiter, Level, LevelResult, added_limiter, is_lossy, last_limiter, reach_level
from ..system.disk import check_writable, path_of, remove_leftovers
from .cache import Cache, CacheEndedError, Recording, Stored
from .channel import OWN, Channel
from .fingerprint import Fingerprints, engine_identity, has_python, hash_of
from .manifest import finite, write_manifest
from .media import Media
from .mix import Mix
from .render import End, bounds
from .timeline import Time
from .work import Files, Samples

if TYPE_CHECKING:
    from .session import Session

LEAST_FADER_DB = -60.0  # of a fader that a limiter is heard through
CHECK_S = 20.0  # of the mix, between two places from which it can go on
Progress = Callable[[float, float], None]


@dataclass
class RenderedMix:
    """What came of a rendering.

    Attributes:
        paths: of the mix, in each format; stems: of each channel that goes to the master.
        seconds: of sound; took_s: of time.
        loudness: of the first of these files as it is read back; measured: of each.
        gain_db: how much louder the mix was made for that, before the last limiter where there is one.
        clipped: samples beyond full scale, in files of integers.
        reused: channels that came out of the cache; continued_s: from where it went on after a crash.
        notes: what else to know, a sentence each.
        manifest: the file that says what was rendered.
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
            apart = (other.integrated - self.loudness.integrated, other.true_peak_db - self.loudness.true_peak_db)
            if max(map(abs, apart)) > 0.05:
                lines.append(f"  {path.name}: {other.integrated:.1f} LUFS, true peak {other.true_peak_db:.1f} dBTP")
        if self.gain_db:
            lines.append(f"  made {self.gain_db:+.2f} dB louder")
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
    stems: str | os.PathLike[str] | bool | None = None,
    stems_through_master: bool = True,
    start: Time | None = None,
    end: Time | None = None,
    tail: str | float | None = "auto",
    channel: str = "master",
    bits: int = 24,
    sample_rate: int | None = None,
    normalize_lufs: float | None = None,
    normalize_peak_db: float | None = None,
    true_peak_db: float | None = None,
    limit: bool = False,
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
        stems: folder for what each channel that goes to the master adds to the mix, in the first path's format; True for
            `NAME.stems` beside the first path.
        stems_through_master: through a copy of the master's rack and fader, so that they add up where that is linear.
        start, end, tail: as in `render.render`.
        channel: whose sound instead of the master's.
        bits: 16, 24 (both with dither), or 32 (float in WAV and AIFF).
        sample_rate: Hz of the files, if it is to differ (soxr, highest quality).
        normalize_lufs: integrated loudness of the files, -70 to 0 (ITU-R BS.1770-4). The gain comes before the last limiter
            where the channel's rack ends in one that stands still, behind which the fader is only a gain; otherwise it is as
            high as `true_peak_db` allows, and `notes` says what is missing. Stems get the same gain.
        normalize_peak_db: instead, the true peak of the files, -60 to 0 dBTP; the gain comes after all.
        true_peak_db: what the true peak of the files stays below, -60 to 0 dBTP.
        limit: add a limiter behind all where there is none at the end, with the ceiling `true_peak_db`, or -1 dBTP.
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
    level = Level.of(normalize_lufs, normalize_peak_db, true_peak_db)
    if isinstance(stems, bool):
        stems = files[0].with_name(f"{files[0].stem}.stems") if stems else None
    folder = None if stems is None else Path(stems)
    if folder is not None and channel != "master":
        raise ValueError("stems are those of the master; leave out channel, or stems")
    job = _Job(
        session, files, folder, stems_through_master, session.channel(channel).name, bits,
        rate, (start, end, tail), level, limit,
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
    level: Level
    limit: bool
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
        self.lossy = any(is_lossy(path) for path in self.files)
        self._split()
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

    def _split(self) -> None:
        """Take off a last limiter where its input or its rate is another one than the session's: it runs behind the mix."""
        self.mixed, self.cached, self.fader_db = self.session, self.prints, 0.0
        self.ending = _last_limiter(self.session.channel(self.channel), self.session)
        if self.ending is None:
            if self.limit:
                self.ending = added_limiter(Rack(), self.level.true_peak_db)
            return
        same = self.to_rate == round(self.session.sample_rate) and not self.level.wanted and not self.lossy
        if same or self.level.peak_db is not None:
            self.ending = None
            return
        self.mixed = self.session.copy()
        channel = self.mixed.channel(self.channel)
        self.fader_db, channel.gain_db = channel.gain_db, 0.0
        channel.rack = self.ending.before
        self.cached = None if self.cache is None else Fingerprints(self.mixed)

    def _until_done(self) -> RenderedMix:
        if self.resume:
            for path in self.files:
                remove_leftovers(path)
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
                self.mixed, media, [self.channel], stems=self.stems is not None, dry_stems=not self.through_master,
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
        if self.cache is None or self.cached is None:
            return {}, {}
        reuse: dict[str, Any] = {}
        recordings: dict[str, Recording] = {}
        keys: set[str] = set()  # two channels may sound the same
        for channel in self.mixed:
            if not channel.rack.addresses() or channel.frozen:
                continue
            key = self.cached.before[channel.name]
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

    def _finish(self, sound: int, before_db: float = 0.0, after_db: float | None = None) -> Finish:
        """What the mix, or a stem, goes through before it is written."""
        rate, after = round(self.session.sample_rate), self.fader_db if after_db is None else after_db
        limiter = None if self.ending is None else self.ending.limiter
        if sound and not self.through_master:  # neither the master's limiter nor its fader
            limiter, after = None, after - self.fader_db
        return Finish(rate, self.to_rate, self.session.width, limiter, before_db, after)

    def _writers(self, frames: int, before_db: float = 0.0, after_db: float | None = None) -> Files:
        session = self.session
        first = 0 if self.stretch[0] is None else session.timeline.frames(self.stretch[0])
        return Files(
            self._paths(), round(session.sample_rate), self.to_rate, session.width, self.bits,
            frames=frames, tags=session.metadata, first_frame=first,
            finish=lambda sound: self._finish(sound, before_db, after_db),
        )  # fmt: skip

    def _to_files(self, mix: Mix, end: End) -> RenderedMix:
        if not self.checkpoint and not self._settles:
            return self._directly(mix, end)
        return self._in_two_goes(mix, end)

    @property
    def _settles(self) -> bool:
        """Whether the gain depends on what the files become."""
        return self.level.wanted or (self.ending is not None and self.lossy)

    def _tell(self, mix: Mix, end: End) -> None:
        if self.progress is not None:
            rate = self.session.sample_rate
            self.progress(max(end.at - end.first, 0) / rate, ((end.last or mix.end) - end.first) / rate)

    def _directly(self, mix: Mix, end: End) -> RenderedMix:
        with self._writers((end.last or mix.end) - end.first) as files:

            def give(blocks: list[Audio]) -> bool:
                ready, more = end.take(blocks)
                if ready is not None:
                    files.write(ready)
                self._tell(mix, end)
                return more

            mix.run(give, threads=self.threads, step=self.step)
            self._reaches(mix, end)
            files.finish()
            return self._made(files, files.measured(), 0.0)

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
            made = self._from(samples, continued)
        except BaseException as error:
            samples.close()
            if isinstance(error, KeyboardInterrupt | CacheEndedError | _AnewError) or not (folder / "state.npz").exists():
                samples.remove()
            raise
        samples.remove()
        return made

    def _from(self, samples: Samples, continued: float) -> RenderedMix:
        """Write the files, with the gain that they need."""
        made: RenderedMix | None = None

        def quick(before_db: float, after_db: float) -> Loudness:
            meter = LoudnessMeter(self.to_rate, self.session.width)
            for y in self._finish(0, before_db, after_db).all(blocks[0] for blocks in samples.read(sounds=1)):
                meter.process(np.ascontiguousarray(y))
            return meter.finish()

        def write(before_db: float, after_db: float | None, keep: Keep) -> None:
            nonlocal made
            with suppress(AgainError), self._writers(samples.frames, before_db, after_db) as files:
                for blocks in samples.read():
                    files.write(blocks)
                files.finish()
                measured = files.measured()
                if not keep(measured, max(w.clipped for w in files.writers[0])):
                    raise AgainError
                made = self._made(files, measured, continued)

        level_result = LevelResult()
        if self._settles:
            where = "the master" if self.channel == "master" else self.channel
            level_result = reach_level(
                self.level, self.ending, quick, write, fader_db=self.fader_db, what="the mix", where=where
            )
        else:
            write(0.0, None, lambda measured, clipped: True)
        assert made is not None
        made.gain_db = level_result.gain_db
        made.notes += level_result.notes
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
            self.mixed is self.session,
        ]  # fmt: skip
        return hash_of(what)

    def _made(self, files: Files, measured: list[Loudness], continued: float) -> RenderedMix:
        made = RenderedMix(
            self.files, self.stem_files, files.frames / self.session.sample_rate, 0.0, measured[0],
            dict(zip(self.files, measured, strict=True)), clipped=files.clipped, continued_s=continued,
        )  # fmt: skip
        for path, found in made.measured.items():
            if is_lossy(path):
                made.notes += over_full_scale(path, found)
        return made

    # --- the manifest --------------------------------------------------------------------------------------------------

    def _write_manifest(self, made: RenderedMix) -> Path:
        assert self.prints is not None
        settings = {
            "start": self.stretch[0], "end": self.stretch[1], "tail": self.stretch[2], "channel": self.channel,
            "bits": self.bits, "sample_rate": self.to_rate, "normalize_lufs": self.level.lufs,
            "normalize_peak_db": self.level.peak_db, "true_peak_db": self.level.true_peak_db, "limit": self.limit,
            "stems_through_master": self.through_master,
        }  # fmt: skip
        result = {
            "seconds": made.seconds, "gain_db": made.gain_db, "integrated_lufs": finite(made.loudness.integrated),
            "range_lu": made.loudness.range, "true_peak_dbtp": finite(made.loudness.true_peak_db), "clipped": made.clipped,
        }  # fmt: skip
        said = {"date": self.date, "settings": settings, "result": result, "notes": made.notes}
        return write_manifest(self._manifest_file(), self.session, self.prints, said, made.paths, made.stems.values())


def _last_limiter(channel: Channel, session: Session) -> LastLimiter | None:
    """A limiter that a channel's sound ends with: it stands still, and the fader behind it is only a gain."""
    found = None if channel.frozen is not None else last_limiter(channel.rack)
    if found is None or channel.gain_db < LEAST_FADER_DB:
        return None
    own = channel.rack.addresses().keys() - found.before.addresses().keys()
    if any(address.partition(".")[0] in (*own, *OWN) for address in channel.automation):
        return None
    fader = channel.fader.copy()
    fader.set("gain_db", 0.0)
    one = np.eye(session.width, dtype=np.float32)
    return found if np.array_equal(Rack([fader])(one, session.sample_rate), one) else None


class _AnewError(Exception):
    """What was kept does not fit; begin anew."""
