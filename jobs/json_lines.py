"""Write a run's messages as one JSON object a line: progress to stdout, warnings to stderr."""

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.progress import Console

if TYPE_CHECKING:
    from separator.run.stats import RunStats


class JsonConsole(Console):
    """Write one JSON object a line: phases, progress, and what the run waits for."""

    def __init__(self) -> None:
        super().__init__(is_terminal=False)
        self.totals: dict[str, Any] = {}

    def see(self, stats: "RunStats") -> None:
        self.totals = {"run_id": stats.run_id} | stats.to_dict()["totals"]
        super().see(stats)

    def tell(self, line: str) -> None:
        self._show(line)

    def show_result(self, line: str) -> None:
        self._show(line)

    def _show(self, line: str) -> None:
        self._write(format_json("info", line, self.totals) + "\n")

    def end(self) -> None:
        self._show("end")


class JsonFormatter(logging.Formatter):
    """Make one JSON object of a log record."""

    def format(self, record: logging.LogRecord) -> str:
        more = {"logger": record.name}
        if record.exc_info:
            more["traceback"] = self.formatException(record.exc_info)
        return format_json(record.levelname.lower(), record.getMessage(), more)


def format_json(level: str, message: str, more: dict[str, Any]) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": at, "level": level, "message": message} | more)


def log_as_json() -> None:
    """Write warnings of the driver as JSON to stderr; `quiet_loggers` leads those of Ray there."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
