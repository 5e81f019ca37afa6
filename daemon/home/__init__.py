"""The home folder: its settings, where each file belongs, and moves that never overwrite."""
