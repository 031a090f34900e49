"""The client's README: its example is run as printed."""

import re
from pathlib import Path

import pytest

from tests.browser.visitor import Visitor

pytestmark = pytest.mark.browser

README = Path(__file__).parents[2] / "static" / "holdfast" / "README.md"
IMPORT = 'import { Holdfast } from "holdfast-client";'

# What the example leaves to the page.
PAGE = """async (sessionId) => {
  const { Holdfast } = await import("/static/holdfast/index.js");
  const seen = { states: [], shown: [], reasons: [] };
  const showConnection = (state, reason) => seen.states.push([state, reason]);
  const render = (messages) => (seen.shown = messages.map(({ parts }) => parts[0].text));
  const notice = (reason) => seen.reasons.push(reason);
  %s
  return seen;
}"""


def test_the_example_in_the_readme_works(visitor: Visitor) -> None:
    session = visitor.new_session()
    example = re.search(r"```js\n(.*?)```", README.read_text(), re.DOTALL)
    assert example and IMPORT in example[1]
    tab = visitor.open()
    seen = tab.page.evaluate(PAGE % example[1].replace(IMPORT, ""), session)
    assert seen == {"states": [["connecting", None], ["connected", None]], "shown": ["Hello"], "reasons": []}
    assert [message["parts"][0]["text"] for message in visitor.stored(session)] == ["Hello"]
