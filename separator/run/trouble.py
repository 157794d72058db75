"""Tell trouble of the whole run, such as a full disk, from failures of single assets. Pure."""

from separator.errors import (
    DiskFull,
    SeparatorError,
    StorageBusy,
    TokenExpired,
    find_error,
    list_passing_codes,
)
from separator.rows import Failed, Outcome

# Met when a result is written, they will be met by every asset.
OF_OUTPUT = frozenset([DiskFull.code, TokenExpired.code])
# Met when assets are read, they may be of one asset: several in a row are not.
OF_MANY = OF_OUTPUT | list_passing_codes(StorageBusy)
MOST_IN_A_ROW = 10


class TroubleCount:
    """Raise what ends the run: its stage cannot go on, and each asset would fail the same way."""

    def __init__(self) -> None:
        self.assets: set[str] = set()  # that failed in a row

    def add(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Failed) or outcome.code not in OF_MANY:
            self.assets.clear()
            return
        self.assets.add(outcome.asset.uri)  # with many queries, one asset fails many times
        if outcome.stage != "extract" and outcome.code in OF_OUTPUT:
            raise make_error(outcome, "")
        if len(self.assets) >= MOST_IN_A_ROW:
            raise make_error(outcome, f"the last {len(self.assets)} assets failed alike: ")


def make_error(outcome: Failed, before: str) -> SeparatorError:
    return find_error(outcome.code)(f"{before}{outcome.detail}")
