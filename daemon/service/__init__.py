"""Introduces the rooms to each other and runs them."""
