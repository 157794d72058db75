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

# If one of these errors is met while a result is written, every asset will meet it.
OF_OUTPUT = frozenset([DiskFull.code, TokenExpired.code])
# If one of these errors is met while an asset is read, that asset may be to blame; if several
# assets in a row meet one, they are not.
OF_MANY = OF_OUTPUT | list_passing_codes(StorageBusy)
MAX_IN_A_ROW = 10


class TroubleCount:
    """Raise an error that ends the run as soon as all further assets would fail the same way."""

    def __init__(self) -> None:
        self.assets: set[str] = set()  # URIs of assets that failed in a row

    def add(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Failed) or outcome.code not in OF_MANY:
            self.assets.clear()
            return
        self.assets.add(outcome.asset.uri)  # with many queries, one asset fails many times
        if outcome.stage != "extract" and outcome.code in OF_OUTPUT:
            raise make_error(outcome, "")
        if len(self.assets) >= MAX_IN_A_ROW:
            raise make_error(outcome, f"the last {len(self.assets)} assets failed alike: ")


def make_error(outcome: Failed, before: str) -> SeparatorError:
    return find_error(outcome.code)(f"{before}{outcome.detail}")
