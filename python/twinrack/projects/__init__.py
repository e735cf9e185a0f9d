"""`twinrack new`: folders that run at once, to begin one's own project from."""
