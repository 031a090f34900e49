"""tests/fixtures/errors.json equals the error table; the browser client's tests read it."""

import json
from pathlib import Path

from sessions_app.core.errors import ERRORS

FIXTURE = Path(__file__).parent.parent / "fixtures" / "errors.json"


def test_the_fixture_equals_the_error_table() -> None:
    table = {
        code: {
            "message": kind.message,
            "close_code": kind.close_code,
            "status": kind.status,
            "retryable": kind.retryable,
            "fault": kind.fault.value,
        }
        for code, kind in ERRORS.items()
    }
    assert json.loads(FIXTURE.read_text()) == table, f"write it again:\n{json.dumps(table, indent=1)}"
