"""Read and write local files and S3 objects by URI: `Storage`, its settings and its entries."""

from separator.storage.local import leads_into
from separator.storage.s3_settings import StorageSettings
from separator.storage.storage import Storage
from separator.storage.uri import Entry, is_within, join_uri, parse_uri

__all__ = [
    "Entry",
    "Storage",
    "StorageSettings",
    "is_within",
    "join_uri",
    "leads_into",
    "parse_uri",
]
