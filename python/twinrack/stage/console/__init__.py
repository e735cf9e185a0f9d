"""The console: a page that shows what a live stream does, and changes it."""
