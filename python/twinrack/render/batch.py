"""Many files through a rack: on all cores or a Dask cluster, with failures reported at the end and a journal to resume."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import _engine
from ..checks import check_integer
from ..files.audio_file import FORMATS, AudioFile
from ..files.hashing import digest
from ..rack.fingerprint import fingerprint
from ..rack.rack import Rack
from ..system.cores import cores
from ..system.disk import remove_leftovers
from ..system.interrupt import stopping_at
from ..version import __version__
from .file import Rendered, render_file

JOURNAL = ".twinrack-render.jsonl"


@dataclass(frozen=True)
class Failed:
    """A file that could not be rendered, and why, in one sentence."""

    source: Path
    reason: str


def plan(sources: Sequence[Path], output: Path, ending: str | None = None) -> list[tuple[Path, Path]]:
    """Pairs of input and output file.

    Args:
        sources: files, or folders whose audio files are taken, with their subfolders.
        output: a file for one input file, else a folder.
        ending: of the outputs in a folder, such as ".flac"; without it, the input's where it can be written, else ".wav".

    Raises:
        FileNotFoundError, ValueError: an input is not there, a folder holds no audio, two inputs have one output.
    """
    pairs: list[tuple[Path, Path]] = []
    several = len(sources) > 1 or sources[0].is_dir()
    if several and not output.is_dir() and output.suffix.lower() in FORMATS:
        what = f"{len(sources)} inputs" if len(sources) > 1 else f"the folder {sources[0]}"
        raise ValueError(f"{what} cannot be rendered to the one file {output}; give a folder, such as {output.with_suffix('')}")
    into_folder = len(sources) > 1 or output.is_dir() or sources[0].is_dir() or output.suffix == ""
    for source in sources:
        if source.is_dir():
            files = audio_in(source, output if output.resolve() != source.resolve() else None)
            pairs += [(f, output / _named(f.relative_to(source), ending)) for f in files]
        elif not source.exists():
            raise FileNotFoundError(f"there is no file {source}")
        else:
            pairs.append((source, output / _named(Path(source.name), ending) if into_folder else output))
    taken: dict[Path, Path] = {}
    for source, path in pairs:
        if path in taken:
            raise ValueError(f"{source} and {taken[path]} would both become {path}; render them one at a time")
        taken[path] = source
    return pairs


def audio_in(folder: Path, but_below: Path | None = None) -> list[Path]:
    """The audio files in a folder and its subfolders, in order.

    Args:
        but_below: a folder whose files do not count, such as that of results of an earlier time.

    Raises:
        ValueError: there are none.
    """
    ours = None if but_below is None else but_below.resolve()
    files = sorted(
        f for f in folder.rglob("*")
        if f.suffix.lower() in FORMATS and not f.name.startswith(".")
        and not (ours is not None and f.resolve().is_relative_to(ours))
    )  # fmt: skip
    if not files:
        raise ValueError(f"{folder} holds no audio file ({', '.join(FORMATS)})")
    return files


def _named(name: Path, ending: str | None) -> Path:
    if ending is not None:
        return name.with_suffix(ending)
    return name if name.suffix.lower() in FORMATS else name.with_suffix(".wav")


def render_many(
    pairs: Sequence[tuple[Path, Path]],
    rack: Rack,
    *,
    workers: int | None = None,
    journal: Path | None = None,
    client: Any = None,
    progress: Callable[[float], None] | None = None,
    **settings: Any,
) -> Iterator[Rendered | Failed]:
    """Render many files, several at once; a file that fails does not stop the others.

    Args:
        pairs: input and output of each; folders of outputs are created.
        rack: every file is rendered from silence.
        workers: how many at once; the number of cores when not given. Of a cluster, all that it has.
        journal: a folder (or a file in it) where what is done is written down, a line each; what is there already, of the same
            input, rack and settings, and still has its size, is not done again.
        client: a `dask.distributed` client whose workers see the same files; the results are the same.
        progress: called with the part of a file that was done, 1 for a whole one.
        settings: as in `render_file`.

    Yields:
        What came of each, as it is done; `skipped` where it was done before.
    """
    done = None if journal is None else _Journal(journal, rack, settings)
    waiting = []
    for source, path in pairs:
        before = None if done is None else done.find(source, path)
        if before is None:
            if done is not None:
                remove_leftovers(path)
            waiting.append((source, path))
            continue
        if progress is not None:
            progress(1.0)
        yield before
    try:
        for result in (_on_cluster if client is not None else _on_cores)(waiting, rack, workers, client, progress, settings):
            if done is not None and isinstance(result, Rendered):
                done.add(result)
            yield result
    finally:
        if done is not None:
            done.close()


def _one(source: Path, path: Path, rack: Rack, settings: dict[str, Any], progress: Any = None) -> Rendered | Failed:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return render_file(source, path, rack.copy(), progress=progress, quiet=True, **settings)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return Failed(source, str(error) or f"{source}: {type(error).__name__}")


def _on_cores(
    pairs: Sequence[tuple[Path, Path]], rack: Rack, workers: int | None, client: Any, progress: Any, settings: dict[str, Any]
) -> Iterator[Rendered | Failed]:
    def one(source: Path, path: Path) -> Rendered | Failed:
        if progress is None:
            return _one(source, path, rack, settings)
        reported = 0.0
        total = 0

        def report(frames: int) -> None:
            nonlocal reported, total
            if not total:
                with AudioFile(source) as file:
                    total = max(file.frames, 1)
            progress(frames / total - reported)
            reported = frames / total

        result = _one(source, path, rack, settings, report)
        progress(1.0 - reported)
        return result

    stop = threading.Event()

    def until_stopped(source: Path, path: Path) -> Rendered | Failed:
        with stopping_at(stop):
            return one(source, path)

    with ThreadPoolExecutor(cores() if workers is None else check_integer(workers, "workers", 1)) as pool:
        try:
            for future in as_completed([pool.submit(until_stopped, *pair) for pair in pairs]):
                yield future.result()
        finally:  # also where nobody wants the rest
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _on_cluster(
    pairs: Sequence[tuple[Path, Path]], rack: Rack, workers: int | None, client: Any, progress: Any, settings: dict[str, Any]
) -> Iterator[Rendered | Failed]:
    from dask.distributed import as_completed as in_turn

    everywhere = client.scatter(rack, broadcast=True)
    futures = {
        client.submit(_one, source.resolve(), path.resolve(), everywhere, settings, pure=False, retries=2): (source, path)
        for source, path in pairs
    }
    for future in in_turn(list(futures)):  # type: ignore[no-untyped-call]
        source, path = futures[future]
        try:
            result = future.result()
        except Exception as error:  # a worker that died, again and again
            result = Failed(source, f"{source} was not rendered: {error}")
        if progress is not None:
            progress(1.0)
        yield replace(result, source=source, **({"path": path} if isinstance(result, Rendered) else {}))


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """A Dask client for an address, or of a cluster on this machine for "local"; None for None.

    Raises:
        ValueError: Dask is not installed, or nobody answers.
    """
    if address is None:
        yield None
        return
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise ValueError("a cluster needs dask.distributed; in the clone of twinrack: pip install '.[cluster]'") from None
    if address == "local":
        with LocalCluster(threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:  # type: ignore[no-untyped-call]
            yield client
        return
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(f"no Dask scheduler answers at {address} ({error}); give its address, or local") from None
    with client:
        yield client


def _mark(path: Path) -> list[int]:
    """A file's size and time, by which the journal recognises it."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


class _Journal:
    """The journal: a JSON line for each file done. A line that was cut off is ignored."""

    def __init__(self, place: Path, rack: Rack, settings: dict[str, Any]) -> None:
        folder = place if place.suffix == "" or place.is_dir() else place.parent
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / JOURNAL
        what = [__version__, _engine.simd_target(), fingerprint(rack), sorted((k, str(v)) for k, v in settings.items())]
        if settings.get("sidechain") is not None:
            what.append(digest(Path(settings["sidechain"])))
        self.identity = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        self._known: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    self._known[entry["path"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue
        self._file = self.path.open("a", encoding="utf-8")
        if self.path.stat().st_size and not self.path.read_bytes().endswith(b"\n"):
            self._file.write("\n")

    def _stamp(self, source: Path) -> list[Any]:
        stat = source.stat()
        return [str(source), stat.st_size, stat.st_mtime_ns, self.identity]

    def find(self, source: Path, path: Path) -> Rendered | None:
        entry = self._known.get(str(path))
        try:
            if entry is None or entry["of"] != self._stamp(source) or _mark(path) != entry["result"]:
                return None
            return Rendered(source, path, entry["seconds"], entry["clipped"], entry["input_faults"], skipped=True)
        except (OSError, KeyError):
            return None

    def add(self, result: Rendered) -> None:
        entry = {
            "path": str(result.path), "of": self._stamp(result.source), "result": _mark(result.path),
            "seconds": result.seconds, "clipped": result.clipped, "input_faults": result.input_faults,
        }  # fmt: skip
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
