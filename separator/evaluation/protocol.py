"""Describe a protocol of the field as data: files, list, queries, mixing, figures, published rows.

    separator evaluate configs/eval/audiocaps.yaml model=audiosep data=/data/audiocaps lists=...

configs/eval/ has one file for each protocol; a file of your own may describe another. Four modules
carry a protocol out: protocol_cases.py (lists, files), protocol_sounds.py (mixing),
protocol_scores.py (figures of a case) and protocol_tables.py (figures of the whole set).
"""

import re
from dataclasses import dataclass, field

from omegaconf import MISSING

from separator.audio.spans import HIGHEST_HZ, LOWEST_HZ
from separator.config_file import check_choice, check_number
from separator.errors import RequestError
from separator.evaluation.benchmark import BenchmarkSettings
from separator.evaluation.published import SURE, PublishedRow, Table

TAKES = ("mean", "median", "class_mean", "class_median", "frechet")
QUERY_KINDS = ("text", "audio", "image", "video", "generated")
MORE = ("bss", "clap", "dnsmos", "fad", "speech")
FIELD = re.compile(r"{([^\W\d]\w*)}")
# Patterns of files that each way of mixing takes.
PARTS = {
    "given": ("target", "mixture"),
    "at_snr": ("target", "noise"),
    "halves": ("target",),
    "generated": (),
}


@dataclass
class TableFile:
    """A list in the folder `lists`; or, with `folder`, the data's own files are the list."""

    file: str = ""
    columns: list[str] = field(default_factory=list)  # of a file without a line of names
    sha256: str = ""  # of the official file, its first digits
    num_rows: int = 0
    key: str = ""  # of a second table: its column that names a row of the first ...
    of: str = ""  # ... and the first one's column with the same values
    folder: str = ""  # a pattern of names: class_id={class}/class_id={class},index={index}.wav
    most_of_kind: int = 0  # take so many of each class, the first by name; 0: all


@dataclass
class QuerySource:
    """The query for a row: a column of the row, or the same `text` for all rows."""

    kind: str = "text"  # text; audio, image, video: files of the data, several joined by ;
    column: str = ""
    text: str = ""
    prompts: list[str] = field(default_factory=list)  # "a photo of {}"; their mean is the condition

    def __post_init__(self) -> None:
        check_choice("protocol.queries: kind", self.kind, QUERY_KINDS)


def list_own_queries() -> dict[str, QuerySource]:
    """List the queries that a table of your own adds to every protocol, by its columns."""
    return {
        "paraphrase": QuerySource(column="paraphrase"),
        "sound": QuerySource("audio", "sound"),
        "image": QuerySource("image", "image"),
        "video": QuerySource("video", "video"),
    }


@dataclass
class Figure:
    """One column of the table: a metric of the rows, and how it is summarised over them."""

    name: str = MISSING
    metric: str = MISSING
    take: str = ""  # empty: the protocol's `take`
    of: str = ""  # only rows with this value in the column `set`

    def __post_init__(self) -> None:
        if self.take:
            check_choice(f"figure {self.name}: take", self.take, TAKES)


@dataclass
class PublishedTable:
    """Published figures: rows as {name: [figures in the order of `columns`]}, `.nan`: not found."""

    source: str = MISSING
    sure: str = MISSING
    columns: list[str] = field(default_factory=list)  # names of figures; by default all
    rows: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice(f"published {self.source!r}: sure", self.sure, tuple(SURE))

    def arrange(self, names: list[str]) -> Table:
        """Bring the figures into the order of a table's columns."""
        own = self.columns or names
        rows = []
        for name, figures in self.rows.items():
            if len(figures) != len(own):
                raise RequestError(f"published {name!r}: {len(figures)} figures for {own}")
            found = dict(zip(own, figures, strict=True))
            rows.append(PublishedRow(name, tuple(found.get(each, float("nan")) for each in names)))
        return Table(tuple(names), tuple(rows), self.source, self.sure)


@dataclass
class Check:
    """Checks of the data and of a known model, whatever the figures are."""

    mixture_sdr_db: float | None = None  # of every mixture; with `at_snr` the row's own is expected
    within_db: float = 0.5
    model_sha256: str = ""  # with the model whose file has this hash ...
    model_row: str = ""  # ... the published row of this name comes out, to 0.01


@dataclass
class Generated:
    """Cases of the generator, for each kind of sound as the target. All are held-out takes."""

    pairs: int = 0  # two sounds at one energy
    three: int = 0
    absent: int = 0  # two sounds, and a query for neither
    seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("pairs", "three", "absent"):
            check_number(f"protocol.generated.{name}", getattr(self, name), 0, 10_000)
        check_number("protocol.generated.seconds", self.seconds, 0.1, 600)


@dataclass
class Protocol:
    name: str = MISSING
    about: str = MISSING  # one line: what is measured, by whose rule
    cases: TableFile = field(default_factory=TableFile)
    classes: TableFile = field(default_factory=TableFile)  # adds columns by its key
    noises: TableFile = field(default_factory=TableFile)  # of `halves`: one is drawn for each row
    generated: Generated = field(default_factory=Generated)
    mixing: str = "given"
    target: str = ""  # name of a file in the data: segment-{idx}.wav
    mixture: str = ""
    noise: str = ""
    kind: str = ""  # column of the class
    queries: dict[str, QuerySource] = field(default_factory=dict)  # and `list_own_queries`
    rate_hz: int = 32_000  # of the files; files with another rate are refused
    separate_hz: int = 0  # rate at which the model gets the mixture; 0: the files' rate
    score_hz: int = 0  # rate at which stem and target are compared; 0: the rate of the stem
    num_samples: int = 0  # `halves`: samples taken around the middle
    take: str = "mean"
    metrics: list[str] = field(default_factory=list)  # beside SDR, SDRi, SI-SDR: of MORE
    figures: list[Figure] = MISSING
    published: list[PublishedTable] = field(default_factory=list)
    check: Check = field(default_factory=Check)

    def __post_init__(self) -> None:
        check_choice("protocol.mixing", self.mixing, tuple(PARTS))
        check_choice("protocol.take", self.take, TAKES)
        for metric in self.metrics:
            check_choice("protocol.metrics", metric, MORE)
        if not self.queries:
            raise RequestError("protocol.queries: is empty; say what is asked: {caption: {...}}")
        self.check_queries()
        self.check_rates()
        self.check_cases()
        self.check_figures()
        own = {} if self.mixing == "generated" else list_own_queries()
        self.queries = self.queries | {k: v for k, v in own.items() if k not in self.queries}

    def check_queries(self) -> None:
        """Refuse queries that name no column of the rows, and those that the mixing cannot give."""
        is_generated = self.mixing == "generated"
        for name, query in self.queries.items():
            where = f"protocol.queries.{name}"
            if query.kind == "generated":
                if not is_generated:
                    raise RequestError(f"{where}: kind=generated is for mixing=generated alone")
            elif query.kind != "text" and is_generated:
                raise RequestError(f"{where}: kind={query.kind}: mixing=generated has no files")
            elif not query.column and not (query.kind == "text" and query.text):
                raise RequestError(
                    f"{where}: has no column; name the one that holds it: column=..."
                )

    def check_figures(self) -> None:
        """Refuse a protocol without figures, and published rows that do not fit their columns."""
        if not self.figures:
            raise RequestError("protocol.figures: is empty; name one: {name: SDR, metric: sdr_db}")
        names = [figure.name for figure in self.figures]
        for table in self.published:
            table.columns = table.columns or names  # metrics of `more` add columns to ours alone
            table.arrange(names)

    def check_rates(self) -> None:
        """Refuse rates that no sound has."""
        for name in ("rate_hz", "separate_hz", "score_hz"):
            if (value := getattr(self, name)) or name == "rate_hz":
                check_number(f"protocol.{name}", value, LOWEST_HZ, HIGHEST_HZ)

    def check_cases(self) -> None:
        """Refuse a protocol that does not say where its cases come from."""
        for part in PARTS[self.mixing]:
            if not getattr(self, part):
                raise RequestError(
                    f"protocol.{part}: is empty; with mixing={self.mixing} it names files of the "
                    f"data: {part}-{{idx}}.wav"
                )
        if self.mixing == "generated":
            if not (self.generated.pairs or self.generated.three or self.generated.absent):
                raise RequestError("protocol.generated: no cases; set pairs, three or absent")
        elif not (self.cases.file or self.cases.folder):
            raise RequestError("protocol.cases: is empty; set file (a list) or folder (a pattern)")
        if self.classes.file and not (self.classes.key and self.classes.of):
            raise RequestError("protocol.classes: set key, and of: the columns with equal values")
        if self.mixing == "halves":
            check_number("protocol.num_samples", self.num_samples, 2, 1e9)
            if not self.noises.file:
                raise RequestError("protocol.noises.file: is empty; mixing=halves draws from it")
        if self.cases.most_of_kind and not self.kind:
            raise RequestError("protocol.cases.most_of_kind: set protocol.kind, a column, too")

    @property
    def patterns(self) -> dict[str, str]:
        """Return the patterns of a case's files that are set."""
        named = {"target": self.target, "mixture": self.mixture, "noise": self.noise}
        return {part: pattern for part, pattern in named.items() if pattern}


@dataclass(frozen=True)
class ProtocolSettings(BenchmarkSettings):
    """A protocol, and the settings of one evaluation by it."""

    protocol: Protocol = MISSING
    data: str = ""
    lists: str = ""
    also: str = ""  # your own table with more columns, joined by the list's first column; rows of
    # the list that this table lacks are left out
    output: str = MISSING
    query: list[str] = field(default_factory=list)  # names in protocol.queries; empty: the first
    pictures: int = 0  # how many cases get a picture of spectrograms
    more: list[str] = field(default_factory=list)  # metrics beside the protocol's: of MORE
    judge: str = ""  # a model whose encoder computes clap and fad for all; empty: each one's own

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("pictures", self.pictures, 0, 10_000)
        for metric in self.more_metrics:
            check_choice("more", metric, MORE)
        for name in self.chosen_queries:
            check_choice("query", name, tuple(self.protocol.queries))
        is_generated = self.protocol.mixing == "generated"
        if is_generated and self.also:
            raise RequestError(f"also={self.also!r}: mixing=generated has no list to join it to")
        if not is_generated and not self.data:
            raise RequestError("data is not set: the folder of the sounds; add data=...")
        if not is_generated and self.protocol.cases.file and not self.lists:
            raise RequestError("lists is not set: the official lists; add lists=...")

    @property
    def chosen_queries(self) -> list[str]:
        """Return the names of the queries: `query=label,caption` and `query=[label,caption]`."""
        names = [name.strip() for each in self.query for name in each.split(",")]
        return names or list(self.protocol.queries)[:1]

    @property
    def more_metrics(self) -> list[str]:
        named = [name.strip() for each in self.more for name in each.split(",")]
        return list(dict.fromkeys([*self.protocol.metrics, *named]))
