"""Training: from recordings to parameters. `fit` is the whole of it; the other modules are its parts."""
