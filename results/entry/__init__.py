"""A run as one file that can be handed in, read like a run, and checked without trust.

`results.entry.format` says what is in it.
"""

from results.entry.format import EntryError
from results.entry.reader import open_entry
from results.entry.writer import export_entry

__all__ = ["EntryError", "export_entry", "open_entry"]
