"""Whole files: how they are written over what is there, and what is refused before it is read."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import twinrack as tr
from twinrack.render.file import render_file
from twinrack.system import disk

posix = pytest.mark.skipif(os.name == "nt", reason="modes, links and pipes of POSIX")
RATE = 48000


def rack_of(gain: float = 3.0) -> tr.Rack:
    return tr.Rack([tr.Gain(gain_db=gain)])


def session_of(folder: Path) -> tr.Session:
    session = tr.Session("s", sample_rate=RATE)
    session.add_track("a", clips=[tr.Clip(np.full((2, 4800), 0.1, np.float32), sample_rate=RATE)])
    return session


def audio(folder: Path, path: Path, **settings: object) -> None:
    sf.write(folder / "in.wav", np.full(4800, 0.25), RATE)
    render_file(folder / "in.wav", path, rack_of(), **settings)


def camilla(folder: Path, path: Path) -> None:
    from twinrack.exchange.camilladsp import write_camilladsp

    write_camilladsp(tr.Rack([tr.ParametricEQ(bands=[tr.Band(gain_db=3)])]), path)


def preset(folder: Path, path: Path) -> None:
    from twinrack.exchange.equalizer_apo import write_equalizer_apo

    write_equalizer_apo(tr.Rack([tr.ParametricEQ(bands=[tr.Band(gain_db=3)])]), path)


def dawproject(folder: Path, path: Path) -> None:
    from twinrack.exchange.dawproject import write_dawproject

    write_dawproject(session_of(folder), path)


WRITERS = {
    "a.rack.json": lambda folder, path: rack_of().save(path),
    "a.session.json": lambda folder, path: session_of(folder).save(path, collect=True),
    "a.wav": audio,
    "a.flac": audio,
    "a.ogg": audio,
    "a.nam": lambda folder, path: tr.Network.wavenet((2,), (1, 2)).write(path),
    "a.yml": camilla,
    "a.txt": preset,
    "a.dawproject": dawproject,
    "mix.wav": lambda folder, path: session_of(folder).render_to(path, manifest=False),
}
each = pytest.mark.parametrize("name", WRITERS)


def is_sentence(said: str) -> bool:
    return len(said) < 300 and not any(raw in said for raw in ("\n", "Errno", "embedded"))


def hidden(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob(".*")]


@posix
@each
def test_permissions_are_kept_and_new_files_get_what_the_umask_leaves(name, tmp_path):
    path = tmp_path / name
    for mask in (0o022, 0o027, 0o077):
        before = os.umask(mask)
        try:
            WRITERS[name](tmp_path, path)
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        path.unlink()
    for mode in (0o600, 0o640, 0o664, 0o755, 0o620):
        path.write_bytes(b"old")
        path.chmod(mode)
        WRITERS[name](tmp_path, path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_bytes() != b"old"
    assert hidden(tmp_path) == []


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
@each
def test_the_owner_is_kept(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    WRITERS[name](tmp_path, path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o640)


@posix
@each
def test_links_stay_and_what_they_lead_to_is_written(name, tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir(), here.mkdir()
    target, middle, link = there / f"real-{name}", there / f"middle-{name}", here / name
    middle.symlink_to(target.name)  # relative, in another folder
    link.symlink_to(middle)
    for content in (None, b"old"):  # first they dangle
        if content is not None:
            target.write_bytes(content)
            target.chmod(0o640)
        WRITERS[name](tmp_path, link)
        assert [p.is_symlink() for p in (link, middle, target)] == [True, True, False]
        assert target.read_bytes() != b"old"
        if content is not None:
            assert stat.S_IMODE(target.stat().st_mode) == 0o640
    loop = here / f"loop-{name}"
    loop.symlink_to(loop.name)
    with pytest.raises((OSError, ValueError), match=r"loop|link") as caught:
        WRITERS[name](tmp_path, loop)
    assert "Errno" not in str(caught.value)
    assert loop.is_symlink()
    assert hidden(tmp_path) == []


@posix
def test_another_name_of_the_same_file_keeps_the_old_content(tmp_path):
    rack_of(1).save(tmp_path / "a.rack.json")
    (tmp_path / "backup.rack.json").hardlink_to(tmp_path / "a.rack.json")
    rack_of(2).save(tmp_path / "a.rack.json")
    assert tr.load(tmp_path / "backup.rack.json")["gain"].gain_db == 1
    assert tr.load(tmp_path / "a.rack.json")["gain"].gain_db == 2


@posix
@each
def test_read_only_and_special_files_are_refused_and_stay(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises((OSError, ValueError), match=rf"{name}.* may not be overwritten"):
        WRITERS[name](tmp_path, path)
    assert path.read_bytes() == b"old"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises((OSError, ValueError), match=r"is a pipe"):
        WRITERS[name](tmp_path, path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)  # names of sockets are short
        server.bind(f"/proc/self/fd/{folder}/{name}") if Path("/proc/self/fd").exists() else server.bind(str(path))
        with pytest.raises((OSError, ValueError), match=r"is a socket"):
            WRITERS[name](tmp_path, path)
        os.close(folder)
    assert stat.S_ISSOCK(path.stat().st_mode)
    path.unlink()
    path.mkdir()
    with pytest.raises((OSError, ValueError), match=r"is a folder"):
        WRITERS[name](tmp_path, path)
    for device in ("/dev/full", "/dev/null"):
        link = tmp_path / f"device{Path(name).suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(device)
        with pytest.raises((OSError, ValueError), match=r"is a device"):
            WRITERS[name](tmp_path, link)
    assert hidden(tmp_path) == []


@each
def test_a_full_disk_leaves_the_old_file(name, tmp_path, monkeypatch):
    path = tmp_path / name
    path.write_bytes(b"old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, "replace", full)
    with pytest.raises(OSError, match="full") as caught:
        WRITERS[name](tmp_path, path)
    assert "Errno" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert hidden(tmp_path) == []


@posix
def test_a_file_that_may_not_grow_leaves_the_old_one(tmp_path):
    code = f"""
import resource, signal, numpy as np, twinrack as tr
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rack = tr.Rack([tr.Gain() for _ in range(500)])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try: rack.save({str(tmp_path / "a.rack.json")!r})
except OSError as error: print(error)
"""
    (tmp_path / "a.rack.json").write_text("old")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "largest file allowed" in said.stdout, said
    assert (tmp_path / "a.rack.json").read_text() == "old"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "", "y" * 5000, "\ud800"])
def test_names_that_no_file_can_have(name, tmp_path):
    given = f"{tmp_path}/{name}.rack.json" if name else ""
    for do in (
        lambda: rack_of().save(given), lambda: tr.load(given), lambda: tr.Network.read(given), lambda: tr.Session.load(given),
        lambda: tr.Response.read(given), lambda: session_of(tmp_path).save(given, collect=True),
    ):  # fmt: skip
        with pytest.raises((ValueError, OSError)) as caught:
            do()
        assert is_sentence(str(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_names_up_to_the_longest_that_the_disk_takes(tmp_path):
    for name in ("ü" * 121, "x" * 245, "\N{OLD PERSIAN SIGN A}" * 61):
        path = tmp_path / f"{name}.rack.json"
        rack_of().save(path)
        assert tr.load(path) == rack_of()


# --- reading ---------------------------------------------------------------------------------------------------------------

READERS = {
    "patch": tr.load,
    "network": tr.Network.read,
    "session": lambda p: tr.Session.load(p),
    "manifest": lambda p: __import__("twinrack.session.manifest", fromlist=["verify"]).verify(p),
    "preset": lambda p: __import__("twinrack.exchange.equalizer_apo", fromlist=["x"]).read_equalizer_apo(p),
    "project": lambda p: __import__("twinrack.exchange.dawproject", fromlist=["x"]).read_dawproject(p, p.parent / "m"),
}


@posix
@pytest.mark.parametrize("what", READERS)
def test_special_and_huge_files_are_refused_at_once(what, tmp_path):
    pipe, huge, link = tmp_path / "pipe.json", tmp_path / "huge.json", tmp_path / "link.json"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(3 << 30)
    link.symlink_to(pipe)
    for path in (pipe, huge, link, Path("/dev/zero"), Path("/dev/null"), tmp_path, tmp_path / "none.json"):
        began = time.monotonic()
        with pytest.raises((ValueError, OSError)) as caught:
            READERS[what](path)
        assert time.monotonic() - began < 5.0
        assert is_sentence(str(caught.value))


def arrays_file(path: Path, header: bytes, size: int) -> None:
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(size)


@pytest.mark.parametrize(
    ("header", "size", "match"),
    [
        (b'{"a":{"dtype":"F32","shape":[536870912],"data_offsets":[0,2147483648]}}', None, "no effect uses"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', 3 << 30, "header tells of 16"),
        (b'{"a":{"dtype":"F32","shape":[400],"data_offsets":[0,1600]}}', 100, "header tells of 1600"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,17]}}', None, "cannot be understood"),
        (b'{"a":{"dtype":"X9","shape":[4],"data_offsets":[0,16]}}', None, "cannot be understood"),
        (b'{"a":{"dtype":"F32","shape":[-4,-1],"data_offsets":[0,16]}}', None, "cannot be understood"),
        (b"[" * 100000, None, "cannot be understood"),
        (b"\xff{}", None, "cannot be understood"),
        (b"7", None, "cannot be understood"),
    ],
)
def test_arrays_are_checked_against_their_header(header, size, match, tmp_path):
    whole = 8 + len(header)
    if size is None:
        data = json.loads(header) if header.startswith(b'{"a"') else {}
        size = whole + (data["a"]["data_offsets"][1] if data else 0)
    arrays_file(tmp_path / "a.safetensors", header, size)
    patch = {"format": "twinrack.rack", "version": 1, "name": "x", "rack": []}
    patch["arrays"] = {"file": "a.safetensors", "sha256": "0" * 64}
    (tmp_path / "a.rack.json").write_text(json.dumps(patch))
    began = time.monotonic()
    with pytest.raises(ValueError, match=match):
        tr.load(tmp_path / "a.rack.json")
    assert time.monotonic() - began < 5.0


def test_a_header_longer_than_the_file(tmp_path):
    patch = {"format": "twinrack.rack", "version": 1, "name": "x", "rack": []}
    patch["arrays"] = {"file": "a.safetensors", "sha256": "0" * 64}
    (tmp_path / "a.rack.json").write_text(json.dumps(patch))
    for content in (b"", b"abc", b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}"):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="does not fit its size"):
            tr.load(tmp_path / "a.rack.json")


@pytest.mark.parametrize("file", ["a\0.safetensors", "../a.safetensors", "a\n.safetensors", "x" * 300 + ".safetensors"])
def test_names_of_arrays(file, tmp_path):
    patch = {"format": "twinrack.rack", "version": 1, "name": "x", "rack": [], "arrays": {"file": file, "sha256": "0" * 64}}
    (tmp_path / "a.rack.json").write_text(json.dumps(patch))
    with pytest.raises(ValueError, match=r"a\.rack\.json.*arrays\.file"):
        tr.load(tmp_path / "a.rack.json")


def test_arrays_are_found_through_a_link(tmp_path):
    real, other = tmp_path / "real", tmp_path / "other"
    real.mkdir(), other.mkdir()
    rack = rack_of()
    rack.arrays = {"history": np.arange(4, dtype=np.float32)}
    (other / "l.rack.json").symlink_to(real / "a.rack.json")
    rack.save(other / "l.rack.json")
    for path in (other / "l.rack.json", real / "a.rack.json"):
        assert np.array_equal(tr.load(path).arrays["history"], rack.arrays["history"])


# --- how long it takes ---------------------------------------------------------------------------------------------------


def seconds(do: object) -> float:
    return min(timed(do) for _ in range(3))


def timed(do: object) -> float:
    began = time.process_time()
    do()  # type: ignore[operator]
    return time.process_time() - began


def test_what_is_done_with_a_rack_takes_time_in_proportion_to_it(tmp_path):
    def times(count: int) -> dict[str, float]:
        path = tmp_path / f"{count}.rack.json"
        entry = {"effect": "gain", "version": "1.0.0"}
        path.write_text(json.dumps({"format": "twinrack.rack", "version": 1, "name": "x", "rack": [entry] * count}))
        rack = tr.load(path)
        assert list(rack.addresses())[-1] == f"gain_{count}"
        out = tmp_path / "o.rack.json"
        works = {
            "load": lambda: tr.load(path), "copy": rack.copy, "save": lambda: rack.save(out), "show": lambda: repr(rack),
            "values": rack.values, "equal": lambda: rack == rack.copy(), "close": lambda: rack.isclose(rack.copy()),
            "named": lambda: tr.Rack([tr.Gain(name=f"g{i}") for i in range(count)]),
            "render": lambda: rack(np.zeros((1, 32), np.float32), RATE),
            "set": lambda: [rack.set(f"gain_{i}.gain_db", float(i % 7)) for i in range(2, count, 10)],
            "nested": lambda: tr.Rack([tr.Chain([tr.Parallel([tr.Gain(), []])]) for _ in range(count)]),
        }  # fmt: skip
        return {name: seconds(work) for name, work in works.items()}

    few, many = times(1000), times(8000)
    for name, took in many.items():
        assert took < 24 * few[name] + 0.05, (name, few[name], took)  # 64 times, were it quadratic
