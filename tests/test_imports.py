"""Imports point down only, the heavy ones stay where they belong, and importing costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top down; a module may import from its own layer and from those below.
LAYERS = [
    ["jobs"],
    ["separator.train", "separator.export", "separator.evaluation", "separator.report"],
    ["separator.run"],
    ["separator.stages", "separator.api", "separator.notebook"],
    ["separator.detect", "separator.encoders", "separator.results", "separator.config",
     "separator.config_file", "separator.config_output", "separator.config_report"],
    ["separator.model", "separator.media", "separator.storage", "separator.queries",
     "separator.sounds"],
    ["separator.audio"],
    ["separator.rows", "separator.errors", "separator.machine"],
]  # fmt: skip
# Where programs are started.
SUBPROCESS_ALLOWED = ("separator.media.ffmpeg", "separator.sounds.programs")
RAY_ALLOWED = ("jobs", "separator.run", "separator.train", "separator.evaluation")
FORBIDDEN = {
    "separator.audio": ["pathlib", "os", "boto3", "subprocess"],
    "separator.media": ["boto3", "torch"],
}


def name_module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def list_modules() -> list[Path]:
    return sorted([*(ROOT / "separator").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])


def list_imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def find_layer(name: str) -> int | None:
    for depth, layer in enumerate(LAYERS):
        if any(is_within(name, package) for package in layer):
            return depth
    return None


def find_offences(module: str, imports: set[str]) -> list[str]:
    own = find_layer(module)
    offences = []
    for name in sorted(imports):
        depth = find_layer(name)
        if own is not None and depth is not None and depth < own:
            offences.append(f"{module} imports {name}, which lies above it")
        if is_within(name, "ray") and not any(is_within(module, p) for p in RAY_ALLOWED):
            offences.append(f"{module} imports ray")
        if name == "subprocess" and module not in SUBPROCESS_ALLOWED:
            offences.append(f"{module} imports subprocess")
        for package, forbidden in FORBIDDEN.items():
            if is_within(module, package) and any(is_within(name, bad) for bad in forbidden):
                offences.append(f"{module} imports {name}")
    return offences


@pytest.mark.parametrize("path", list_modules(), ids=name_module)
def test_imports_point_down(path):
    module = name_module(path)
    if module != "separator":
        assert find_layer(module) is not None, f"{module} is in no layer of LAYERS"
    assert find_offences(module, list_imports(ast.parse(path.read_text()))) == []


def test_the_rule_notices():
    assert find_offences("separator.audio.spans", {"separator.model.engine"})
    assert find_offences("separator.model.engine", {"ray.data"})
    assert find_offences("separator.audio.spans", {"pathlib"})
    assert find_offences("separator.encoders.mini", {"subprocess"})
    assert not find_offences("separator.model.engine", {"separator.audio.spans", "torch"})


@pytest.mark.parametrize("path", list_modules(), ids=name_module)
def test_files_stay_readable(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = len((ast.get_docstring(node) or "").splitlines())
            assert (node.end_lineno or 0) - node.lineno - docstring < 50, node.name


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_module_names_are_unique_inside_the_package():
    names = [path.stem for path in (ROOT / "separator").rglob("*.py") if path.stem != "__init__"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=name_module)
def test_tests_import_from_helpers_only(path):
    names = {name for name in list_imports(ast.parse(path.read_text())) if is_within(name, "tests")}
    assert all(is_within(name, "tests.helpers") for name in names), names


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'torch', 'numpy', 'torchaudio', 'transformers', 'ray'}"
    assert run_python(f"import sys, separator; print(sorted({heavy} & set(sys.modules)))") == "[]\n"


def test_the_engine_loads_neither_encoders_nor_ray():
    heavy = "{'torchaudio', 'transformers', 'torchvision', 'librosa', 'ray'}"
    code = f"import sys, separator.api; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


def test_the_driver_of_a_run_loads_neither_ray_nor_torch():
    heavy = "{'torch', 'ray', 'pandas', 'scipy', 'boto3'}"
    code = f"import sys, separator.run.run; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


def test_the_workers_that_read_and_write_load_no_network():
    heavy = "{'torch', 'scipy', 'transformers', 'boto3'}"
    code = f"import sys, separator.run.pipeline; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]\n"
