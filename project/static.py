"""How production serves static files: compressed, under names that hold their content's hash, for ever."""

from servestatic.storage import CompressedManifestStaticFilesStorage

# `import … from "./x.js";`, `export … from "./x.js";` and `import "./x.js";` at the start of a line. Django has
# patterns of its own for this, off by default: they also rewrite what stands in comments, and some names twice.
IMPORT = r"""(?m)(?P<matched>^(?P<what>import\s*|(?:import|export)\b[^;'"`]*?\bfrom\s*)["'](?P<url>\.[^"'\n]+)["'];)"""


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):
    """Gives the names in modules' imports the hash too: a page never mixes modules of two releases."""

    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("*.js", ((IMPORT, '%(what)s"%(url)s";'),)),
    )
