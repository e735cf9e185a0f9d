"""The engine in pages: what an HTML page needs to play a rack by itself, with knobs."""
