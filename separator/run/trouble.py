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
        self.in_a_row = 0

    def add(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Failed) or outcome.code not in OF_MANY:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        if outcome.stage != "extract" and outcome.code in OF_OUTPUT:
            raise make_error(outcome, "")
        if self.in_a_row >= MOST_IN_A_ROW:
            raise make_error(outcome, f"the last {self.in_a_row} assets failed alike: ")


def make_error(outcome: Failed, before: str) -> SeparatorError:
    return find_error(outcome.code)(f"{before}{outcome.detail}")
