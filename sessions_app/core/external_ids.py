"""External ids: a client's own ids of its sessions, unique per owner (PROTOCOL.md §11)."""

import re

EXTERNAL_ID_LENGTH = 128
EXTERNAL_ID = re.compile(rf"^[A-Za-z0-9_.:-]{{1,{EXTERNAL_ID_LENGTH}}}\Z")
