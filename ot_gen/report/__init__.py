"""Comparisons of many runs, read from their folders: tables, and one self-contained page."""
