"""Responses of a rectangular room by its image sources, for sounds as a microphone in a room would record them.

J. B. Allen, D. A. Berkley, Image method for efficiently simulating small-room acoustics, JASA 65(4), 1979. All walls reflect
alike, by as much as gives the reverberation time (read from -5 to -25 dB).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..measure.impulse import rt60

SPEED_M_S = 343.0
ROOM_M = (6.1, 4.7, 2.9)
SOURCE_M = (2.1, 1.7, 1.5)
EARS_M = ((3.9, 2.95, 1.6), (3.9, 3.15, 1.6))  # left and right
MOST_IMAGES = 40  # rooms to each side, in one direction
ROUNDS = 4  # in which the reflection is found

Numbers = npt.NDArray[np.float64]


@lru_cache(maxsize=16)
def room_response(rt60_s: float, sample_rate: float, channels: int) -> npt.NDArray[np.float32]:
    """The response from a source to two ears in a room, without the delay of the direct sound, which has the gain 1.

    Args:
        rt60_s: seconds in which the level falls by 60 dB, 0.1 to 5.
        sample_rate: Hz.
        channels: more than two hear what the second does.

    Returns:
        (channels, frames), as long as the decay.
    """
    size, frames = np.array(ROOM_M), round(rt60_s * sample_rate)
    reach = np.minimum(np.ceil(SPEED_M_S * rt60_s / (2.0 * size)).astype(int), MOST_IMAGES)
    grids = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), *(np.array([0, 1]),) * 3, indexing="ij")
    order, mirrored = np.stack([g.ravel() for g in grids[:3]]), np.stack([g.ravel() for g in grids[3:]])
    walls = np.abs(order - mirrored).sum(0) + np.abs(order).sum(0)
    place = (1 - 2 * mirrored) * np.array(SOURCE_M)[:, None] + 2 * order * size[:, None]
    ears = [_images(place - np.array(ear)[:, None], walls, frames, sample_rate) for ear in EARS_M]
    # a wall that reflects r times the pressure: in a decay by 60 dB a ray meets as many walls as in the mean free path
    surface = 2.0 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    log_r = -0.5 * 0.161 * float(np.prod(size)) / (surface * rt60_s)
    for _ in range(ROUNDS):
        log_r *= rt60(_response(ears[0], np.exp(log_r), frames), sample_rate, -5.0, -25.0) / rt60_s
    responses = [_response(ear, np.exp(log_r), frames) for ear in ears]
    return np.asarray([responses[min(c, 1)] for c in range(channels)], np.float32)


def _images(to_ear: Numbers, walls: npt.NDArray[np.int64], frames: int, rate: float) -> tuple[Numbers, Numbers, Numbers]:
    """Frames after the direct sound, walls on the way and gain of spreading of each image that is heard in time."""
    distance = np.sqrt((to_ear**2).sum(0))
    direct = float(distance.min())
    late = (distance - direct) / SPEED_M_S * rate
    inside = late < frames - 2
    return late[inside], walls[inside].astype(np.float64), direct / distance[inside]


def _response(images: tuple[Numbers, Numbers, Numbers], reflected: float, frames: int) -> Numbers:
    late, walls, spread = images
    gain, whole = reflected**walls * spread, np.floor(late).astype(np.int64)
    part = late - whole
    return np.asarray(np.bincount(whole, gain * (1.0 - part), frames) + np.bincount(whole + 1, gain * part, frames))
