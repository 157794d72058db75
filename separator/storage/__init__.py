"""Local files and S3 objects by URI: `Storage`, its settings, and what a listing says."""

from separator.storage.place import Entry, join_uri, parse_uri
from separator.storage.settings import StorageSettings
from separator.storage.storage import Storage

__all__ = ["Entry", "Storage", "StorageSettings", "join_uri", "parse_uri"]
