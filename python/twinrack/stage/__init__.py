"""Live sound: racks on audio devices, the desk that changes them, the console, MIDI and OSC, and recorded takes."""
