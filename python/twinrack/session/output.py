"""Rendering a session to files: several formats at once, stems, loudness, a cache, checkpoints and a manifest."""

from __future__ import annotations

import os
from pathlib import Path

from ..audio import check_rate
from ..files.audio_file import check_audio, check_tags
from ..render.level import Level
from ..system.disk import check_writable, path_of
from .cache import Cache
from .render_job import OutputSettings, Progress, RenderJob
from .rendered_mix import RenderedMix
from .session import Session
from .timeline import Time


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
            where the channel's rack ends in one without automation, behind which the fader is only a gain; otherwise it is as
            high as `true_peak_db` allows, and `notes` says what is missing. Stems get the same gain.
        normalize_peak_db: instead, the true peak of the files, -60 to 0 dBTP; the gain comes after all.
        true_peak_db: what the true peak of the files stays below, -60 to 0 dBTP.
        limit: add a limiter at the very end where there is none, with the ceiling `true_peak_db`, or -1 dBTP.
        cache: folder of channels rendered before; those that did not change are not computed again.
        checkpoint: write, each 20 s of sound, what is needed to go on after a crash, to a folder beside the result.
        resume: go on from the last checkpoint; implies `checkpoint`. After a change of the session it begins anew.
        manifest: write `NAME.manifest.json`: hashes of recordings, racks and results, versions, settings.
        threads, step: the result does not depend on them.
        progress: called with the seconds rendered so far and their expected number.

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
    if cache is not None and not isinstance(cache, Cache):
        cache = Cache(cache)
    settings = OutputSettings(
        files=files, stems=folder, through_master=stems_through_master, channel=session.channel(channel).name,
        start=start, end=end, tail=tail, bits=bits, sample_rate=rate, level=level, limit=limit, cache=cache,
        checkpoint=checkpoint or resume, resume=resume, manifest=manifest, threads=threads, step=step, progress=progress,
    )  # fmt: skip
    return RenderJob(session, settings).run()
