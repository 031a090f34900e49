"""Static files in production: compressed, with a content hash in the name, cacheable forever."""

from servestatic.storage import CompressedManifestStaticFilesStorage

# `import … from "./x.js";`, `export … from "./x.js";` and `import "./x.js";` at the start of a line. Django's own
# patterns for this, off by default, also rewrite comments, and rewrite some names twice.
IMPORT = r"""(?m)(?P<matched>^(?P<what>import\s*|(?:import|export)\b[^;'"`]*?\bfrom\s*)["'](?P<url>\.[^"'\n]+)["'];)"""

# `await import("./x.js")`, of what is loaded when it is needed. Types in comments have no `await`.
DYNAMIC_IMPORT = r"""(?P<matched>\bawait import\(["'](?P<url>\.[^"'\n]+)["']\))"""


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):
    """Storage that also adds the hash to module imports, so a page never mixes modules of two releases."""

    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("*.js", ((IMPORT, '%(what)s"%(url)s";'), (DYNAMIC_IMPORT, 'await import("%(url)s")'))),
    )
