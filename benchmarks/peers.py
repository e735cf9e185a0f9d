"""Speed beside other people's effects: the same work with the nearest settings, stereo float32 at 48 kHz, one core.

Every side is a process of its own that takes a long array and cuts it into blocks (workers.py); all are bound to one core
and run in turn, round by round. Prints x realtime (seconds of audio a second of time), the median over the rounds, and the
median of the ratios, in which what else the machine does cancels out; cycles a frame are ours, by the core's clock as
measured beside each run. Then the times of our single blocks. What is not installed is skipped with a sentence;
all of it is there after

    sudo apt-get install liblilv-dev lv2-dev pkg-config lsp-plugins-lv2 calf-plugins x42-plugins libzita-convolver-dev

    python benchmarks/peers.py [--rounds 41] [--only TEXT] [--core 0] [--beside PROGRAM]

`--beside` takes the `build/benchmarks/ours` of an earlier build in place of the peers.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import twinrack as tr
from builds import Skipped
from sounds import RATE
from workers import Side, Worker
from works import Work, works

TURN_S = 0.004  # of one side in one round: about as long as the system lets a process run undisturbed
BLOCKS = 20000  # single blocks timed, at most
WORST_S = 0.8  # and not for longer: a process that takes a core for a second is stopped for a while


@dataclass(frozen=True)
class Answer:
    speed: float  # x realtime
    cycles: float  # a frame; 0 where the clock is not known


class Race:
    """Our worker and the peers' for one work. Where ours cannot run yet, the peers show what is to be reached."""

    def __init__(self, work: Work, folder: Path, notes: dict[str, None]) -> None:
        self.work, self.notes = work, notes
        sound = work.sound(folder)
        self.ours = self.start(work.ours, sound, folder)
        started = [self.start(side, sound, folder) for side in work.peers]
        self.peers = [worker for worker in started if worker is not None]

    def start(self, side: Side, sound: Path, folder: Path) -> Worker | None:
        try:
            return Worker(side, sound, folder)
        except Skipped as reason:
            self.notes[f"{self.work.name}: {reason}"] = None
            return None

    @property
    def workers(self) -> list[Worker]:
        return [worker for worker in (self.ours, *self.peers) if worker is not None]

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def answer(self, worker: Worker, block: int, frames: int) -> Answer:
        block = worker.side.block or block
        frames = frames // block * block
        seconds, clock = worker.ask("run", block, frames)
        return Answer(frames / RATE / seconds, seconds * clock / frames)

    def turn(self, worker: Worker, block: int) -> int:
        """How many frames take about the time of one turn."""
        speed = self.answer(worker, block, RATE // 8).speed
        return max(self.work.least_frames, int(TURN_S * speed * RATE))

    def listen(self, worker: Worker, block: int) -> None:
        """A side that is silent or passes the sound through may do no work, and then the comparison is void."""
        level_in, level_out, difference = worker.ask("level", worker.side.block or block, RATE)
        label = f"{self.work.name}, block {block}: {worker.side.label}"
        if level_out < 1e-4 * level_in:
            self.notes[f"{label} is silent, so its figures mean nothing"] = None
        elif self.work.audible and difference < 1e-4 * level_in:
            self.notes[f"{label} leaves the sound as it is, so its figures mean little"] = None

    def run(self, block: int, rounds: int) -> list[str]:
        """The rows of the first table: ours beside each peer."""
        workers = self.workers
        for worker in workers:
            self.listen(worker, block)
        turns = {worker: self.turn(worker, block) for worker in workers}
        answers: dict[Worker, list[Answer]] = {worker: [] for worker in workers}
        for i in range(rounds):
            for worker in workers if i % 2 == 0 else workers[::-1]:
                answers[worker].append(self.answer(worker, block, turns[worker]))
        mine = answers[self.ours] if self.ours is not None else []
        cycles = statistics.median(a.cycles for a in mine) if mine else 0.0
        ours = " | ".join((self.work.name, str(block), middle(mine), digits(cycles), self.work.bound))
        rows = []
        for worker in self.peers:
            theirs = answers[worker]
            ratio = f"{statistics.median(a.speed / b.speed for a, b in zip(mine, theirs, strict=True)):.2f}" if mine else ""
            rows.append(f"| {ours} | {worker.side.label} | {middle(theirs)} | {ratio} |")
        return rows or ([f"| {ours} | | | |"] if mine else [])

    def worst(self, block: int) -> list[str]:
        """The row of the second table, if there is one."""
        if self.ours is None or not self.work.worst:
            return []
        speed = self.answer(self.ours, block, RATE // 8).speed
        frames = min(BLOCKS * block, int(WORST_S * speed * RATE))
        half, most, longest = (ns / 1000 for ns in self.ours.ask("worst", block, frames))
        share = 100 * most / (1e6 * block / RATE)
        return [f"| {self.work.name} | {block} | {half:.2f} | {most:.2f} | {longest:.2f} | {share:.2f} % |"]


def middle(answers: list[Answer]) -> str:
    return digits(statistics.median(a.speed for a in answers)) if answers else ""


def digits(value: float) -> str:
    """Three of them; nothing for what is not known."""
    return "" if value == 0 else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def versions() -> str:
    """Versions of the installed Python packages; the others are in Debian's list."""
    packages = []
    for name in ("pedalboard", "scipy"):
        try:
            packages.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(packages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--core", type=int, help="the core that all run on; the last one if not given")
    parser.add_argument("--beside", default="", metavar="PROGRAM", help="our worker of an earlier build, in place of the peers")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # workers inherit it
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if arguments.core is None else arguments.core})
    print(f"{datetime.date.today()}, {platform.machine()}, {tr._engine.simd_target()}; {versions()}")
    print("x realtime, stereo, one core, median of alternating rounds\n", flush=True)
    head = "| work | block | twinrack | cycles a frame | bound | peer | its x realtime | ratio |"
    print(f"{head}\n| --- | ---: | ---: | ---: | --- | --- | ---: | ---: |", flush=True)
    notes: dict[str, None] = {}
    worst: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for work in works():
            if arguments.only not in work.name:
                continue
            if arguments.beside:
                work = replace(work, peers=(replace(work.ours, label="earlier build", program=arguments.beside),))
            race = Race(work, Path(folder), notes)
            try:
                for block in work.blocks:
                    for row in race.run(block, arguments.rounds):
                        print(row, flush=True)
                    worst += race.worst(block)
            except Skipped as reason:
                notes[f"{work.name}: {reason}"] = None
            finally:
                race.close()
    print("\nSingle blocks of ours, in microseconds, and p99.9 as a share of the block's duration\n")
    print("| work | block | p50 | p99.9 | max | p99.9 of the time |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(worst))
    if notes:
        print("\nNot measured, or to be read with care:\n")
        print("\n".join(f"- {note}" for note in notes))


if __name__ == "__main__":
    main()
