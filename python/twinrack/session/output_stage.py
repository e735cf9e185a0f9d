"""The output stage of a rendering: a last limiter that runs behind the mix instead of in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rack.rack import Rack
from ..render.level import LastLimiter, Level, added_limiter, last_limiter
from .channel import OWN, Channel
from .session import Session

LEAST_FADER_DB = -60.0  # of a fader that a limiter is heard through


@dataclass(frozen=True)
class OutputStage:
    """The mix of an output, and the limiter and gain that it goes through before it is written.

    Attributes:
        session: what is mixed; the session itself, or a copy without its last limiter and fader.
        limiter: runs behind the mix; None for none.
        fader_db: gain after that limiter, of the fader that was taken out.
    """

    session: Session
    limiter: LastLimiter | None = None
    fader_db: float = 0.0


def output_stage(session: Session, channel: str, level: Level, *, limit: bool, resampled: bool, lossy: bool) -> OutputStage:
    """Take out a last limiter where it must run behind the mix: before its input gain or its sample rate is known.

    Args:
        channel: whose sound is wanted.
        limit: add a limiter where there is none at the end.
        resampled, lossy: the files have another sample rate than the session, or a lossy format.
    """
    limiter = _last_limiter(session.channel(channel), session)
    if limiter is None:
        return OutputStage(session, added_limiter(Rack(), level.true_peak_db) if limit else None)
    in_place = not resampled and not level.wanted and not lossy
    if in_place or level.peak_db is not None:
        return OutputStage(session)
    mixed = session.copy()
    copy = mixed.channel(channel)
    fader_db, copy.gain_db = copy.gain_db, 0.0
    copy.rack = limiter.before
    return OutputStage(mixed, limiter, fader_db)


def _last_limiter(channel: Channel, session: Session) -> LastLimiter | None:
    """A limiter that a channel's rack ends with, if it is not automated and the fader behind it is only a gain."""
    limiter = None if channel.frozen is not None else last_limiter(channel.rack)
    if limiter is None or channel.gain_db < LEAST_FADER_DB:
        return None
    own = channel.rack.addresses().keys() - limiter.before.addresses().keys()
    if any(address.partition(".")[0] in (*own, *OWN) for address in channel.automation):
        return None
    fader = channel.fader.copy()
    fader.set("gain_db", 0.0)
    unity = np.eye(session.width, dtype=np.float32)
    return limiter if np.array_equal(Rack([fader])(unity, session.sample_rate), unity) else None
