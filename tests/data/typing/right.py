from pathlib import Path

import numpy as np

import twinrack as tr

rack = tr.Rack(
    [tr.ParametricEQ(bands=[tr.Band("bell", frequency_hz=200)]), tr.Compressor(ratio=4), tr.Gain(name="out")], "mine"
)
rack["compressor"].ratio = 6
rack["compressor"].detector = "rms"
rack["parametric_eq"].bands[0].gain_db = 3
rack["out"].gain_db = -3
rack.effect("out", tr.Gain).gain_db = -2
rack.effect(0, tr.ParametricEQ).warping = "bilinear"
threshold: float = rack["compressor"].threshold_db
one = tr.Rack(tr.Limiter())
for item in one:
    print(item)
x = np.zeros((2, 4800), np.float32)
y: np.ndarray = rack(x, 48000, tail="auto")
rack.save(Path("x.rack.json"))
twin = rack.twin(48000, path="parallel")
twin["compressor"].learnable()
session = tr.Session("song", tempo=96)
session.add_return("plate", rack=[tr.FDNReverb(mix=1.0)])
vocals = session.add_track("vocals", clips=[tr.Clip("v.wav", start="4 beats")], rack=tr.Compressor(), pan=0.1, law="linear_6db")
vocals.send("plate", -14, tap="pre", pan=0.3)
mixed = session.render(tail="auto", threads=2)
made = session.render_to("mix.wav", normalize_lufs=-14, true_peak_db=-1, stems=True)
result = tr.fit(rack, "dry.wav", "wet.wav", steps=20, choices=["compressor.detector"], starts=3, loss=tr.losses.STFT())
result.rack.save("f.rack.json")
mix = tr.fit(session, "mix.wav", steps=20, prune=True)
mix.session.save("s.session.json")
reached = tr.match(rack, "dry.wav", target=tr.targets.Loudness(-16), steps=5, learn=["compressor.*"])
found = tr.search(rack, "dry.wav", "wet.wav", trials=3, window_s=2.0)
with tr.live(rack, block_size=64, play="dry.wav") as stream:
    stream.rack["compressor"].ratio = 6
with tr.live(rack, play=(x, None)) as stream:
    print(stream.latency_ms)
