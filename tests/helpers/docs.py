"""Read the snippets of the README and of docs/, and the commands that they call."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HISTORY = "log.md"  # tells what was done, not what to do
PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != HISTORY),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDS = ("|", "||", "&&", ";", ">", ">>")


@dataclass(frozen=True)
class Snippet:
    page: str
    line: int
    kind: str  # the fence's language
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def list_snippets(kind: str | None = None) -> list[Snippet]:
    found = []
    for path in PAGES:
        text = path.read_text()
        for fence in FENCE.finditer(text):
            line = text[: fence.start()].count("\n") + 1
            found.append(Snippet(path.name, line, fence[1], fence[2]))
    return [snippet for snippet in found if kind in (None, snippet.kind)]


def list_inline() -> list[tuple[str, str]]:
    """List (page, text) of everything in single backticks."""
    return [
        (path.name, " ".join(text.split()))
        for path in PAGES
        for text in re.findall(r"`([^`]+)`", FENCE.sub("", path.read_text()))
    ]


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell snippet."""
    for line in text.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        reader.whitespace_split, reader.commenters = True, "#"
        command: list[str] = []
        for word in reader:
            if word not in ENDS:
                command.append(word)
            elif command:
                yield command
                command = []
        if command:
            yield command


def find_call(command: list[str]) -> list[str] | None:
    """Return the arguments of `separator` that a command comes to; None for other programs."""
    words = command[command.index("--") + 1 :] if "submit" in command else command
    if Path(words[0]).name == "separator":
        return words[1:]
    if words[:2] == ["python", "-m"] and words[2].startswith("jobs."):
        name = words[2].removeprefix("jobs.").replace("_", "-")
        return ["run" if name == "separate" else name, *words[3:]]
    return None
