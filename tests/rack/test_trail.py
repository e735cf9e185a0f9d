"""Every change adds an entry to a patch's trail, one behind its back is found, and signatures hold for what was signed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

import twinrack as tr
from support import decaying_noise, music, run
from twinrack.rack.trail import BY_HAND, describe, trail_of, verify
from twinrack.review.signing import add_entry, new_key, read_key, sign, signatures

RATE = 48000
EDITS = int(os.environ.get("TWINRACK_BYTE_EDITS", "400"))


def entries(path):
    return trail_of(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture
def patch(tmp_path):
    path = tmp_path / "a.rack.json"
    rack = tr.Rack([tr.Compressor(ratio=3), tr.ConvolutionReverb(impulse_response=decaying_noise())], name="voice ü")
    rack.save(path)
    return path


def test_every_change_adds_an_entry_that_says_what(patch):
    assert [e["what"] for e in entries(patch)] == ["made"]
    before = patch.read_bytes()
    rack = tr.load(patch)
    rack.save(patch)
    assert patch.read_bytes() == before  # nothing is new
    rack["compressor"].ratio = 4.0
    rack.save(patch, by="A. Person")
    last = entries(patch)[-1]
    assert (last["what"], last["by"], last["details"]["values"]) == ("edited", "A. Person", {"compressor.ratio": [3.0, 4.0]})
    assert last["before"] == entries(patch)[0]["hash"]
    assert last["cards"]["compressor"] == tr.CARDS["compressor"].version
    tr.certify(rack)
    rack.save(patch)
    assert len(entries(patch)) == 3  # the certificate is new
    assert verify(patch).holds
    assert "compressor.ratio: 3.0 -> 4.0" in "\n".join(describe(entries(patch)))


def test_a_fit_is_told_with_its_data_and_keeps_the_trail(tmp_path):
    x = music(1, RATE, RATE, 1)
    start = tr.Rack([tr.Gain()])
    start.save(tmp_path / "start.rack.json")
    result = tr.fit(start, x, x * np.float32(0.5), RATE, steps=5, progress=False)
    result.rack.save(tmp_path / "fitted.rack.json")
    made, fitted = entries(tmp_path / "fitted.rack.json")
    assert (made["what"], fitted["what"]) == ("made", "fitted")
    assert fitted["details"]["recordings"][0]["dry_sha256"] == result.rack.provenance["recordings"][0]["dry_sha256"]
    assert fitted["details"]["settings_sha256"]
    assert verify(tmp_path / "fitted.rack.json").holds


def test_a_change_in_an_editor_is_found_and_told_when_it_is_saved_again(patch):
    text = patch.read_text(encoding="utf-8").replace('"ratio": 3.0', '"ratio": 5.0')
    patch.write_text(text, encoding="utf-8")
    result = verify(patch)
    assert not result.holds
    assert "changed after the last entry" in result.faults[0]
    rack = tr.load(patch)  # it loads as it is
    assert rack["compressor"].ratio == 5.0
    rack.save(patch)
    assert [e["by"] for e in entries(patch)] == ["Python", BY_HAND]
    assert verify(patch).holds


def test_every_edit_of_a_byte_is_found(patch):
    add_entry(patch, "reviewed", "B. Listener", "sounds right")
    key = patch.with_name("key")
    new_key(key)
    sign(patch, read_key(key), "B. Listener")
    original = patch.read_bytes()
    random = np.random.default_rng(0)
    unseen = []
    for _ in range(EDITS):
        place, new = int(random.integers(len(original))), int(random.integers(256))
        if original[place] == new:
            continue
        patch.write_bytes(original[:place] + bytes([new]) + original[place + 1 :])
        result = verify(patch)
        if result.holds and all(s.holds for s in signatures(result.entries)):
            unseen.append((place, new))
    assert not unseen
    patch.write_bytes(original)
    assert verify(patch).holds
    assert signatures(verify(patch).entries)[0].holds


def test_a_key_of_no_known_kind_is_a_wrong_signature(patch):
    key = patch.with_name("key")
    new_key(key)
    sign(patch, read_key(key), "B. Listener")
    patch.write_bytes(patch.read_bytes().replace(b"ssh-ed25519", b"ssh-ed255`9"))
    assert [s.holds for s in signatures(verify(patch).entries)] == [False]


def test_entries_that_are_removed_moved_or_changed_are_found(patch):
    for ratio in (4.0, 5.0, 6.0):
        rack = tr.load(patch)
        rack["compressor"].ratio = ratio
        rack.save(patch)
    data = json.loads(patch.read_text(encoding="utf-8"))
    good = data["provenance"]["trail"]
    for changed in (good[1:], good[:-1], [*good[:1], *good[2:]], [good[1], good[0], *good[2:]], []):
        data["provenance"]["trail"] = changed
        patch.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        assert not verify(patch).holds


def test_arrays_that_were_changed_or_lost_are_found(patch):
    (arrays,) = patch.parent.glob("*.safetensors")
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert verify(patch).faults == ("its arrays were changed",)
    arrays.unlink()
    assert "arrays are missing" in verify(patch).faults[0]


def test_an_older_patch_loads_and_begins_a_trail(tmp_path):
    path = tmp_path / "old.rack.json"
    old = {"format": "twinrack.rack", "version": 1, "name": "old", "rack": [{"effect": "gain", "values": {"gain_db": -3.0}}]}
    path.write_text(json.dumps(old), encoding="utf-8")
    assert "the patch has no trail" in verify(path).faults
    rack = tr.load(path)
    rack.save(path)
    assert [e["what"] for e in entries(path)] == ["made"]


def test_a_signature_holds_for_what_was_signed_and_nobody_else(patch, tmp_path):
    key, other = tmp_path / "key", tmp_path / "other"
    mark = new_key(key)
    new_key(other)
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError, match="never written over"):
        new_key(key)
    assert sign(patch, read_key(key), "A. Engineer") == mark
    (s,) = signatures(entries(patch))
    assert (s.holds, s.trusted, s.name, s.fingerprint) == (True, None, "A. Engineer", mark)
    assert signatures(entries(patch), [tmp_path / "key.pub"])[0].trusted is True
    assert signatures(entries(patch), [tmp_path / "other.pub"])[0].trusted is False
    rack = tr.load(patch)
    rack["compressor"].ratio = 9.0
    rack.save(patch)
    assert verify(patch).holds
    assert entries(patch)[0]["signatures"]  # still signed
    assert "signatures" not in entries(patch)[1]  # the change is not
    data = json.loads(patch.read_text(encoding="utf-8"))
    data["provenance"]["trail"][0]["signatures"][0]["name"] = "Somebody else"
    patch.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert not signatures(entries(patch))[0].holds


def test_keys_of_ssh_work(patch, tmp_path):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here (Debian: openssh-client)")
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    printed = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True).stdout
    with pytest.raises(ValueError, match="protected by a passphrase"):
        read_key(key)
    assert sign(patch, read_key(key, lambda: b"secret"), "A") == printed.split()[1]
    assert signatures(entries(patch), [tmp_path / "id_ed25519.pub"])[0].trusted is True
    with pytest.raises(ValueError, match="passphrase is wrong"):
        read_key(key, lambda: b"no")
    rsa = tmp_path / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa], check=True)
    with pytest.raises(ValueError, match="not an Ed25519 key"):
        read_key(rsa)


def test_the_commands(patch, tmp_path):
    def say(*words, code=0):
        result = run("trail", *words, cwd=tmp_path)
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result.stdout + result.stderr

    assert "1. made" in say("show", "a.rack.json")
    assert "nobody vouches" in say("verify", "a.rack.json")
    say("add", "a.rack.json", "reviewed", "--by", "C. Listener", "--note", "ok on speech")
    assert "ok on speech" in say("show", "a.rack.json")
    say("key", "k", "--no-passphrase")
    say("sign", "a.rack.json", "--key", "k", "--name", "C. Listener")
    assert "'C. Listener'" in say("verify", "a.rack.json", "--trust", "k.pub")
    assert "claims the signature of C. Listener" in say("show", "a.rack.json")
    say("key", "other", "--no-passphrase")
    assert "WRONG" in say("verify", "a.rack.json", "--trust", "other.pub", code=3)
    data = json.loads(patch.read_text(encoding="utf-8"))
    taken = data["provenance"]["trail"][-1].pop("signatures")
    patch.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert "not signed by a key that you trust" in say("verify", "a.rack.json", "--trust", "k.pub", code=3)
    data["provenance"]["trail"][-1]["signatures"] = taken
    patch.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    say("verify", "a.rack.json", "--trust", "k.pub")
    assert "is not a kind of entry" in say("add", "a.rack.json", "liked", "--by", "x", code=2)
    patch.write_text(patch.read_text(encoding="utf-8").replace("3.0", "3.5"), encoding="utf-8")
    assert "WRONG" in say("verify", "a.rack.json", code=3)
    assert "cannot be signed" in say("sign", "a.rack.json", "--key", "k", "--name", "x", code=2)
    patch.write_text(patch.read_text(encoding="utf-8").replace("3.5", "3.0"), encoding="utf-8")
    assert "none" in say("sign", "a.rack.json", "--key", "none", "--name", "x", code=2)


def rewrite(path, change):
    data = json.loads(path.read_text(encoding="utf-8"))
    data = change(data) or data
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def test_edits_that_say_the_same_are_found_too(patch):
    key = patch.with_name("key")
    new_key(key)
    sign(patch, read_key(key), "A")
    original = patch.read_bytes()

    rewrite(patch, lambda d: {name: d[name] for name in reversed(d)})  # the order of names
    assert not verify(patch).holds
    patch.write_bytes(original)

    def bits(d):  # bits of base64 that mean nothing
        s = d["provenance"]["trail"][0]["signatures"][0]
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        s["signature"] = s["signature"][:85] + letters[letters.index(s["signature"][85]) ^ 1] + s["signature"][86:]

    rewrite(patch, bits)
    assert not signatures(entries(patch))[0].holds
    patch.write_bytes(original)

    def elsewhere(d):
        d["arrays"]["file"] = "../" + d["arrays"]["file"]

    rewrite(patch, elsewhere)
    assert "is not the name of a .safetensors file" in verify(patch).faults[-1]


def test_signatures_of_earlier_entries_cannot_be_taken_away(patch):
    key = patch.with_name("key")
    new_key(key)
    sign(patch, read_key(key), "A")
    rack = tr.load(patch)
    rack["compressor"].ratio = 9.0
    rack.save(patch)
    assert verify(patch).holds
    rewrite(patch, lambda d: d["provenance"]["trail"][0].pop("signatures") and None)
    assert any("signatures of entry 1" in fault for fault in verify(patch).faults)


@pytest.mark.parametrize("trail", [[{}], [1], {"a": 1}, [{"hash": "x", "signatures": 5}], [{"details": [1]}], "text"])
def test_a_trail_that_cannot_be_read_is_a_fault_and_no_crash(patch, tmp_path, trail):
    rewrite(patch, lambda d: d["provenance"].update(trail=trail))
    assert verify(patch).faults == ("its trail cannot be read",)
    rack = tr.load(patch)  # the sound is there
    rack.save(patch)
    assert "could not be read" in entries(patch)[0]["details"]["note"]
    assert verify(patch).holds


def test_only_keys_that_are_in_force_are_trusted(patch, tmp_path):
    key = tmp_path / "key"
    new_key(key)
    sign(patch, read_key(key), "A")
    line = (tmp_path / "key.pub").read_text().strip()
    for text, trusted in ((line, True), (f"# {line}", False), (f"@revoked * {line}", False), (f"{line} a comment\n", True)):
        (tmp_path / "team").write_text(text)
        assert signatures(entries(patch), [tmp_path / "team"])[0].trusted is trusted


def test_what_was_edited_after_a_fit_is_no_part_of_it(tmp_path):
    x = music(1, RATE, RATE, 1)
    result = tr.fit(tr.Rack([tr.Gain(), tr.Compressor()]), x, x * np.float32(0.5), RATE, steps=5, progress=False)
    result.rack["gain"].gain_db = 11.0
    result.rack["compressor"].bypass = True
    path = tmp_path / "a.rack.json"
    result.rack.save(path)
    fitted, edited = entries(path)
    assert (fitted["what"], edited["what"]) == ("fitted", "edited")
    assert set(edited["details"]["values"]) == {"gain.gain_db", "compressor.bypass"}
    assert verify(path).holds


def test_sessions_and_pickles_carry_it_on(patch, tmp_path):
    rack = pickle.loads(pickle.dumps(tr.load(patch)))
    rack["compressor"].ratio = 7.0
    session = tr.Session("s", sample_rate=RATE)
    session.add_track("voice", rack=rack)
    session.save(tmp_path / "s.session.json")
    inside = tr.Session.load(tmp_path / "s.session.json")["voice"].rack
    told = [(e["what"], e["by"]) for e in inside.provenance["trail"]]
    assert told == [("made", "Python"), ("edited", "a session")]
    assert inside.provenance["trail"][-1]["details"]["values"] == {"compressor.ratio": [3.0, 7.0]}


def test_a_rendering_is_recorded_where_asked(patch, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros((48000, 2)) + 0.1, 48000)
    done = run("render", tmp_path / "x.wav", tmp_path / "y.wav", "--rack", patch, "--record", "R. Enderer")
    assert done.returncode == 0, done.stderr
    entry = entries(patch)[-1]
    assert (entry["what"], entry["by"]) == ("rendered", "R. Enderer")
    assert entry["details"]["files"] == {"y.wav": hashlib.sha256((tmp_path / "y.wav").read_bytes()).hexdigest()}
    assert verify(patch).holds
    assert "y.wav, SHA-256" in run("trail", "show", patch).stdout
    refused = run("render", tmp_path / "x.wav", tmp_path / "z.wav", "--rate", "44100", "--record", "R. Enderer")
    assert refused.returncode != 0
    assert "--record writes into the trail of a patch" in refused.stderr.replace("\n", " ")
