"""Calls of the library with malformed arguments: what is called, with what, and what may come of it."""
