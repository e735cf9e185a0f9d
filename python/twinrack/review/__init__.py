"""Reviews of patches: signatures over their trail, and entries that people add to it."""
