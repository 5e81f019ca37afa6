"""Keeps a home well for years: check, repair, backup, restore, retention."""
