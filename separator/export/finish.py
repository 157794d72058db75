"""Write the descriptions of a data set: the card for people, croissant.json for programs."""

from collections.abc import Sequence

from separator.export.card import make_card
from separator.export.croissant import pack_croissant
from separator.export.settings import ExportConfig
from separator.export.shard_contents import Contents
from separator.results.paths import ExportLayout
from separator.storage import Storage


def write_descriptions(
    storage: Storage, layout: ExportLayout, config: ExportConfig, contents: Sequence[Contents]
) -> None:
    card = make_card(config, contents).encode("utf-8", "surrogateescape")
    storage.write(layout.card(), card)
    storage.write(layout.croissant(), pack_croissant(config, contents))
