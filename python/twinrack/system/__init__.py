"""The operating system: files written whole, signals, forked processes, memory."""
