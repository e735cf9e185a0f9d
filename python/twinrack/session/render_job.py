"""One rendering of a session to files: the mix, the output stage, the files, and resuming after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..audio import Audio
from ..measure.loudness import Loudness, LoudnessMeter
from ..render.file import AgainError, over_full_scale
from ..render.level import Finish, Keep, Level, LevelResult, is_lossy, reach_level
from ..system.disk import check_writable, remove_leftovers
from .cache import Cache, CacheEndedError, CacheWriter, StoredSound
from .channel import MASTER
from .fingerprint import Fingerprints, engine_identity, has_python, hash_of, keeps_no_state
from .manifest import finite, write_manifest
from .media import Media
from .mix import Mix
from .output_stage import output_stage
from .render import RenderRange, render_range
from .rendered_mix import RenderedMix
from .session import Session
from .sinks import AudioFiles, Spool
from .timeline import Time

CHECKPOINT_S = 20.0  # of the mix, between two checkpoints
Progress = Callable[[float, float], None]


@dataclass(frozen=True, kw_only=True)
class OutputSettings:
    """The arguments of `output.render_to`, checked: `stems` is a folder, `level` the loudness and peaks that are wanted."""

    files: list[Path]
    stems: Path | None
    through_master: bool
    channel: str
    start: Time | None
    end: Time | None
    tail: str | float | None
    bits: int
    sample_rate: int
    level: Level
    limit: bool
    cache: Cache | None
    checkpoint: bool
    resume: bool
    manifest: bool
    threads: int | None
    step: int | None
    progress: Progress | None

    @property
    def lossy(self) -> bool:
        """Whether any file's format is lossy."""
        return any(is_lossy(path) for path in self.files)


class RenderJob:
    """One call of `output.render_to`."""

    def __init__(self, session: Session, settings: OutputSettings) -> None:
        self.session, self.settings = session, settings
        self.began = time.monotonic()
        self.date = datetime.now(UTC).isoformat(timespec="seconds")
        needs_hashes = settings.cache is not None or settings.checkpoint or settings.manifest
        self.hashes = Fingerprints(session) if needs_hashes else None
        rate = round(session.sample_rate)
        self.stage = output_stage(
            session, settings.channel, settings.level,
            limit=settings.limit, resampled=settings.sample_rate != rate, lossy=settings.lossy,
        )  # fmt: skip
        self.mixed = self.stage.session
        self.keys = self.hashes  # of what is mixed, for the cache
        if self.mixed is not session:
            self.keys = None if settings.cache is None else Fingerprints(self.mixed)
        self.checkpoint, self.resume = settings.checkpoint, settings.resume
        self.stem_files: dict[str, Path] = {}
        self.notes: list[str] = []

    def run(self) -> RenderedMix:
        """Render.

        Raises:
            OSError, ValueError: as `output.render_to`.
        """
        folder = self.settings.stems
        new_folder = folder is not None and not folder.exists()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._until_done()
        except BaseException:
            if new_folder and folder is not None:
                with suppress(OSError):  # something is in it
                    folder.rmdir()
            raise

    def _until_done(self) -> RenderedMix:
        if self.resume:
            for path in self.settings.files:
                remove_leftovers(path)
        outside = [c.name for c in self.session if keeps_no_state(c)]
        if self.checkpoint and outside:
            self.checkpoint = self.resume = False
            self.notes.append(
                f"{outside[0]} has an effect outside the engine, whose state cannot be kept: nothing could go on after a crash"
            )
        without: set[str] = set()
        while True:
            try:
                with Media(self.session.sample_rate) as media:
                    return self._render(media, without)
            except CacheEndedError as error:  # the sound is asked for longer than it was stored
                without.add(error.key)
            except _StaleCheckpointError:
                self.resume = False

    def _render(self, media: Media, without: set[str]) -> RenderedMix:
        settings = self.settings
        reuse, writers = self._cached(without)
        complete = False
        try:
            mix = Mix(
                self.mixed, media, [settings.channel], stems=settings.stems is not None, dry_stems=not settings.through_master,
                reuse=reuse, record=writers, apart=settings.cache is not None,
            )  # fmt: skip
            reused = [name for name in reuse if name in mix.strips]
            wanted = render_range(self.session, mix, settings.start, settings.end, settings.tail)
            self.stem_files = {name: self._stem_file(name) for name in mix.stem_names}
            self._check_targets()
            rendered = self._to_files(mix, wanted)
            complete = True
        finally:
            for writer in writers.values():
                writer.close(complete)
            if settings.cache is not None:
                settings.cache.tidy()
        rendered.reused = reused
        rendered.notes += [*self.notes, *mix.faults()]
        if settings.manifest:
            rendered.manifest = self._write_manifest(rendered)
        rendered.took_s = time.monotonic() - self.began
        return rendered

    def _check_targets(self) -> None:
        """Refuse to write over what the session plays, or one result over another."""
        played = {c.path.resolve() for ch in self.session for c in ch.clips if c.path is not None}
        played |= {Path(ch.frozen).resolve() for ch in self.session if ch.frozen is not None}
        if self.session.path is not None:
            played.add(self.session.path.resolve())
        targets: set[Path] = set()
        manifest = [self._manifest_file()] if self.settings.manifest else []
        for path in [*self.settings.files, *self.stem_files.values(), *manifest]:
            real = path.resolve()
            if real in played:
                raise ValueError(f"{path} is a recording of the session itself; give another output")
            if real in targets:
                raise ValueError(f"two results would be written to {path}; give the stems a folder of their own")
            targets.add(real)
        for path in self.stem_files.values():
            check_writable(path)

    def _manifest_file(self) -> Path:
        first = self.settings.files[0]
        return first.with_name(f"{first.name}.manifest.json")

    def _stem_file(self, name: str) -> Path:
        assert self.settings.stems is not None
        return self.settings.stems / f"{name}{self.settings.files[0].suffix}"

    def _cached(self, without: set[str]) -> tuple[dict[str, StoredSound], dict[str, CacheWriter]]:
        """Channels that need not be computed, and those whose sound is to be stored."""
        reuse: dict[str, StoredSound] = {}
        writers: dict[str, CacheWriter] = {}
        cache = self.settings.cache
        if cache is None or self.keys is None:
            return reuse, writers
        begun: set[str] = set()  # two channels may sound the same
        for channel in self.mixed:
            if not channel.rack.addresses() or channel.frozen:
                continue
            key = self.keys.before[channel.name]
            stored = None if key in without else cache.find(key, self.session.width)
            if stored is not None:
                reuse[channel.name] = stored
            elif not self.resume and key not in begun and not has_python(channel):
                writers[channel.name] = cache.record(key)
                begun.add(key)
        return reuse, writers

    def _paths(self) -> list[list[Path]]:
        return [self.settings.files, *([path] for path in self.stem_files.values())]

    def _finish(self, sound: int, before_db: float = 0.0, after_db: float | None = None) -> Finish:
        """The processing of the mix (sound 0), or of a stem, before it is written."""
        rate, after = round(self.session.sample_rate), self.stage.fader_db if after_db is None else after_db
        limiter = None if self.stage.limiter is None else self.stage.limiter.limiter
        if sound and not self.settings.through_master:  # neither the master's limiter nor its fader
            limiter, after = None, after - self.stage.fader_db
        return Finish(rate, self.settings.sample_rate, self.session.width, limiter, before_db, after)

    def _writers(self, frames: int, before_db: float = 0.0, after_db: float | None = None) -> AudioFiles:
        session, settings = self.session, self.settings
        first = 0 if settings.start is None else session.timeline.frames(settings.start)
        return AudioFiles(
            self._paths(), round(session.sample_rate), settings.sample_rate, session.width, settings.bits,
            frames=frames, tags=session.metadata, first_frame=first,
            finish=lambda sound: self._finish(sound, before_db, after_db),
        )  # fmt: skip

    def _to_files(self, mix: Mix, wanted: RenderRange) -> RenderedMix:
        if not self.checkpoint and not self._needs_gain:
            return self._directly(mix, wanted)
        return self._through_spool(mix, wanted)

    @property
    def _needs_gain(self) -> bool:
        """Whether the gain depends on the loudness or peaks of the files."""
        return self.settings.level.wanted or (self.stage.limiter is not None and self.settings.lossy)

    def _report_progress(self, mix: Mix, wanted: RenderRange) -> None:
        if self.settings.progress is not None:
            rate = self.session.sample_rate
            frames = (wanted.last or mix.end) - wanted.first
            self.settings.progress(max(wanted.seen - wanted.first, 0) / rate, frames / rate)

    def _directly(self, mix: Mix, wanted: RenderRange) -> RenderedMix:
        with self._writers((wanted.last or mix.end) - wanted.first) as files:
            take = wanted.into(files.write)

            def sink(blocks: list[Audio]) -> bool:
                more = take(blocks)
                self._report_progress(mix, wanted)
                return more

            mix.run(sink, threads=self.settings.threads, step=self.settings.step)
            self._require_stored(mix, wanted)
            files.finish()
            return self._rendered(files, files.measured(), 0.0)

    def _require_stored(self, mix: Mix, wanted: RenderRange) -> None:
        """Refuse stored sounds that end before the frames that were needed of them."""
        for strip in mix.all:
            if strip.stored is not None:
                strip.stored.require(wanted.needed + strip.lead)

    def _through_spool(self, mix: Mix, wanted: RenderRange) -> RenderedMix:
        """First into raw samples, then, with the gain that is needed, into the files."""
        first = self.settings.files[0]
        folder = first.with_name(f".{first.name}.rendering")
        spool = Spool(folder, len(mix.outputs), self.session.width, self._identity(mix, wanted), self.resume)
        continued_s = 0.0
        try:
            if spool.state is not None:
                meta, arrays = spool.state["meta"], spool.state["arrays"]
                try:
                    mix.restore(meta["mix"], arrays)
                    wanted.restore(meta["range"], arrays)
                except (ValueError, KeyError, TypeError):
                    raise _StaleCheckpointError from None
                continued_s = spool.frames / self.session.sample_rate
            if spool.state is None or not spool.state["meta"]["complete"]:
                self._mix_into(spool, mix, wanted)
                self._require_stored(mix, wanted)
            rendered = self._from_spool(spool, continued_s)
        except BaseException as error:
            spool.close()
            given_up = isinstance(error, KeyboardInterrupt | CacheEndedError | _StaleCheckpointError)
            if given_up or not (folder / "state.npz").exists():
                spool.remove()
            raise
        spool.remove()
        return rendered

    def _from_spool(self, spool: Spool, continued_s: float) -> RenderedMix:
        """Write the files, with the gain that they need."""
        rendered: RenderedMix | None = None
        settings = self.settings

        def quick(before_db: float, after_db: float) -> Loudness:
            meter = LoudnessMeter(settings.sample_rate, self.session.width)
            for y in self._finish(0, before_db, after_db).all(blocks[0] for blocks in spool.read(sounds=1)):
                meter.process(np.ascontiguousarray(y))
            return meter.finish()

        def write(before_db: float, after_db: float | None, keep: Keep) -> None:
            nonlocal rendered
            with suppress(AgainError), self._writers(spool.frames, before_db, after_db) as files:
                for blocks in spool.read():
                    files.write(blocks)
                files.finish()
                measured = files.measured()
                if not keep(measured, max(w.clipped for w in files.writers[0])):
                    raise AgainError
                rendered = self._rendered(files, measured, continued_s)

        result = LevelResult()
        if self._needs_gain:
            where = "the master" if settings.channel == MASTER else settings.channel
            result = reach_level(
                settings.level, self.stage.limiter, quick, write, fader_db=self.stage.fader_db, what="the mix", where=where
            )  # fmt: skip
        else:
            write(0.0, None, lambda measured, clipped: True)
        assert rendered is not None
        rendered.gain_db = result.gain_db
        rendered.notes += result.notes
        return rendered

    def _mix_into(self, spool: Spool, mix: Mix, wanted: RenderRange) -> None:
        """Mix into the spool, with a checkpoint now and then."""
        more = True
        interval = round(CHECKPOINT_S * self.session.sample_rate)
        due = mix.given + interval
        take = wanted.into(spool.write)

        def sink(blocks: list[Audio]) -> bool:
            nonlocal more
            more = take(blocks)
            self._report_progress(mix, wanted)
            return more and not (self.checkpoint and wanted.seen >= due)

        while True:
            mix.run(sink, threads=self.settings.threads, step=self.settings.step)
            due = mix.given + interval
            over = not more
            if self.checkpoint and (not over or spool.frames > interval):
                meta, arrays = mix.state()
                ends = wanted.state(arrays)
                spool.keep({"mix": meta, "range": ends, "complete": over}, arrays)
            if over:
                return

    def _identity(self, mix: Mix, wanted: RenderRange) -> str:
        """The hash of what is rendered, and of the form in which it is computed."""
        assert not self.checkpoint or self.hashes is not None
        what = [
            None if self.hashes is None else self.hashes.after, self.settings.channel,
            [wanted.first, wanted.last, wanted.sounds_until], mix.stem_names,
            self.settings.through_master, engine_identity(), sorted(mix.strips),
            [[s.stored is not None, s.tapped, s.fader is not None, s.lead] for s in mix.all], mix.end,
            self.mixed is self.session,
        ]  # fmt: skip
        return hash_of(what)

    def _rendered(self, files: AudioFiles, measured: list[Loudness], continued_s: float) -> RenderedMix:
        paths = self.settings.files
        rendered = RenderedMix(
            paths, self.stem_files, files.frames / self.session.sample_rate, 0.0, measured[0],
            dict(zip(paths, measured, strict=True)), clipped=files.clipped, continued_s=continued_s,
        )  # fmt: skip
        for path, loudness in rendered.measured.items():
            if is_lossy(path):
                rendered.notes += over_full_scale(path, loudness)
        return rendered

    def _write_manifest(self, rendered: RenderedMix) -> Path:
        assert self.hashes is not None
        s, level = self.settings, self.settings.level
        settings = {
            "start": s.start, "end": s.end, "tail": s.tail, "channel": s.channel,
            "bits": s.bits, "sample_rate": s.sample_rate, "normalize_lufs": level.lufs,
            "normalize_peak_db": level.peak_db, "true_peak_db": level.true_peak_db, "limit": s.limit,
            "stems_through_master": s.through_master,
        }  # fmt: skip
        result = {
            "seconds": rendered.seconds, "gain_db": rendered.gain_db,
            "integrated_lufs": finite(rendered.loudness.integrated), "range_lu": rendered.loudness.range,
            "true_peak_dbtp": finite(rendered.loudness.true_peak_db), "clipped": rendered.clipped,
        }  # fmt: skip
        more = {"date": self.date, "settings": settings, "result": result, "notes": rendered.notes}
        return write_manifest(
            self._manifest_file(), self.session, self.hashes, more, rendered.paths, rendered.stems.values()
        )  # fmt: skip


class _StaleCheckpointError(Exception):
    """The checkpoint does not fit what is rendered; begin anew."""
