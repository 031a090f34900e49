"""A tab that changes transports, and servers behind one balancer, and records everything it receives."""

from random import Random

from tests.support.concurrent_user import PATIENCE_S, RetryingFollower
from tests.support.history_checker import Recorder
from tests.support.http_followers import ServerUnavailable
from tests.support.person import Frame, Person
from tests.support.transport_hopper import TransportHopper


class RecordingTab(TransportHopper, RetryingFollower):
    """A tab that records what it receives; `name` identifies it in the history."""

    STAY_S = 2.0

    def __init__(self, url: str, name: str, *, random: Random, recorder: Recorder) -> None:
        super().__init__(url)
        self.name = name
        self._random = random
        self._recorder = recorder

    async def send(self, frame: Frame) -> None:
        """A signal, over whatever there is just now."""
        if self.socket:
            await Person.send(self, frame)
            return
        signal = {name: frame[name] for name in ("id", "kind", "payload")}
        answer = await self.http.post(f"/api/sessions/{frame['session']}/signals/", json=signal, timeout=PATIENCE_S)
        is_ours = answer.headers["Content-Type"] == "application/json"
        if not is_ours or answer.json().get("type") != "receipt":
            assert answer.status_code >= 500, answer.text
            raise ServerUnavailable
        await self._take_one(answer.json())

    async def disconnect(self) -> None:
        await super().disconnect()
        self.close_code = None  # it has gone on to another transport

    async def _take(self, frame: Frame, size: int) -> None:
        if "session" in frame:
            self._recorder.note("frame", client=self.name, via=self._transport, frame=frame)
        await super()._take(frame, size)

    async def _try(self, session: str, kind: str, payload: Frame, id: str) -> Frame | None:
        fields = {"client": self.name, "session": session, "id": id}
        self._recorder.note("invoke", **fields, signal=kind)
        receipt = await super()._try(session, kind, payload, id)
        if receipt is None or (receipt["status"] == "rejected" and receipt["error"]["retryable"]):
            self._recorder.note("unknown", **fields)
        elif receipt["status"] == "rejected":
            self._recorder.note("fail", **fields, code=receipt["error"]["code"])
        else:
            self._recorder.note("ok", **fields, serial=receipt["serial"])
        return receipt
