"""What a rack does, for people: curves measured on the engine itself, and reports."""
