"""Types: `Any` is rare in the product."""

import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("sessions_app", "agents_app", "project")
MOST_PER_1000_LINES = 8
WORST = 10  # files to name


def modules() -> list[Path]:
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [path for path in paths if "migrations" not in path.parts]


def count_any(path: Path) -> int:
    """Count `Any` in a file's code, without the lines that import it, comments and strings."""
    with path.open("rb") as source:
        names = [token for token in tokenize.tokenize(source.readline) if token.string == "Any"]
    return sum(not token.line.lstrip().startswith(("from ", "import ")) for token in names)


def test_any_is_rare() -> None:
    paths = modules()
    counts = Counter({str(path.relative_to(ROOT)): count_any(path) for path in paths})
    lines = sum(len(path.read_text().splitlines()) for path in paths)
    per_1000 = 1000 * counts.total() / lines
    worst = ", ".join(f"{name} {count}" for name, count in counts.most_common(WORST))
    assert per_1000 < MOST_PER_1000_LINES, f"{counts.total()} Any, {per_1000:.1f} per 1,000 lines: {worst}"


def test_any_is_counted_in_code_only(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('from typing import Any\n# Any\nHINT = "Any"\nA: dict[str, Any] = {}\ndef f(a: Any) -> Any: ...\n')
    assert count_any(path) == 3
