import twinrack as tr

rack = tr.Rack([tr.Compressor()])
session = tr.Session("song")
vocals = session.add_track("vocals")
tr.fit(rack, "a.wav", "b.wav", stepz=20)  # wrong
tr.fit(rack, "a.wav", "b.wav", steps="many")  # wrong
tr.fit(session, "a.wav", stepz=20)  # wrong
tr.match(rack, "a.wav", target=tr.targets.Loudness(-16), stepz=20)  # wrong
tr.search(rack, "a.wav", "b.wav", windows_s=2.0)  # wrong
tr.Compressor(treshold_db=-20)  # wrong
tr.Compressor(-20)  # wrong
tr.Compressor(detector="rsm")  # wrong
tr.Compressor(threshold_db="-20")  # wrong
tr.Band("bel")  # wrong
rack["compressor"].raito = 3  # wrong
rack["compressor"].raito  # wrong
rack["compressor"].ratio = "3:1"  # wrong
rack["compressor_2"].raito = 3  # wrong
rack.effect("comp", tr.Compressor).raito = 3  # wrong
session.render_to("a.wav", normalise_lufs=-14)  # wrong
session.render(tial="auto")  # wrong
session.stems(thread=2)  # wrong
session.report("a.html", strat=1)  # wrong
session.add_track("v", clipz=[])  # wrong
session.add_group("g", pna=0.1)  # wrong
session.add_return("r", law="linear")  # wrong
vocals.send("r", tpa="pre")  # wrong
vocals.send("r", pna=0.1)  # wrong
session.temop = 96  # wrong
vocals.gian_db = 3  # wrong
tr.Reverb()  # wrong
tr.live(rack, blocksize=64)  # wrong
rack.twin(48000, path="quick")  # wrong
rack(5, 48000, tial=1)  # wrong
tr.Clip("a.wav", strat=1)  # wrong
tr.Rack("compressor")  # wrong
rack["parametric_eq"].bands[0].gian_db = 3  # wrong
