"""Widgets draw what they are given, a line at a time."""
