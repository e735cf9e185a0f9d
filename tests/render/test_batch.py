"""Catalogues: all cores and clusters give the same files, what failed is said, what was done is not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import music
from twinrack.render.batch import JOURNAL, Failed, cluster, plan, render_many

FILES = int(os.environ.get("TWINRACK_BATCH_FILES", "30"))


@pytest.fixture
def catalogue(tmp_path) -> Path:
    folder = tmp_path / "in"
    x = 0.1 * music(2, 24000, 48000, 1)
    rng = np.random.default_rng(0)
    for i in range(FILES):
        path = folder / f"{i % 7}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        n = int(rng.integers(50, 3000))
        soundfile.write(path, x[:, n : 2 * n].T, (48000, 44100)[i % 2], subtype="PCM_16")
    (folder / "broken.wav").write_bytes(b"RIFF....WAVEnothing")
    (folder / "empty.wav").write_bytes(b"")
    return folder


def rack() -> tr.Rack:
    return tr.Rack([tr.ParametricEQ(bands=[tr.Band("bell", gain_db=6)]), tr.FDNReverb(mix=0.2, decay_s=0.3)], name="batch")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.wav"))}


def test_a_failed_file_does_not_stop_the_rest(catalogue, tmp_path):
    results = list(render_many(plan([catalogue], tmp_path / "out"), rack(), bits=16))
    failed = sorted(r.source.name for r in results if isinstance(r, Failed))
    assert failed == ["broken.wav", "empty.wav"]
    assert all("\n" not in r.reason and r.source.name in r.reason for r in results if isinstance(r, Failed))
    assert len(contents(tmp_path / "out")) == FILES


def test_a_cluster_gives_the_same_files(catalogue, tmp_path):
    pytest.importorskip("distributed")
    list(render_many(plan([catalogue], tmp_path / "cores"), rack(), bits=24))
    seen: list[float] = []
    with cluster("local") as client:
        pairs = plan([catalogue], tmp_path / "cluster")
        results = list(render_many(pairs, rack(), client=client, bits=24, progress=seen.append))
    assert sorted(r.source.name for r in results if isinstance(r, Failed)) == ["broken.wav", "empty.wav"]
    assert sum(seen) == FILES + 2
    assert contents(tmp_path / "cluster") == contents(tmp_path / "cores")


def test_no_cluster_where_none_is():
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"), cluster("tcp://127.0.0.1:1"):
        pass


def test_what_was_done_is_left_out(catalogue, tmp_path):
    out = tmp_path / "out"

    def run(r: tr.Rack, **more) -> list:
        return [x for x in render_many(plan([catalogue], out), r, journal=out, bits=16, **more) if not isinstance(x, Failed)]

    assert not any(x.skipped for x in run(rack()))
    first = contents(out)
    assert all(x.skipped for x in run(rack()))
    assert contents(out) == first
    done = sorted(out.rglob("*.wav"))
    done[0].unlink()
    done[1].write_bytes(done[1].read_bytes()[:-10])
    source = catalogue / done[2].relative_to(out)
    soundfile.write(source, np.zeros((100, 2)), 48000)
    with (out / JOURNAL).open("a", encoding="utf-8") as file:
        file.write('{"path": "cut o')  # killed while it wrote
    again = [x for x in run(rack()) if not x.skipped]
    assert sorted(x.path for x in again) == done[:3]
    assert {n: b for n, b in contents(out).items() if out / n != done[2]} == {
        n: b for n, b in first.items() if out / n != done[2]
    }  # fmt: skip
    changed = rack()
    changed["parametric_eq"].bands[0].gain_db = -6
    assert not any(x.skipped for x in run(changed))


def test_killed_and_run_again(catalogue, tmp_path):
    rack().save(tmp_path / "x.rack.json")
    line = [
        sys.executable,
        "-m",
        "twinrack",
        "render",
        catalogue,
        tmp_path / "out",
        "--rack",
        tmp_path / "x.rack.json",
        "--resume",
    ]
    process = subprocess.Popen(list(map(str, line)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    journal = tmp_path / "out" / JOURNAL
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 5) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, check=False)
    assert done.returncode == 2  # two files are broken
    assert f"2 of {FILES + 2} files failed" in done.stderr
    assert "files were done before" in done.stdout
    assert len(contents(tmp_path / "out")) == FILES
    assert not list((tmp_path / "out").rglob("*.part"))
    lines = journal.read_text(encoding="utf-8").splitlines()
    assert len({json.loads(entry)["path"] for entry in lines if entry.endswith("}")}) == FILES
