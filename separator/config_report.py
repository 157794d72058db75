"""Define the settings of the report page; configs/local.yaml says what each means."""

from dataclasses import dataclass

from separator.config_file import check_number

MAX_ASSETS = 100_000


@dataclass(frozen=True)
class ReportSettings:
    most: int = 100

    def __post_init__(self) -> None:
        check_number("report.most", self.most, 1, MAX_ASSETS)
