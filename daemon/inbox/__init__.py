"""Finds which files have become whole."""
