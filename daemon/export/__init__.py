"""Answers for other programs: all videos with their predictions and labels. Only reads."""
