"""Faulty channel layers, which settings name as any layer. Real ones lose messages too."""

import asyncio
from collections import defaultdict
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

import msgpack
from channels.layers import BaseChannelLayer

# What the layers of one event loop share, as all that connect to one server do.
_shared: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Any]]" = WeakKeyDictionary()


class Layer(BaseChannelLayer):  # type: ignore[misc]
    """Passes everything on, within one event loop, as bytes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.queues: dict[str, asyncio.Queue[bytes]] = {}
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.passed_on = 0  # messages of groups, one for each member
        self.__dict__ = _shared.setdefault(asyncio.get_running_loop(), self.__dict__)

    async def new_channel(self, prefix: str = "specific") -> str:
        channel = f"{prefix}.{len(self.queues)}"
        self.queues[channel] = asyncio.Queue()
        return channel

    async def receive(self, channel: str) -> Any:
        return msgpack.unpackb(await self.queues[channel].get())

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.pass_on(self.queues[channel], msgpack.packb(message))

    async def group_add(self, group: str, channel: str) -> None:
        self.groups[group].add(channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for channel in self.groups[group]:
            self.passed_on += 1
            self.pass_on(self.queues[channel], msgpack.packb(message))

    async def flush(self) -> None:
        """Do nothing: the layer holds no state of one process alone."""

    def pass_on(self, queue: "asyncio.Queue[bytes]", message: bytes) -> None:
        queue.put_nowait(message)


class Dropping(Layer):
    """Loses every message."""

    def pass_on(self, queue: "asyncio.Queue[bytes]", message: bytes) -> None:
        pass


class Losing(Layer):
    """Loses every third message."""

    count = 0

    def pass_on(self, queue: "asyncio.Queue[bytes]", message: bytes) -> None:
        self.count += 1
        if self.count % 3:
            super().pass_on(queue, message)


class Unruly(Layer):
    """Holds messages back, and passes them on late, in another order, and twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.random = Random(1)
        self.late: list[tuple[asyncio.Queue[bytes], bytes]] = []

    def pass_on(self, queue: "asyncio.Queue[bytes]", message: bytes) -> None:
        self.late.append((queue, message))
        self.random.shuffle(self.late)
        while len(self.late) > 3:
            again = self.late.pop()
            for _ in range(self.random.choice([1, 1, 2])):
                super().pass_on(*again)


class Failing(Layer):
    """Is out of order."""

    async def new_channel(self, prefix: str = "specific") -> str:
        raise ConnectionError("the layer is out of order")

    async def group_add(self, group: str, channel: str) -> None:
        raise ConnectionError("the layer is out of order")

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        raise ConnectionError("the layer is out of order")


class Hanging(Layer):
    """Doesn't answer."""

    async def group_add(self, group: str, channel: str) -> None:
        await asyncio.Event().wait()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await asyncio.Event().wait()
