"""Buffers between the channels of a mix."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from ..audio import Audio


class Buffer:
    """Frames that a channel has computed and others have not yet taken, safe between threads."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.parts: deque[tuple[int, Audio]] = deque()
        self.end = 0
        self._lock = threading.Lock()

    def put(self, x: Audio) -> None:
        """The next frames, (channels, frames)."""
        with self._lock:
            if x.shape[1]:
                self.parts.append((self.end, x))
                self.end += x.shape[1]

    def get(self, a: int, b: int) -> Audio:
        """Frames a to b; before 0 there is silence. Not to be written to."""
        with self._lock:
            parts = [(first, x) for first, x in self.parts if first < b and first + x.shape[1] > a]
        if len(parts) == 1 and a >= 0:
            first, x = parts[0]
            return x[:, a - first : b - first]
        y = np.zeros((self.channels, b - a), np.float32)
        for first, x in parts:
            begin, end = max(a, first), min(b, first + x.shape[1])
            y[:, begin - a : end - a] = x[:, begin - first : end - first]
        return y

    def forget(self, until: int) -> None:
        """Let go of what lies wholly before a frame."""
        with self._lock:
            while self.parts and self.parts[0][0] + self.parts[0][1].shape[1] <= until:
                self.parts.popleft()
