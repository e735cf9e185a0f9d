"""A session that is given its clips' sound as one array."""

from __future__ import annotations

from ..audio import Audio
from ..rack.card import Value
from ..session.clip import Clip
from ..session.session import Session


class Stacked:
    """A session as a function of its stems, (channels with clips x width, frames), at its own rate."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __call__(self, stems: Audio, sample_rate: float) -> Audio:
        return with_stems(self.session, stems).render()

    def get(self, address: str) -> Value:
        return self.session.get(address)


def with_stems(session: Session, stems: Audio) -> Session:
    """A copy of the session with parts of an array in place of its clips.

    Args:
        stems: (channels with clips x width, frames), in the session's order.
    """
    copy = session.copy()
    copy.end = f"{stems.shape[1]} frames"
    inputs = [c for c in copy if c.clips]
    for i, channel in enumerate(inputs):
        channel.clips = [Clip(stems[session.width * i : session.width * (i + 1)])]
    return copy
