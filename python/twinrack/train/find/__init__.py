"""The search for a rack's values by renders of the engine: block by block from wide comparisons to the waveform."""
