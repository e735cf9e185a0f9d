"""The proofs of real-time safety catch what they are for: a planted allocation, lock or unknown call makes them fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLANTS = {
    "push_back": "#include <vector>\nstd::vector<float> all;\nvoid on_audio(float x) noexcept TR_RT { all.push_back(x); }",
    "mutex": "#include <mutex>\nstd::mutex m;\nvoid on_audio(float) noexcept TR_RT { const std::lock_guard lock(m); }",
    "virtual call": "struct A { virtual void go() = 0; };\nvoid on_audio(A& a) noexcept TR_RT { a.go(); }",
    "throw": "void on_audio(float x) noexcept(false) TR_RT { if (x > 1) throw 1; }",
    "unknown": "void somewhere_else();\nvoid on_audio() noexcept TR_RT { somewhere_else(); }",
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    sys.path.insert(0, str(ROOT / "tools"))
    import realtime_check

    realtime_check.generate(folder)
    return realtime_check, folder


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_violation_is_refused(plant, generated, tmp_path):
    check, folder = generated
    source = tmp_path / "planted.cc"
    source.write_text(f'#include "rt/realtime.h"\n{PLANTS[plant]}\n', encoding="utf-8")
    _, words = check.check(source, folder, tmp_path)
    assert "-Wfunction-effects" in words


def test_what_is_clean_passes(generated, tmp_path):
    check, folder = generated
    source = tmp_path / "clean.cc"
    source.write_text('#include "rt/realtime.h"\nfloat on_audio(float x) noexcept TR_RT { return 2 * x; }\n', encoding="utf-8")
    assert check.check(source, folder, tmp_path)[1] == ""


def test_the_effects_themselves_are_checked(generated, tmp_path):
    """An allocation planted in a real effect's process is seen through the engine's wrapper."""
    check, folder = generated
    plugin = tmp_path / "plugins" / "gain"
    plugin.mkdir(parents=True)
    text = (ROOT / "plugins/gain/gain.h").read_text(encoding="utf-8")
    marker = "void process(Block io, SideBlock) noexcept TR_RT {"
    assert marker in text
    (plugin / "gain.h").write_text(text.replace(marker, marker + " delete new int(io.frames);"), encoding="utf-8")
    source = tmp_path / "effect_gain.cc"
    original = (folder / "effect_gain.cc").read_text(encoding="utf-8")
    source.write_text(original.replace('"plugins/gain/gain.h"', f'"{plugin / "gain.h"}"'), encoding="utf-8")
    _, words = check.check(source, folder, tmp_path)
    assert "-Wfunction-effects" in words


def test_the_trap_catches_an_allocation(tmp_path):
    """The storm's trap, alone: memory asked for while audio runs ends the program with a sentence."""
    storm = (ROOT / "tests/cpp/storm.cc").read_text(encoding="utf-8")
    head, _, _ = storm.partition("int main(")
    source = tmp_path / "planted.cc"
    ours = "".join(
        f'#include "{h}"\n' for h in ("engine/effect.h", "engine/rack.h", "given.h", "live/bridge.h", "live/mixer.h")
    )
    source.write_text(
        head.replace(ours, "").partition("using twinrack::EffectType;")[0]
        + "}\nint main() { volatile int n = 3; on_audio_thread = true; int* p = new int[n]; delete[] p; }",
        encoding="utf-8",
    )
    program = tmp_path / "planted"
    subprocess.run(["g++", "-std=c++20", "-DTWINRACK_TRAP", source, "-o", program, "-ldl"], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "malloc on the audio thread" in done.stderr
