"""Static files in production: modules import each other by names with their content's hash."""

import re
import shutil
from pathlib import Path

import pytest
from django.conf import settings

from project.static import ModuleManifestStorage

HASHED = re.compile(r"\.[0-9a-f]{12}\.\w+$")


def publish(place: Path) -> dict[str, str]:
    """Process the files in `place` as collectstatic does; return each name's hashed one."""
    storage = ModuleManifestStorage(location=place, base_url="/static/")
    names = [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
    for _name, _hashed, processed in storage.post_process({name: (storage, name) for name in names}):
        if isinstance(processed, Exception):
            raise processed
    return storage.hashed_files


def test_imports_and_exports_are_rewritten_but_not_comments_or_strings(tmp_path: Path) -> None:
    (tmp_path / "other.js").write_text("export const one = 1;\n")
    (tmp_path / "main.js").write_text(
        '// import { one } from "./other.js" like this:\n'
        'import "./other.js";\n'
        'import {\n  one,\n} from "./other.js";\n'
        'export { one } from "./other.js";\n'
        'export const text = "./other.js";\n'
    )
    published = publish(tmp_path)
    other = published["other.js"]
    assert (tmp_path / published["main.js"]).read_text() == (
        '// import { one } from "./other.js" like this:\n'
        f'import "./{other}";\n'
        f'import {{\n  one,\n}} from "./{other}";\n'
        f'export {{ one }} from "./{other}";\n'
        'export const text = "./other.js";\n'
    )


def test_an_import_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text('import "./gone.js";\n')
    with pytest.raises(ValueError, match="gone.js"):
        publish(tmp_path)


def test_every_import_of_the_page_names_a_hashed_file(tmp_path: Path) -> None:
    place = tmp_path / "static"
    shutil.copytree(settings.BASE_DIR / "static", place)
    published = publish(place)
    imports = [
        (module.parent / target).resolve()
        for module in map(place.joinpath, published.values())
        if module.suffix == ".js"
        for target in re.findall(r"""^[^/*]*\b(?:from|import) ?\(?["'](\.[^"']+)""", module.read_text(), re.MULTILINE)
    ]
    assert len(imports) > 10
    assert [path for path in imports if not (path.is_file() and HASHED.search(path.name))] == []
