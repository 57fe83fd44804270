"""Screens own a picture of the queue, ask the feed for it, and handle keys."""
